"""A run step by step: the loss of its moments, smoothed, with validation's; and what the machine was at meanwhile."""

from __future__ import annotations

import math
from collections.abc import Sequence

import plotly.graph_objects as go
from plotly.subplots import make_subplots

from core.report.charts import theme
from core.schemas.history import StepHistory, UsageHistory
from core.schemas.results import Metrics, Part

TITLE = "Loss as it trains"
USAGE_TITLE = "What the machine was at"
GIB = 2**30
FEW = 60  # points are marked up to here


def smoothed(values: Sequence[float], share: float) -> list[float]:
    """Exponential moving average without a start at zero: s_t = sum over i <= t of share^(t - i) v_i, by its weights' sum.

    share in [0, 1): how much of the average stays at each moment; 0 leaves the values as they are.
    """
    found, total, weight = [], 0.0, 0.0
    for value in values:
        if math.isfinite(value):
            total, weight = share * total + value, share * weight + 1.0
        found.append(total / weight if weight else math.nan)
    return found


def places(steps: StepHistory, part: Part) -> tuple[list[float], list[float]]:
    """Epochs trained, and the loss, of the moments of one network, in order."""
    moments = zip(steps.part, steps.epoch, steps.step, steps.steps, steps.loss, strict=True)
    kept = [(epoch - 1 + step / of, loss) for one, epoch, step, of, loss in moments if one == part and of]
    kept.sort(key=lambda pair: pair[0])
    return [place for place, _ in kept], [loss for _, loss in kept]


def figure(
    steps: StepHistory,
    metrics: Metrics | None = None,
    *,
    part: Part = "run",
    smoothing: float = 0.0,
    log: bool = False,
    source: str = "",
) -> go.Figure:
    """Training's loss by step and validation's by epoch, in one panel over the epochs trained."""
    x, raw = places(steps, part)
    drawn = [(place, loss) for place, loss in zip(x, raw, strict=True) if math.isfinite(loss) and (loss > 0 or not log)]
    if len(drawn) < 2:
        sentence = "The loss of each step appears here as soon as the trainer takes steps."
        return theme.empty(name="history", title=TITLE, sentence=sentence)
    x, raw = [place for place, _ in drawn], [loss for _, loss in drawn]
    chart = go.Figure()
    if smoothing:
        chart.add_scatter(
            x=x, y=raw, mode="lines", name="training, as it was", hoverinfo="skip",
            line={"color": theme.tint(theme.ORANGE, 0.35), "width": 1},
        )  # fmt: skip
    chart.add_scatter(
        x=x, y=smoothed(raw, smoothing), mode="lines+markers" if len(x) <= FEW else "lines",
        name=f"training, smoothed {smoothing:g}" if smoothing else "training, by step",
        line={"color": theme.ORANGE, "width": 2}, marker={"size": 4, "color": theme.ORANGE},
        hovertemplate="after %{x:.2f} epochs, training: loss %{y:.4g}<extra></extra>",
    )  # fmt: skip
    validated = [] if metrics is None or part == "teacher" else _validated(metrics, log=log)
    if validated:
        chart.add_scatter(
            x=[epoch for epoch, _ in validated], y=[loss for _, loss in validated], mode="lines+markers",
            name="validation, by epoch", line={"color": theme.VALIDATION_COLOUR, "width": 2},
            marker={"size": 6, "color": theme.VALIDATION_COLOUR},
            hovertemplate="epoch %{x}, validation: loss %{y:.4g}<extra></extra>",
        )  # fmt: skip
    chart.update_xaxes(title_text="epochs trained", nticks=8)
    if log:
        chart.update_yaxes(title_text="loss, logarithmic", type="log", nticks=6)
    else:
        chart.update_yaxes(title_text="loss", rangemode="tozero", nticks=6)
    thinned = f"each {steps.every}th of those seen" if steps.every > 1 else "mean over the last steps, at most 20"
    of = "the CNN twin, which trains first" if part == "teacher" else ""
    caption = [of, theme.count_of(len(x), "moment"), thinned, source]
    return theme.frame(chart, name="history", title=TITLE, caption=caption, height=400, revision=f"{part}{log}")


def _validated(metrics: Metrics, *, log: bool) -> list[tuple[int, float]]:
    pairs = zip(metrics.epoch, metrics.validation_loss, strict=True)
    return [
        (epoch, loss) for epoch, loss in pairs if loss is not None and math.isfinite(loss) and (loss > 0 or not log)
    ]


def usage(found: UsageHistory, *, source: str = "") -> go.Figure:
    """Cores that the trainer kept busy and the load of the whole machine; memory below; the GPU's where there is one."""
    if len(found.at_s) < 2:
        sentence = "CPU, memory and GPU use are sampled every five seconds while a worker trains the run."
        return theme.empty(name="usage", title=USAGE_TITLE, sentence=sentence)
    minutes = [(at - found.at_s[0]) / 60 for at in found.at_s]
    chart = make_subplots(rows=2, cols=1, shared_xaxes=True, vertical_spacing=0.1)
    lines: list[tuple[int, str, Sequence[float | None], float, str, str, str]] = [
        (1, "trainer's CPU", found.cpu_cores, 100, theme.BLUE, "solid", "%{y:.0f} % of one core"),
        (1, "all cores, by anybody", found.machine_busy, 100, theme.NEUTRAL, "dot", "%{y:.0f} % of the machine"),
        (1, "GPU", found.gpu_busy, 100, theme.GREEN, "solid", "%{y:.0f} % of the time"),
        (2, "trainer's memory", found.memory_bytes, 1 / GIB, theme.ORANGE, "solid", "%{y:.2f} GiB"),
        (2, "GPU memory", found.gpu_memory_bytes, 1 / GIB, theme.GREEN, "dash", "%{y:.2f} GiB"),
    ]
    for row, name, values, scale, colour, dash, form in lines:
        if any(value is not None for value in values):
            chart.add_scatter(
                x=minutes, y=[None if value is None else value * scale for value in values], mode="lines", name=name,
                line={"color": colour, "width": 2, "dash": dash}, row=row, col=1,
                hovertemplate=f"after %{{x:.1f}} min, {name}: {form}<extra></extra>",
            )  # fmt: skip
    chart.update_xaxes(title_text="minutes", nticks=8, row=2, col=1)
    chart.update_yaxes(title_text="busy, %", rangemode="tozero", nticks=5, row=1, col=1)
    chart.update_yaxes(title_text="memory, GiB", rangemode="tozero", nticks=5, row=2, col=1)
    caption = [theme.count_of(len(minutes), "sample"), "100 % of the trainer's CPU is one core", source]
    return theme.frame(chart, name="usage", title=USAGE_TITLE, caption=caption, height=400)


def rows(steps: StepHistory) -> list[dict[str, object]]:
    """A row a moment."""
    columns = steps.model_dump(exclude={"every"})
    return [{name: column[place] for name, column in columns.items()} for place in range(len(steps.loss))]


def usage_rows(found: UsageHistory) -> list[dict[str, object]]:
    """A row a sample."""
    columns = found.model_dump(exclude={"every"})
    return [{name: column[place] for name, column in columns.items()} for place in range(len(found.at_s))]
