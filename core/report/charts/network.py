"""Dense operations of each layer of a network that is not yet trained, for the launch page."""

from __future__ import annotations

from typing import Any, NamedTuple

import plotly.graph_objects as go

from core.backbones.naming import differences
from core.report.charts import theme
from core.report.charts.layer_order import height, layer_axis, unit
from core.schemas.preview import LayerPreview, Preview
from core.units import format_count

TITLE = "Dense operations per layer"
TITLE_OF_PARTS = "Dense operations per block"
MOST_LAYERS = 30  # of more, a bar a layer is a page of bars


class Row(NamedTuple):
    """One bar: a layer, or a block with the sum of its layers."""

    name: str
    dense_macs: int
    params: int
    output_shape: tuple[int, ...]


def rows(preview: Preview) -> list[Row]:
    """Layers with weights in network order; of a network with many, its blocks and the fixed parts between."""
    layers = [layer for layer in preview.layers if layer.dense_macs > 0]
    if len(layers) <= MOST_LAYERS:
        return [Row(unit(layer.name), layer.dense_macs, layer.params, layer.output_shape) for layer in layers]
    parts: dict[str, list[LayerPreview]] = {}
    for layer in layers:
        parts.setdefault(layer.block or layer.name.partition(".")[0], []).append(layer)
    return [
        Row(name, sum(layer.dense_macs for layer in of), sum(layer.params for layer in of), of[-1].output_shape)
        for name, of in parts.items()
    ]


def figure(preview: Preview) -> go.Figure:
    """Bars of `dense_macs` (multiply-accumulates of one pass, no zero skipped), in network order."""
    layers = rows(preview)
    title = TITLE if sum(layer.dense_macs > 0 for layer in preview.layers) == len(layers) else TITLE_OF_PARTS
    if not layers:
        return theme.empty(name="network", title=title, sentence="This network has no layer with weights.")
    names = [layer.name for layer in layers]
    hover = [
        f"<b>{theme.escape(layer.name)}</b><br>{layer.dense_macs:,} dense MACs"
        f" ({theme.percent(layer.dense_macs / preview.dense_macs)} of the network)<br>{layer.params:,} parameters"
        f"<br>output {' x '.join(map(str, layer.output_shape))}"
        for layer in layers
    ]
    chart = go.Figure(
        go.Bar(
            x=[layer.dense_macs for layer in layers],
            y=[theme.escape(name) for name in names],
            orientation="h",
            marker={"color": theme.colour(preview.config.backbone, preview.config.kind)},
            text=[format_count(layer.dense_macs) for layer in layers],
            textposition="outside",
            cliponaxis=False,
            hovertext=hover,
            hoverinfo="text",
        )
    )
    largest = max(layer.dense_macs for layer in layers)
    chart.update_xaxes(
        title_text="multiply-accumulates of one pass", range=[0, 1.18 * largest], tickformat="~s", nticks=5
    )
    layer_axis(chart, names)
    steps, mask = preview.config.steps, f"mask {preview.mask_name or ','.join(preview.config.mask)}"
    caption = [
        f"{format_count(preview.dense_macs)} in all, no zero skipped",
        f"run {steps} times, once a step" if steps > 1 else "run once",
        ", ".join([mask, *differences(preview.config.definition, preview.config.architecture)]),
        "by arithmetic, before training",
    ]
    return theme.frame(
        chart, name="network", title=title, caption=caption, height=height(len(layers)) - 30, legend=False,
        revision=preview.config_hash,
    )  # fmt: skip


def data(preview: Preview) -> list[dict[str, Any]]:
    """The layers behind the bars, for a CSV: all of them, whatever the bars sum up."""
    return [
        {"layer": layer.name, "block": layer.block, "kind": layer.kind, "dense_macs": layer.dense_macs,
         "params": layer.params, "output_shape": "x".join(map(str, layer.output_shape))}
        for layer in preview.layers
        if layer.dense_macs > 0
    ]  # fmt: skip
