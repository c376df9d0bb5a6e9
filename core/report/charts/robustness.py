"""Accuracy and energy of a finished run against the strength of one kind of disturbance."""

from __future__ import annotations

import plotly.graph_objects as go
from plotly.subplots import make_subplots

from core.report import robustness_words as words
from core.report.charts import theme
from core.schemas.robustness import Disturbance, PricedRobustness, RobustnessPoint
from core.units import energy_in, energy_scale


def figure(found: PricedRobustness, kind: Disturbance, *, source: str = "") -> go.Figure:
    """Two panels over the strength, mildest first: top-1 accuracy in percent with its interval, energy per inference."""
    points = found.of(kind)
    # bits halve and end: equal steps of a category, full weights first
    at = [_bits(point) if kind == "weight_bits" else point.strength or 0.0 for point in points]
    scale = energy_scale(max(point.energy_pj for point in points))
    factor, unit = scale
    hover = [_hover(point, scale) for point in points]
    line = {"line": {"color": theme.BLUE, "width": 2}, "marker": {"size": 8, "color": theme.BLUE}}
    chart = make_subplots(rows=2, cols=1, shared_xaxes=True, vertical_spacing=0.09)
    chart.add_scatter(
        x=at, y=[100 * point.accuracy for point in points], mode="lines+markers", name="accuracy", showlegend=False,
        error_y={
            "type": "data", "symmetric": False, "thickness": 1, "width": 3, "color": theme.tint(theme.BLUE, 0.7),
            "array": [100 * (point.high - point.accuracy) for point in points],
            "arrayminus": [100 * (point.accuracy - point.low) for point in points],
        },
        hovertext=hover, hoverinfo="text", row=1, col=1, **line,
    )  # fmt: skip
    chart.add_scatter(
        x=at, y=[point.energy_pj / factor for point in points], mode="lines+markers", name="energy", showlegend=False,
        hovertext=hover, hoverinfo="text", row=2, col=1, **line,
    )  # fmt: skip
    if kind == "weight_bits":
        chart.update_xaxes(type="category")
    else:
        chart.update_xaxes(nticks=7)
    chart.update_xaxes(title_text=words.UNITS[kind], row=2, col=1)
    chart.update_yaxes(title_text="accuracy, %", range=[0, 105], nticks=6, row=1, col=1)
    chart.update_yaxes(title_text=f"energy, {unit}", rangemode="tozero", nticks=5, row=2, col=1)
    drawn = f"noise drawn from seed {found.seed}" if kind == "noise" else ""
    caption = [*words.basis(found), "bars: 95 % interval", drawn, source]
    return theme.frame(
        chart, name=f"robustness {kind}", title=words.TITLES[kind], caption=caption, height=340,
        revision=f"{found.mode}|{found.profile}",
    )  # fmt: skip


def _bits(point: RobustnessPoint) -> str:
    return str(words.FULL_BITS if point.strength is None else int(point.strength))


def _hover(point: RobustnessPoint, scale: tuple[float, str]) -> str:
    rate = "" if point.firing_rate is None else f"<br>firing rate {point.firing_rate:.3f}"
    return (
        f"<b>{words.strength(point)}</b><br>{theme.percent(point.accuracy, 2)} accuracy, 95 % interval "
        f"{theme.percent(point.low)} to {theme.percent(point.high)}<br>{energy_in(point.energy_pj, scale)} per inference{rate}"
    )


def rows(found: PricedRobustness, kind: Disturbance | None = None) -> list[dict[str, object]]:
    """The data of one kind's figure, or of all, a row a strength, the undisturbed one first."""
    shared = {"mode": found.mode, "profile": found.profile, "n": found.n, "seed": found.seed}
    points = [found.undisturbed, *found.points] if kind is None else found.of(kind)
    return [shared | point.model_dump() for point in points]
