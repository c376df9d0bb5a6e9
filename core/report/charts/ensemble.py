"""One network that asks another where it is unsure: accuracy over energy, and both networks alone and together."""

from __future__ import annotations

import plotly.graph_objects as go

from core.report.charts import theme
from core.report.charts.comparison_names import letters, names
from core.schemas.compare import Comparison
from core.schemas.ensemble import CascadePoint, ComparedEnsemble
from core.units import energy_in, energy_scale

TITLE = "One network asks the other"


def figure(found: ComparedEnsemble, comparison: Comparison) -> go.Figure:
    """Accuracy in percent over mean energy per image: a mark a threshold, and marks for each network alone and the mean.

    `found`: two of the comparison's runs together.
    """
    scale = energy_scale(found.cascade[-1].energy_pj)
    factor, unit = scale
    first, second = (names(comparison)[run_id] for run_id in (found.first_id, found.second_id))
    one, other = (letters(comparison)[run_id] for run_id in (found.first_id, found.second_id))
    chart = go.Figure()
    chart.add_scatter(
        x=[point.energy_pj / factor for point in found.cascade],
        y=[100 * point.accuracy for point in found.cascade],
        mode="lines+markers",
        name=f"{other} is asked where {one} is unsure",
        line={"color": theme.NEUTRAL, "width": 2},
        marker={"size": 7, "color": theme.NEUTRAL},
        hovertext=[_hover(point, found.n, one, other, scale) for point in found.cascade],
        hoverinfo="text",
    )
    for name, given, colour, symbol in (
        (f"{one} alone", found.first, theme.BLUE, "circle"),
        (f"{other} alone", found.second, theme.VERMILION, "square"),
        ("mean of both", found.mean, theme.GREEN, "star"),
    ):
        chart.add_scatter(
            x=[given.energy_pj / factor],
            y=[100 * given.accuracy],
            mode="markers",
            name=name,
            marker={"size": 14, "color": colour, "symbol": symbol},
            hovertext=[f"<b>{name}</b><br>{theme.percent(given.accuracy, 2)}<br>{energy_in(given.energy_pj, scale)}"],
            hoverinfo="text",
        )
    chart.update_xaxes(title_text=f"mean energy per inference, {unit}", rangemode="tozero", nticks=6)
    chart.update_yaxes(title_text="accuracy, %", nticks=6)
    caption = [
        f"{first}; {second}",
        f"{len(found.cascade)} thresholds of {one}'s confidence, from 0 (never asked) to 1 (always asked)",
        f"n = {found.n:,} test images, one seed a network",
        f"mode {found.mode}, profile {found.profile}{found.moved_prices}",
        "a threshold picked from this curve is picked on the test set",
    ]
    return theme.frame(
        chart, name="ensemble", title=TITLE, caption=caption, height=360,
        revision=f"{found.first_id}|{found.second_id}|{found.mode}|{found.profile}",
    )  # fmt: skip


def _hover(point: CascadePoint, n: int, first: str, second: str, scale: tuple[float, str]) -> str:
    gain = point.against_second
    return (
        f"<b>{second} asked where {first}'s confidence is at most {point.threshold:g}</b><br>"
        f"on {point.asked:,} of {n:,} images ({100 * point.asked / n:.1f} %)<br>"
        f"{theme.percent(point.accuracy, 2)} accuracy, {100 * gain.accuracy:+.2f} points against {second} "
        f"({100 * gain.low:+.2f} to {100 * gain.high:+.2f})<br>{energy_in(point.energy_pj, scale)} a mean image"
    )
