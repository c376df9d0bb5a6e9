"""Dense operations of each layer of a network that is not yet trained, for the launch page."""

from __future__ import annotations

import plotly.graph_objects as go

from core.schemas.api import Preview
from core.units import format_count
from frontend.charts import theme
from frontend.charts.layer_order import height, layer_axis, unit

TITLE = "Dense operations per layer"


def figure(preview: Preview) -> go.Figure:
    """Bars of `dense_macs` (multiply-accumulates of one pass, no zero skipped), in network order."""
    layers = [layer for layer in preview.layers if layer.dense_macs > 0]
    if not layers:
        return theme.empty(name="network", title=TITLE, sentence="This network has no layer with weights.")
    names = [unit(layer.name) for layer in layers]
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
    steps = preview.config.steps
    caption = [
        f"{format_count(preview.dense_macs)} in all, no zero skipped",
        f"run {steps} times, once a step" if steps > 1 else "run once",
        f"mask {preview.mask_name or ','.join(preview.config.mask)}",
        "by arithmetic, before training",
    ]
    return theme.frame(
        chart, name="network", title=TITLE, caption=caption, height=height(len(layers)) - 30, legend=False,
        revision=preview.config_hash,
    )  # fmt: skip
