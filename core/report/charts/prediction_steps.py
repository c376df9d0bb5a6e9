"""What a network says of one image after each step, and what it has spent by then, beside its twin."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import plotly.graph_objects as go

from core.report.charts import theme
from core.schemas.inference import Inference
from core.schemas.run import Kind
from core.units import energy_in, energy_scale

MOST_CLASSES = 5
COLOURS = (theme.BLUE, theme.GREEN, theme.PURPLE, theme.SKY, theme.NEUTRAL)
SYMBOLS = ("circle", "diamond", "triangle-up", "x", "square")
TWIN_COLOUR = theme.VERMILION
SINGLE_PASS = "one pass"


def top_classes(answer: Inference) -> list[int]:
    """The final answer's class first, then the others by their largest confidence at any step."""
    confidence = np.array(answer.confidence)
    final = int(confidence[-1].argmax())
    others = [int(k) for k in np.argsort(-confidence.max(0), kind="stable") if k != final]
    return [final, *others][:MOST_CLASSES]


def said(answer: Inference, step: int) -> tuple[str, float]:
    """The answer after `step` steps (from 1) and its confidence; a network with fewer steps has long said its last."""
    confidence = answer.confidence[min(step, answer.time_steps) - 1]
    best = max(range(len(confidence)), key=confidence.__getitem__)
    return answer.classes[best], confidence[best]


def figure(answer: Inference, twin: Inference | None, *, step: int, source: str = "") -> go.Figure:
    """Confidence in the likeliest classes after each step; a dashed line is what the twin says in the end."""
    if answer.time_steps == 1:
        return _single(answer, twin, source)
    chart = go.Figure()
    steps = list(range(1, answer.time_steps + 1))
    confidence = 100 * np.array(answer.confidence)
    for place, k in enumerate(top_classes(answer)):
        chart.add_scatter(
            x=steps,
            y=confidence[:, k],
            name=theme.escape(answer.classes[k]),
            mode="lines+markers",
            line={"color": COLOURS[place], "width": 3 if place == 0 else 1.5},
            marker={"symbol": SYMBOLS[place], "size": 10 if place == 0 else 7},
            hovertemplate=f"<b>{theme.escape(answer.classes[k])}</b><br>after step %{{x}}: %{{y:.1f}} %<extra></extra>",
        )
    if twin is not None:
        name, sure = said(twin, twin.time_steps)
        label = f"{twin.kind.upper()} twin: {theme.escape(name)}, {theme.percent(sure)}"
        chart.add_scatter(
            x=[0.6, answer.time_steps + 0.4],
            y=[100 * sure] * 2,
            mode="lines",
            name=label,
            line={"color": TWIN_COLOUR, "dash": "dash", "width": 2},
            hovertemplate=f"{label}<extra></extra>",
        )
    _now(chart, answer, step)
    chart.update_yaxes(title_text="confidence, %", range=[-3, 106], nticks=6)
    caption = ["softmax of the mean output so far", _how_many(answer), "n = 1 image", source]
    return theme.frame(
        chart, name="prediction", title="Answer after each step", caption=caption, height=300, revision=answer.run_id
    )


def _single(answer: Inference, twin: Inference | None, source: str) -> go.Figure:
    """A network of one pass: its last word as bars, with its twin's."""
    chart = go.Figure()
    classes = top_classes(answer)
    labels = [theme.escape(answer.classes[k]) for k in classes]
    for network in (answer, twin):
        if network is not None:
            hue = theme.BLUE if network.kind is Kind.SNN else theme.VERMILION
            chart.add_bar(
                x=[100 * network.confidence[-1][k] for k in classes],
                y=labels,
                orientation="h",
                name=f"{network.kind.upper()}{' twin' if network is twin else ''}",
                marker={"color": hue},
                hovertemplate="<b>%{y}</b>: %{x:.1f} %<extra>%{fullData.name}</extra>",
            )
    chart.update_yaxes(type="category", autorange="reversed", showgrid=False)
    chart.update_xaxes(title_text="confidence, %", range=[0, 104], nticks=6)
    caption = ["softmax of the output", _how_many(answer), "n = 1 image", source]
    return theme.frame(chart, name="prediction", title="Answer", caption=caption, height=300, revision=answer.run_id)


