"""One way to put a chart on a page: dressed for the reader's colour scheme, with a stable key."""

from __future__ import annotations

from typing import Any

import plotly.graph_objects as go
import streamlit as st

from frontend.charts import theme

#: Streamlit's own typeface, so that charts and text are of one piece; it comes with the page.
FONT = '"Source Sans", "Source Sans Pro", system-ui, sans-serif'


def ground() -> theme.Ground:
    """The reader's colour scheme; `neutral` reads on both while the browser has not said."""
    kind = st.context.theme.type
    return kind if kind in ("light", "dark") else "neutral"


def show(figure: go.Figure, *, key: str, selectable: bool = False, alt: str | None = None) -> Any:
    """Draw a figure; returns the selection state where `selectable`."""
    shared = {
        "key": key,
        "theme": None,
        "config": theme.CONFIG,
        "alt": alt or str((figure.layout.meta or {}).get("title", "")) or None,
    }
    dressed = theme.dress(figure, ground())
    dressed.update_layout(font_family=FONT, hoverlabel_font_family=FONT)
    if selectable:
        return st.plotly_chart(dressed, on_select="rerun", selection_mode="points", **shared)
    return st.plotly_chart(dressed, **shared)


def chosen_run(selection: Any) -> str | None:
    """The run id that a clicked mark carries; None for the printed points, which belong to no run."""
    points = selection.selection.points if selection else []
    data = points[0].get("customdata") if points else None
    return str(data[0]) if isinstance(data, list) and data else None
