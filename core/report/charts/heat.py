"""Numbers on the cells of a heat map, dark or light as the cell under them asks for."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import plotly.graph_objects as go

LIGHT_BELOW = 0.58  # of the scale: Viridis is darker there than mid-grey


def print_numbers(
    chart: go.Figure, *, x: Sequence[int], y: Sequence[str], values: np.ndarray, text: Sequence[Sequence[str]]
) -> None:
    """values: [rows, columns] on a Viridis scale from 0 to their maximum; `text` has one word a cell.

    A heat map prints its text in grey on its middle colours, which cannot be read; these are marks of their own.
    """
    dark_cell = values < LIGHT_BELOW * (values.max() or 1.0)
    for where, colour in ((dark_cell, "#ffffff"), (~dark_cell, "#101418")):
        cells = np.argwhere(where)
        if len(cells):
            chart.add_scatter(
                x=[x[j] for _, j in cells], y=[y[i] for i, _ in cells], text=[text[i][j] for i, j in cells],
                mode="text", textfont={"size": 10, "color": colour}, hoverinfo="skip", showlegend=False, name="numbers",
            )  # fmt: skip
