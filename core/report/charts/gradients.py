"""Where the loss gradient arrives: the norm of each layer's weight gradient over the epochs."""

from __future__ import annotations

import math

import numpy as np
import plotly.graph_objects as go

from core.report.charts import theme
from core.report.charts.layer_order import height, layer_axis, unit
from core.schemas.results import Gradients

TITLE = "Gradient flow"
FEW_EPOCHS = 2  # fewer columns than a heat map needs: marks on a log axis instead


def figure(gradients: Gradients, *, source: str = "") -> go.Figure:
    """L2 norm of the gradient of each layer's weights, on a log scale; a norm of zero is drawn as zero."""
    norm = np.asarray(gradients.norm, dtype=float)
    if not norm.size:
        return theme.empty(name="gradients", title=TITLE, sentence="No gradient has been recorded yet.")
    names = [unit(layer) for layer in gradients.layers]
    if len(set(names)) < len(names):
        names = list(gradients.layers)
    positive = norm[np.isfinite(norm) & (norm > 0)]
    low, high = (positive.min(), positive.max()) if positive.size else (1e-3, 1.0)
    chart = go.Figure()
    if len(gradients.epochs) <= FEW_EPOCHS:
        _marks(chart, gradients, norm, names, low, high)
        rows_px = height(len(names))
    else:
        _map(chart, gradients, norm, names, low, high)
        rows_px = height(len(names)) - 24
    layer_axis(chart, names)
    zeros = int((norm == 0).sum())
    caption = [
        "L2 norm of the loss gradient of each layer's weights, mean over the epoch's steps",
        theme.count_of(len(gradients.epochs), "epoch"),
        f"{zeros:,} of {norm.size:,} values are exactly zero" if zeros else "",
        source,
    ]
    return theme.frame(
        chart,
        name="gradients",
        title=TITLE,
        caption=caption,
        height=rows_px,
        legend=len(gradients.epochs) <= FEW_EPOCHS or zeros > 0,
    )


def _hover(name: str, epoch: int, value: float) -> str:
    shown = f"{value:.3g}" if math.isfinite(value) else "not finite"
    return f"<b>{theme.escape(name)}</b><br>epoch {epoch}: {shown}{' (no gradient arrives)' if value == 0 else ''}"


def _map(chart: go.Figure, gradients: Gradients, norm: np.ndarray, names: list[str], low: float, high: float) -> None:
    """A column an epoch, a row a layer; zeros as hatched marks, since the log scale has no place for them."""
    labels = [theme.escape(name) for name in names]
    drawable = np.isfinite(norm) & (norm > 0)
    logs = np.log10(norm, out=np.full(norm.shape, np.nan), where=drawable)
    first, last = math.floor(math.log10(low)), math.ceil(math.log10(high))
    last = max(last, first + 1)
    every = max(1, (last - first) // 5)
    ticks = list(range(first, last + 1, every))
    chart.add_heatmap(
        x=gradients.epochs, y=labels, z=logs.T.astype(np.float32), zmin=first, zmax=last, colorscale="Viridis", name="gradient norm",
        customdata=norm.T.astype(np.float32), hovertemplate="<b>%{y}</b><br>epoch %{x}: %{customdata:.3~g}<extra></extra>",
        hoverongaps=False, ygap=1,
        colorbar={"title": {"text": "norm", "side": "top", "font": {"size": 11}}, "tickvals": ticks,
                  "ticktext": [f"10<sup>{tick}</sup>" for tick in ticks], "thickness": 10, "outlinewidth": 0,
                  "tickfont": {"size": 10}, "xpad": 4},
    )  # fmt: skip
    where = np.argwhere(norm == 0)
    if len(where):
        chart.add_scatter(
            x=[gradients.epochs[e] for e, _ in where],
            y=[labels[layer] for _, layer in where],
            mode="markers",
            name="exactly zero",
            marker={"symbol": "x", "size": 8, "color": theme.VERMILION},
            hovertext=[_hover(names[layer], gradients.epochs[e], 0.0) for e, layer in where],
            hoverinfo="text",
        )
    chart.update_xaxes(
        title_text="epoch", showgrid=False, nticks=8, range=[gradients.epochs[0] - 0.5, gradients.epochs[-1] + 0.5]
    )
    if len(gradients.epochs) <= 8:
        chart.update_xaxes(tickmode="linear", dtick=1, tick0=gradients.epochs[0])


def _marks(chart: go.Figure, gradients: Gradients, norm: np.ndarray, names: list[str], low: float, high: float) -> None:
    """One series of marks an epoch on a log axis; zeros stand on its left edge with another symbol."""
    labels = [theme.escape(name) for name in names]
    edge = low / 4
    for e, epoch in enumerate(gradients.epochs):
        values = norm[e]
        zero = values == 0
        colour = (theme.SKY, theme.BLUE)[e] if len(gradients.epochs) > 1 else theme.BLUE
        chart.add_scatter(
            x=[edge if z else (v if math.isfinite(v) else None) for v, z in zip(values, zero, strict=True)], y=labels,
            mode="lines+markers", name=f"epoch {epoch}", line={"color": theme.tint(colour, 0.45), "width": 1},
            marker={"size": 9, "color": [theme.VERMILION if z else colour for z in zero],
                    "symbol": ["x" if z else "circle" for z in zero]},
            hovertext=[_hover(name, epoch, v) for name, v in zip(names, values, strict=True)], hoverinfo="text",
        )  # fmt: skip
    if (norm == 0).any():
        chart.add_scatter(
            x=[None],
            y=[None],
            mode="markers",
            name="exactly zero (at the left edge)",
            marker={"symbol": "x", "size": 8, "color": theme.VERMILION},
        )
    chart.update_xaxes(
        title_text="gradient norm (log)",
        type="log",
        range=[math.log10(edge) - 0.1, math.log10(high) + 0.25],
        **theme.log_ticks(edge, high),
    )


def rows(gradients: Gradients) -> list[dict[str, object]]:
    """The figure's data, a row an epoch and layer."""
    return [
        {"epoch": epoch, "layer": layer, "gradient_norm": norm}
        for epoch, norms in zip(gradients.epochs, gradients.norm, strict=True)
        for layer, norm in zip(gradients.layers, norms, strict=True)
    ]
