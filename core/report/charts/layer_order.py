"""Layers as a chart's rows: network order from the top, short names, height that fits them."""

from __future__ import annotations

from collections.abc import Sequence

import plotly.graph_objects as go

from core.report.charts import theme

ROW_PX = 19


def unit(name: str) -> str:
    """The layer that an operation belongs to: `F4.squeeze` for `F4.squeeze.conv`, `.bn` and `.act`."""
    head, dot, tail = name.rpartition(".")
    return head if dot and tail in {"conv", "linear", "bn", "act", "norm", "neuron"} else name


def height(rows: int) -> int:
    """Pixels for `rows` bars with axis and legend."""
    return max(150, ROW_PX * rows + 92)


def layer_axis(figure: go.Figure, names: Sequence[str], **place: int) -> None:
    """The vertical axis of layers: the first of the network on top, every name printed."""
    figure.update_yaxes(
        type="category",
        categoryorder="array",
        categoryarray=[theme.escape(name) for name in names],
        autorange="reversed",
        tickmode="linear",
        dtick=1,
        showgrid=False,
        tickfont={"size": 10},
        **place,
    )
