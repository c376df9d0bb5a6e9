"""One way to put a chart on a page: dressed for the reader's colour scheme, with a stable key and its data as CSV."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import Any

import plotly.graph_objects as go
import streamlit as st

from core.report.charts import theme
from core.report.markup import piece
from core.report.tables import csv_rows as tables
from frontend.parts import saving

#: Streamlit's own typeface, so that charts and text are of one piece; it comes with the page.
FONT = '"Source Sans", "Source Sans Pro", system-ui, sans-serif'
#: What a chart draws, one row a mark: columns by name, units in the names.
Rows = Sequence[dict[str, Any]]
SELECT = ("points", "box", "lasso")


def ground() -> theme.Ground:
    """The reader's colour scheme; `neutral` reads on both while the browser has not said."""
    kind = st.context.theme.type
    return kind if kind in ("light", "dark") else "neutral"


def show(
    figure: go.Figure,
    *,
    key: str,
    selectable: bool = False,
    on_select: Callable[[], None] | None = None,
    alt: str | None = None,
    data: Rows | Callable[[], Rows] | None = None,
    file_name: str | None = None,
) -> Any:
    """Draw a figure between its words; returns the selection state where `selectable` or `on_select`.

    Title, caption and a listed legend are text of the page, since it wraps at any width; the figure keeps its own for
    whoever saves it as a picture (`theme.worded`), and the style sheet hides them.
    `on_select` is called before the page is drawn again when marks are clicked, boxed or lassoed; `selectable`
    alone means clicks. `data` are the rows behind the figure, or a function that gives them when they are
    wanted: a small button under the chart downloads them as CSV, as `file_name` or by the chart's key.
    """
    words = theme.worded(figure)
    config = {**theme.CONFIG, "toImageButtonOptions": image_options(key)}
    if on_select:
        config["modeBarButtons"] = [["select2d", "lasso2d", "zoom2d"], *config["modeBarButtons"]]
    shared = {"key": key, "theme": None, "config": config, "alt": alt or words.title}
    dressed = theme.dress(figure, ground())
    dressed.update_layout(font_family=FONT, hoverlabel_font_family=FONT)
    box, selection = f"sf_figure_{key}", None
    with st.container(key=box, gap=None):
        st.html(_heading(words, box))
        if on_select:
            selection = st.plotly_chart(dressed, on_select=on_select, selection_mode=SELECT, **shared)
        elif selectable:
            selection = st.plotly_chart(dressed, on_select="rerun", selection_mode="points", **shared)
        else:
            st.plotly_chart(dressed, **shared)
        if words.legend:
            st.html(words.legend)
        named = file_name or f"spikefront-{key}.csv"
        with st.container(key=f"{key}_files", horizontal=True, horizontal_alignment="right", gap="small"):
            if figure.data:
                # dressed for this page: `printed` makes a copy of its own for paper
                saving.button({words.title: lambda: dressed}, key=key, file_name=named.removesuffix(".csv"))
            if data is not None:
                csv_button(data, key=f"{key}_csv", file_name=named, what=words.title)
    return selection


def _heading(words: theme.Words, box: str) -> str:
    """Title and caption, and how far the figure below reaches over them with its own, which is hidden."""
    place = re.sub(r"[^\w-]", "-", box, flags=re.ASCII)  # as Streamlit makes a class of a key
    return piece("heading", words.title, words.caption, place, words.lift_px)


def image_options(name: str) -> dict[str, Any]:
    """What the camera above a chart saves: a vector graphic, light on a dark page too (`figures.js`)."""
    return {"format": "svg", "filename": f"spikefront-{name}", "width": theme.PICTURE_PX}


def csv_button(data: Rows | Callable[[], Rows], *, key: str, file_name: str, what: str = "") -> None:
    """A small button that downloads rows as CSV; they are put together when it is pressed."""
    with st.container(key=f"{key}_box", horizontal=True, horizontal_alignment="right", width="content"):
        st.download_button(
            "CSV",
            data=lambda: tables.as_csv(list(data() if callable(data) else data)),
            file_name=file_name,
            mime="text/csv",
            icon=":material/download:",
            type="tertiary",
            on_click="ignore",
            key=key,
            help=f"The figures of “{what}” as a table" if what else "These figures as a table",
        )


def chosen_runs(selection: Any) -> list[str]:
    """The run ids of all chosen marks, each once, in the order of the marks; a mark may stand for several."""
    points = (selection or {}).get("selection", {}).get("points", [])
    found = (point.get("customdata") for point in points)
    return list(dict.fromkeys(str(run_id) for data in found if isinstance(data, list) for run_id in data))
