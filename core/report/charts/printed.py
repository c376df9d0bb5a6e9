"""A chart as it stands in a paper: on white ground, as wide as a column, with or without its words."""

from __future__ import annotations

import textwrap
from typing import Any

import plotly.graph_objects as go

from core.report.charts import legend as legends
from core.report.charts import theme

WIDTHS_IN = {3.3: "one column, 3.3 in", 7.0: "two columns, 7 in"}
PX_PER_IN = 96  # of CSS, so 12 px of type are 9 pt
SIGN_PX = theme.PICTURE_PX / theme.WIDE_SIGNS  # of the caption's type
TALLEST = 0.8  # of the width: a plot of two numbers, which loses nothing by it
TITLE_SIGN_PX, TITLE_LINE_PX = 8.2, 19
FONT = 'Arial, "Liberation Sans", Helvetica, "DejaVu Sans", sans-serif'  # all have the same widths, but for the last


def printed(figure: go.Figure, *, width_in: float, words: bool) -> go.Figure:
    """A copy of one of our figures (`theme.frame`) for print; `words`: with title and caption. The legend always stays.

    Light whatever the reader's colour scheme is: what depends on the ground stands in the template.
    """
    copy = go.Figure(figure)
    meta, layout = copy.layout.meta, copy.layout
    width = round(width_in * PX_PER_IN)
    names = [legends.Entry(*entry) for entry in meta["legend"]]
    signs = int((width - 16) / SIGN_PX)
    small = (
        [theme.escape(line) for line in textwrap.wrap(meta["caption"], signs, break_on_hyphens=False)] if words else []
    )
    small += legends.lines(names, signs)
    big = textwrap.wrap(meta["title"], int((width - 16) / TITLE_SIGN_PX)) if words else []
    top = (
        (10 if big or small else 0)
        + TITLE_LINE_PX * len(big)
        + theme.LINE_PX * len(small)
        + (5 if big and small else 0)
    )
    more = top - meta["heading_px"] - max(0, _tall(copy, meta["heading_px"]) - round(TALLEST * width))
    title: dict[str, Any] = {
        "text": "<br>".join(theme.escape(line) for line in big),
        "subtitle": {"text": "<br>".join(small)},
    }
    if not big:
        title = {"text": "<br>".join(small), "font": {"size": 11, "weight": 400}, "subtitle": {"text": ""}}
    theme.dress(copy, "light").update_layout(
        title=title,
        margin_t=layout.margin.t + top - meta["heading_px"],
        height=layout.height + more,
        width=width,
        autosize=False,
        paper_bgcolor="#ffffff",
        plot_bgcolor="#ffffff",
        font_family=FONT,
        meta=None,
    )
    return copy


def _tall(figure: go.Figure, heading_px: int) -> int:
    """The height under the heading of a plot of two numbers, in px; 0 of one with rows, which need their room."""
    axis = figure.layout.yaxis
    rows = axis.ticktext is not None or axis.visible is False or any(trace.type != "scatter" for trace in figure.data)
    named = any(
        isinstance(value, str)
        for trace in figure.data
        for value in (trace["y"] if "y" in trace and trace.y is not None else ())[:1]
    )
    return 0 if rows or named else figure.layout.height - heading_px
