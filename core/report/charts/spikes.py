"""Where the neurons of each layer fire for one image: small maps of one step, and rates over all steps."""

from __future__ import annotations

import base64
import io
from collections.abc import Sequence

import numpy as np
import plotly.graph_objects as go
from PIL import Image

from core.report.charts import theme
from core.report.charts.heat import print_numbers
from core.report.charts.layer_order import height, layer_axis, unit
from core.report.markup import render
from core.schemas.inference import Inference, LayerActivity
from core.schemas.run import Kind

TITLE = "Firing rate by layer and step"
TRAVEL_MS = 500
MOST_WRITTEN = 8  # more steps than this leave no room for a number in each cell


def decode(layer: LayerActivity) -> np.ndarray:
    """Share of the outputs at each place that are not zero: [T, h, w] float64 in [0, 1]."""
    counts = np.frombuffer(base64.b64decode(layer.map), "<u2").reshape(-1, *layer.map_shape)
    return counts / layer.map_outputs


def grid(answer: Inference, step: int, *, ground: theme.Ground) -> str:
    """HTML: one small map a layer at `step` (from 1), in network order.

    A map is the mean over the layer's channels. The darkest place is the layer's own largest value over all steps, so
    steps of a layer compare and layers do not; the number below does.
    """
    # they appear one after another, as the image travels
    wait_ms = min(25, TRAVEL_MS // max(len(answer.layers), 1))
    maps = [_map(layer, step, answer, ground, place * wait_ms) for place, layer in enumerate(answer.layers)]
    return render("maps.html", maps=maps, step=step)


def _map(layer: LayerActivity, step: int, answer: Inference, ground: theme.Ground, delay_ms: int) -> dict[str, object]:
    shares = decode(layer)
    rate, outputs = layer.rate[step - 1], int(np.prod(layer.output_shape))
    does = "fire" if answer.kind is Kind.SNN else "are above 0"
    said = f"{theme.percent(rate)} of {outputs:,} {'neurons' if layer.name != 'input' else 'inputs'} {does}"
    return {
        "name": unit(layer.name),
        "said": said,
        "source": png_uri(shares[step - 1] / (shares.max() or 1.0), colour(answer.kind, ground)),
        "fires": layer.spikes[step - 1] > 0,
        "rate": theme.percent(rate),
        "shape": "×".join(map(str, layer.output_shape)),
        "delay_ms": delay_ms,
    }


def colour(kind: Kind, ground: theme.Ground) -> str:
    """Of the kind of network, light enough for a dark ground."""
    light, dark = (theme.BLUE, theme.SKY) if kind is Kind.SNN else (theme.VERMILION, theme.ORANGE)
    return dark if ground == "dark" else light


def png_uri(opacity: np.ndarray, colour: str) -> str:
    """opacity: [h, w] in [0, 1] -> a data URI of one colour, so that nothing looks like the ground."""
    pixels = np.empty((*opacity.shape, 4), np.uint8)
    pixels[..., :3] = [int(colour[i : i + 2], 16) for i in (1, 3, 5)]
    pixels[..., 3] = np.rint(255 * opacity)
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, format="PNG")
    return "data:image/png;base64," + base64.b64encode(buffer.getvalue()).decode()


def figure(answer: Inference, *, source: str = "") -> go.Figure:
    """A row a layer, a column a step: the share of the layer's neurons that fire."""
    if not answer.layers:
        return theme.empty(name="spikes", title=TITLE, sentence="This network has no layer that could fire.")
    names = [unit(layer.name) for layer in answer.layers]
    if len(set(names)) < len(names):
        names = [layer.name for layer in answer.layers]
    rates = np.array([layer.rate for layer in answer.layers])
    spiking = answer.kind is Kind.SNN
    if answer.time_steps == 1:
        chart = go.Figure(
            go.Bar(
                x=100 * rates[:, 0],
                y=[theme.escape(name) for name in names],
                orientation="h",
                marker={"color": theme.BLUE if spiking else theme.VERMILION},
                hovertemplate="<b>%{y}</b>: %{x:.2f} %<extra></extra>",
            )
        )
        chart.update_xaxes(title_text="%", rangemode="tozero", nticks=6)
    else:
        chart = _over_steps(answer, names, rates)
    layer_axis(chart, names)
    what = "share of each layer's neurons that fire" if spiking else "share of each layer's ReLU outputs above 0"
    caption = [what, "n = 1 image", theme.count_of(answer.time_steps, "time step") if spiking else "one pass", source]
    title = TITLE if spiking else "Active outputs by layer"
    return theme.frame(
        chart, name="spikes", title=title, caption=caption, height=height(len(names)) - 24, legend=False,
        revision=answer.run_id,
    )  # fmt: skip


def _over_steps(answer: Inference, names: list[str], rates: np.ndarray) -> go.Figure:
    """rates: [L, T]."""
    steps, labels = range(1, answer.time_steps + 1), [theme.escape(name) for name in names]
    chart = go.Figure(
        go.Heatmap(
            x=list(steps), y=labels, z=100 * rates,
            zmin=0, zmax=max(100 * float(rates.max()), 1e-9), xgap=2, ygap=2, colorscale="Viridis",
            hovertemplate="<b>%{y}</b><br>step %{x}: %{z:.2f} %<extra></extra>",
            colorbar={"title": {"text": "%", "side": "top", "font": {"size": 11}}, "thickness": 10, "outlinewidth": 0,
                      "tickfont": {"size": 10}, "xpad": 4, "nticks": 6},
        )
    )  # fmt: skip
    if answer.time_steps <= MOST_WRITTEN:
        numbers = [[f"{100 * rate:.1f}" for rate in row] for row in rates]
        print_numbers(chart, x=steps, y=labels, values=rates, text=numbers)
    chart.update_xaxes(
        title_text="time step",
        showgrid=False,
        **({"tickmode": "linear", "dtick": 1} if answer.time_steps <= 16 else {}),
    )
    return chart


def rows(answers: Sequence[Inference]) -> list[dict[str, object]]:
    """The figures behind the maps, for a CSV: a row a network, layer and step."""
    return [
        {"network": answer.label, "layer": layer.name, "step": t, "nonzero_outputs": n, "share": rate}
        for answer in answers
        for layer in answer.layers
        for t, (n, rate) in enumerate(zip(layer.spikes, layer.rate, strict=True), 1)
    ]