def _how_many(answer: Inference) -> str:
    return f"the {min(MOST_CLASSES, len(answer.classes))} likeliest of {len(answer.classes)} classes"


def energy(
    answer: Inference, twin: Inference | None, *, step: int, mode: str, profile: str, one_step: bool = False
) -> go.Figure:
    """Energy spent after each step, in bars; a dashed line is what the twin spends in all.

    `mode` and `profile` are titles. `one_step` says that the mode bills one step, however many run.
    """
    highest = max(answer.energy_pj + (twin.energy_pj[-1:] if twin else []))
    factor, unit = energy_scale(highest)
    hue = theme.BLUE if answer.kind is Kind.SNN else theme.VERMILION
    steps = list(range(1, answer.time_steps + 1))
    chart = go.Figure(
        go.Bar(
            x=steps, y=[value / factor for value in answer.energy_pj], name=f"{answer.kind.upper()}, spent so far",
            marker={"color": [hue if t <= step else theme.tint(hue, 0.3) for t in steps],
                    "line": {"color": hue, "width": 1}},
            hovertext=[f"after step {t}: {energy_in(value, (factor, unit))}" for t, value in enumerate(answer.energy_pj, 1)],
            hoverinfo="text", width=0.6 if answer.time_steps > 1 else 0.25,
        )
    )  # fmt: skip
    if twin is not None:
        total = twin.energy_pj[-1]
        label = f"{twin.kind.upper()} twin: {energy_in(total, (factor, unit))}"
        chart.add_scatter(
            x=[0.6, answer.time_steps + 0.4],
            y=[total / factor] * 2,
            mode="lines",
            name=label,
            line={"color": TWIN_COLOUR if twin.kind is Kind.CNN else theme.BLUE, "dash": "dash", "width": 2},
            hovertemplate=f"{label}<extra></extra>",
        )
    _now(chart, answer, step)
    chart.update_yaxes(title_text=f"energy, {unit}", rangemode="tozero", nticks=6)
    caption = [f"estimated, of this image: n = 1 · {mode} · {profile}", _flat(answer, one_step=one_step)]
    return theme.frame(
        chart, name="energy-steps", title="Energy spent so far", caption=caption, height=300, revision=answer.run_id
    )


def _flat(answer: Inference, *, one_step: bool) -> str:
    """Why each step shows the same energy; empty where they do not."""
    if answer.time_steps == 1:
        return ""
    if one_step:
        return "this mode bills one step, however many run"
    return theme.LAYER_BY_LAYER if theme.is_level(answer.energy_pj) else ""


def _now(chart: go.Figure, answer: Inference, step: int) -> None:
    """The axis of steps, with a mark at the one that is looked at."""
    chart.update_xaxes(
        title_text="time step" if answer.time_steps > 1 else SINGLE_PASS,
        range=[0.5, answer.time_steps + 0.5],
        showgrid=False,
        **({"tickmode": "linear", "dtick": 1, "tick0": 1} if answer.time_steps <= 16 else {"nticks": 9}),
    )
    if answer.time_steps > 1:
        chart.add_vline(x=step, line={"color": theme.NEUTRAL, "dash": "dot", "width": 1.5})


def rows(answers: Sequence[Inference]) -> list[dict[str, object]]:
    """The confidences as data for a CSV: a row a network, step and class."""
    return [
        {"network": answer.label, "step": t, "class": name, "confidence": sure}
        for answer in answers
        for t, confidence in enumerate(answer.confidence, 1)
        for name, sure in zip(answer.classes, confidence, strict=True)
    ]


def energy_rows(answers: Sequence[Inference]) -> list[dict[str, object]]:
    """The energies as data for a CSV: a row a network and step."""
    return [
        {"network": answer.label, "step": t, "energy_pj": value}
        for answer in answers
        for t, value in enumerate(answer.energy_pj, 1)
    ]
