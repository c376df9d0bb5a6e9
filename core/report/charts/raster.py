"""The spikes of one image: how many neurons of each layer fire at each time step."""

from __future__ import annotations

import numpy as np
import plotly.graph_objects as go

from core.report.charts import theme
from core.report.charts.heat import print_numbers
from core.report.charts.layer_order import height, layer_axis, unit
from core.schemas.images import LayerSpikes, SeenImage

TITLE = "Spikes of this image"
MOST_NUMBERED = 8  # steps up to which a cell has room for its number


def figure(layers: list[LayerSpikes], *, image: SeenImage, source: str = "") -> go.Figure:
    """A row a layer, a column a step; colour is the share of the layer's neurons that fire."""
    if not layers:
        return theme.empty(name="raster", title=TITLE, sentence="A CNN has no spikes. Its twin's page shows some.")
    steps = len(layers[0].spikes)
    labels = [theme.escape(unit(layer.name)) for layer in layers]
    rates = [[count / layer.neurons for count in layer.spikes] for layer in layers]
    peak = max(max(row) for row in rates)
    chart = go.Figure(
        go.Heatmap(
            x=list(range(1, steps + 1)), y=labels, z=rates, zmin=0, zmax=max(peak, 1e-9), colorscale="Viridis",
            ygap=1, xgap=1, name="spikes", hoverinfo="text",
            hovertext=[
                [
                    f"<b>{label}</b>, step {t}<br>{count:,} of {layer.neurons:,} neurons fire "
                    f"({theme.percent(count / layer.neurons)})"
                    for t, count in enumerate(layer.spikes, 1)
                ]
                for label, layer in zip(labels, layers, strict=True)
            ],
            colorbar={"title": {"text": "share", "side": "top", "font": {"size": 11}}, "tickformat": ".1~%",
                      "thickness": 10, "outlinewidth": 0, "tickfont": {"size": 10}, "xpad": 4},
        )
    )  # fmt: skip
    if steps <= MOST_NUMBERED:
        numbers = [[f"{count:,}" for count in layer.spikes] for layer in layers]
        print_numbers(chart, x=range(1, steps + 1), y=labels, values=np.array(rates), text=numbers)
    chart.update_xaxes(range=[0.5, steps + 0.5])
    chart.update_xaxes(title_text="time step", tickmode="linear", dtick=max(1, steps // 8), tick0=1, showgrid=False)
    layer_axis(chart, [unit(layer.name) for layer in layers])
    total = sum(sum(layer.spikes) for layer in layers)
    caption = [
        f"test image {image.index}, a {image.label}",
        f"{total:,} spikes in {theme.count_of(steps, 'step')}",
        "numbers: spikes; colour: share of the layer's neurons",
        source,
    ]
    return theme.frame(
        chart, name="raster", title=TITLE, caption=caption, height=height(len(layers)), legend=False,
        revision=str(image.index),
    )  # fmt: skip


def rows(layers: list[LayerSpikes]) -> list[dict[str, object]]:
    """The figure's data, a row a layer and step."""
    return [
        {"layer": layer.name, "step": t, "spikes": count, "neurons": layer.neurons}
        for layer in layers
        for t, count in enumerate(layer.spikes, 1)
    ]
