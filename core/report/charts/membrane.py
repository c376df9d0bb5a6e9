"""The membrane of one neuron step by step, and what its spike passes back: of a neuron to come, or of one at work."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import plotly.graph_objects as go
from plotly.subplots import make_subplots

from core.analysis.neuron_model import surrogate, trace
from core.report.charts import theme
from core.schemas.inference import Membrane, MembraneTrace
from core.schemas.run import NeuronConfig

STEPS = 12  # of the neuron to come
DRIVES = (0.6, 1.4)  # inputs at every step, in thresholds: one that may be too weak, and one that is not
SURROGATE_TITLE = "The neuron: its steps, and the slope it learns by"
TITLE = "Membrane of one neuron"


def neuron_figure(neuron: NeuronConfig) -> go.Figure:
    """Two panels: the membrane over STEPS steps of constant input above, the surrogate derivative below."""
    if neuron.model == "count":
        sentence = (
            "A neuron of counts has no membrane: it fires once all its input has come, and its gradient passes straight "
            "through between 0 and T thresholds."
        )
        return theme.empty(name="neuron", title=SURROGATE_TITLE, sentence=sentence)
    chart = make_subplots(rows=2, cols=1, vertical_spacing=0.2)
    for share, colour, dash in zip(DRIVES, (theme.SKY, theme.BLUE), ("dot", "solid"), strict=True):
        drive = share * neuron.v_threshold
        found = trace([drive] * STEPS, neuron)
        name = f"input {drive:g} a step: {theme.count_of(sum(found.spikes), 'spike')}"
        _draw(chart, found, name=name, colour=colour, dash=dash, row=1)
    _threshold(chart, neuron.v_threshold, row=1)
    reach = 2.5 / min(neuron.alpha, 50) + 0.5 * neuron.v_threshold
    u = np.linspace(-reach, reach, 401)
    chart.add_scatter(
        x=u + neuron.v_threshold, y=surrogate(u, neuron), mode="lines", name="surrogate derivative", showlegend=False,
        line={"color": theme.VERMILION, "width": 2}, row=2, col=1,
        hovertemplate="membrane %{x:.3g}: slope %{y:.3g}<extra></extra>",
    )  # fmt: skip
    chart.add_vline(x=neuron.v_threshold, line={"color": theme.NEUTRAL, "dash": "dash", "width": 1}, row=2, col=1)
    chart.update_xaxes(title_text="time step", tickmode="linear", dtick=1 if STEPS <= 12 else 2, row=1, col=1)
    chart.update_xaxes(title_text="membrane before the reset", nticks=7, row=2, col=1)
    chart.update_yaxes(title_text="membrane", nticks=5, row=1, col=1)
    chart.update_yaxes(title_text="slope", rangemode="tozero", nticks=5, row=2, col=1)
    leak = "no leak" if neuron.model == "if" else f"tau = {neuron.tau:g}"
    caption = [
        f"{neuron.model}, {leak}, threshold {neuron.v_threshold:g}, {neuron.reset} reset",
        f"{neuron.surrogate}, alpha = {neuron.alpha:g}: at most {surrogate(np.zeros(1), neuron)[0]:.3g}, area 1",
        "triangles are spikes",
        "constant input, by arithmetic",
    ]
    return theme.frame(chart, name="neuron", title=SURROGATE_TITLE, caption=caption, height=430)


def figure(found: Membrane, *, source: str = "") -> go.Figure:
    """One neuron of a trained network over the T steps of one image."""
    chart = make_subplots(rows=1, cols=1)
    spikes = theme.count_of(sum(found.trace.spikes), "spike")
    _draw(chart, found.trace, name=f"membrane, {spikes}", colour=theme.BLUE, dash="solid", row=1)
    steps = list(range(1, len(found.trace.input) + 1))
    chart.add_scatter(
        x=steps, y=found.trace.input, mode="markers", name="input of the step",
        marker={"symbol": "diamond-open", "size": 8, "color": theme.ORANGE},
        hovertemplate="step %{x}: input %{y:.4g}<extra></extra>", row=1, col=1,
    )  # fmt: skip
    _threshold(chart, found.trace.v_threshold, row=1)
    chart.update_xaxes(title_text="time step", nticks=10, range=[-0.2, len(steps) + 0.4])
    if len(steps) <= 12:
        chart.update_xaxes(tickmode="linear", dtick=1, tick0=0)
    chart.update_yaxes(title_text="membrane", nticks=6)
    caption = [f"layer {found.layer}, channel {found.channel}, row {found.y}, column {found.x}", source,
               f"in units in which the threshold is {found.trace.v_threshold:g}"]  # fmt: skip
    return theme.frame(chart, name="membrane", title=TITLE, caption=caption, height=300)


def rows(found: MembraneTrace) -> list[dict[str, float]]:
    """A row a step, for CSV."""
    return [
        {"step": t + 1, "input": found.input[t], "membrane_before_reset": found.before[t],
         "membrane_after_reset": found.after[t], "spike": found.spikes[t], "v_threshold": found.v_threshold}
        for t in range(len(found.input))
    ]  # fmt: skip


def neuron_rows(neuron: NeuronConfig) -> list[dict[str, float]]:
    """The same of the neuron to come, under each drive; none of a neuron of counts."""
    if neuron.model == "count":
        return []
    return [row for share in DRIVES for row in rows(trace([share * neuron.v_threshold] * STEPS, neuron))]


def _draw(chart: go.Figure, found: MembraneTrace, *, name: str, colour: str, dash: str, row: int) -> None:
    """A line that climbs to H at each step and falls to V' where the neuron fires, with a triangle there."""
    x: list[float] = [0]
    y: list[float] = [found.v_start]
    words = ["at the start"]
    for step, (h, v, s) in enumerate(zip(found.before, found.after, found.spikes, strict=True), start=1):
        x += [step, step] if s else [step]
        y += [h, v] if s else [h]
        words += [f"step {step}, before the reset", f"step {step}, after the reset"] if s else [f"step {step}"]
    chart.add_scatter(
        x=x, y=y, mode="lines+markers", name=name, legendgroup=name, line={"color": colour, "width": 2, "dash": dash},
        marker={"size": 4, "color": colour}, text=words, row=row, col=1,
        hovertemplate="%{text}: %{y:.4g}<extra></extra>",
    )  # fmt: skip
    fired = _fired(found)
    chart.add_scatter(
        x=fired, y=[found.before[step - 1] for step in fired], mode="markers", legendgroup=name, showlegend=False,
        marker={"symbol": "triangle-up", "size": 11, "color": colour}, name="spike", row=row, col=1,
        hovertemplate="step %{x}: a spike<extra></extra>",
    )  # fmt: skip


def _fired(found: MembraneTrace) -> Sequence[int]:
    return [step for step, s in enumerate(found.spikes, start=1) if s]


def _threshold(chart: go.Figure, v_threshold: float, *, row: int) -> None:
    chart.add_hline(
        y=v_threshold, line={"color": theme.NEUTRAL, "dash": "dash", "width": 1}, row=row, col=1,
        annotation={"text": "threshold", "font": {"size": 11, "color": theme.NEUTRAL}}, annotation_position="bottom right",
    )  # fmt: skip
