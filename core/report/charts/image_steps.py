"""One image step by step: how sure the networks are of it, and what it has cost so far."""

from __future__ import annotations

import plotly.graph_objects as go
from plotly.subplots import make_subplots

from core.report.charts import theme
from core.schemas.images import SeenImage
from core.schemas.run import Kind
from core.units import energy_in, energy_scale

TITLE = "Confidence and energy of this image"


def figure(image: SeenImage, *, source: str = "") -> go.Figure:
    """Two panels over the time steps: confidence in answer and truth above, energy spent so far below."""
    answers = [answer for answer in (image.run, image.twin) if answer is not None]
    last = max(len(answer.truth_per_step) for answer in answers)
    spent = [value for answer in answers for value in answer.energy_pj or answer.mean_energy_pj]
    factor, unit = energy_scale(max(spent))
    chart = make_subplots(rows=2, cols=1, shared_xaxes=True, vertical_spacing=0.1)
    for answer in sorted(answers, key=lambda one: one.answer.kind is Kind.CNN):
        kind = answer.answer.kind.value.upper()
        colour = theme.BLUE if answer.answer.kind is Kind.SNN else theme.VERMILION
        said = f"{kind}: its answer, {theme.escape(answer.answer.prediction)}"
        _line(chart, 1, answer.answer.confidence_per_step, last, said, colour, "solid", _confidence)
        if not answer.answer.correct:
            name = f"{kind}: the truth, {theme.escape(image.label)}"
            _line(chart, 1, answer.truth_per_step, last, name, colour, "dot", _confidence)
        for values, name, dash in (
            (answer.energy_pj, f"{kind}: this image", "solid"),
            (answer.mean_energy_pj, f"{kind}: mean of the test set", "dash"),
        ):
            if values is not None:
                scaled = [value / factor for value in values]
                _line(
                    chart, 2, scaled, last, name, colour, dash, lambda value: energy_in(value * factor, (factor, unit))
                )
    chart.update_xaxes(tickmode="linear", dtick=max(1, last // 8), tick0=1, range=[0.8, last + 0.2])
    chart.update_xaxes(title_text="time step", row=2, col=1)
    chart.update_yaxes(title_text="confidence", range=[0, 1.03], nticks=5, row=1, col=1)
    chart.update_yaxes(title_text=f"energy so far, {unit}", rangemode="tozero", nticks=5, row=2, col=1)
    alone = any(answer.energy_pj is None for answer in answers)
    caption = [
        f"test image {image.index}, a {image.label}",
        f"mode {image.mode}, profile {image.profile}",
        theme.LAYER_BY_LAYER if any(theme.is_level(answer.mean_energy_pj) for answer in answers) else "",
        "this mode has no energy of one image: the mean of the test set stands alone" if alone else "",
        source,
    ]
    return theme.frame(
        chart, name="image", title=TITLE, caption=caption, height=430, revision=f"{image.index}|{image.mode}"
    )


def _confidence(value: float) -> str:
    return f"confidence {theme.percent(value)}"


def _line(chart: go.Figure, row: int, values: list[float], last: int, name: str, colour: str, dash: str, say) -> None:
    """A network with a single pass is a level line: what it says and costs does not change with time."""
    level = len(values) == 1
    x = [1, max(last, 2)] if level else list(range(1, len(values) + 1))
    y = values * 2 if level else values
    chart.add_scatter(
        x=x, y=y, mode="lines" if level else "lines+markers", name=name, row=row, col=1,
        line={"color": colour, "dash": dash, "width": 2}, marker={"size": 6, "color": colour},
        hovertext=[f"<b>{name}</b><br>{'one pass' if level else f'after step {t}'}: {say(value)}"
                   for t, value in zip(x, y, strict=True)],
        hoverinfo="text",
    )  # fmt: skip


def rows(image: SeenImage) -> list[dict[str, object]]:
    """The figure's data, a row a network and step."""
    return [
        {"network": answer.answer.kind.value, "step": t + 1, "answer": answer.answer.prediction, "truth": image.label,
         "confidence_in_answer": answer.answer.confidence_per_step[t],
         "confidence_in_truth": answer.truth_per_step[t],
         "energy_pj": answer.energy_pj[t] if answer.energy_pj is not None else None,
         "mean_energy_pj": answer.mean_energy_pj[t], "mode": image.mode, "profile": image.profile}
        for answer in (image.run, image.twin) if answer is not None
        for t in range(len(answer.truth_per_step))
    ]  # fmt: skip
