"""Early exit: each image stops when the network is sure enough, against all images stopping at the same step."""

from __future__ import annotations

import plotly.graph_objects as go

from core.report.charts import theme
from core.schemas.diagnostics import Exits, Steps
from core.units import energy_in, energy_scale

TITLE = "Early exit by confidence"


def figure(exits: Exits, *, fixed: Steps | None = None, source: str = "") -> go.Figure:
    """Accuracy in percent over mean energy per image: a mark a threshold, and the fixed T' to compare with.

    Over the mean number of steps where no step saves energy (a layer-synchronous network).
    """
    energies = [point.energy_pj for point in exits.points] + [p.energy_pj for p in (fixed.points if fixed else [])]
    factor, unit = energy_scale(max(energies))
    flat = exits.time_steps > 1 and theme.is_level(energies)
    chart = go.Figure()
    if fixed is not None:
        chart.add_scatter(
            x=[point.steps if flat else point.energy_pj / factor for point in fixed.points],
            y=[100 * point.accuracy for point in fixed.points],
            mode="lines+markers",
            name="every image takes T' steps",
            line={"color": theme.NEUTRAL, "width": 1.5, "dash": "dot"},
            marker={"size": 8, "symbol": "square-open", "color": theme.NEUTRAL},
            hovertext=[
                f"<b>T' = {p.steps} for every image</b><br>{theme.percent(p.accuracy, 2)}<br>{energy_in(p.energy_pj, (factor, unit))}"
                for p in fixed.points
            ],
            hoverinfo="text",
        )
    shown = sorted(exits.points, key=lambda point: (point.mean_steps if flat else point.energy_pj, point.threshold))
    chart.add_scatter(
        x=[point.mean_steps if flat else point.energy_pj / factor for point in shown],
        y=[100 * point.accuracy for point in shown],
        mode="lines+markers",
        name="each image stops when sure",
        line={"color": theme.BLUE, "width": 2},
        marker={"size": 9, "color": theme.BLUE},
        hoverinfo="text",
        hovertext=[
            f"<b>confidence {point.threshold:g}</b><br>{theme.percent(point.accuracy, 2)} accuracy<br>"
            f"{energy_in(point.energy_pj, (factor, unit))} a mean image<br>{point.mean_steps:.2f} steps in the mean<br>"
            + "<br>".join(f"{n:,} images stop after {t}" for t, n in enumerate(point.images, 1) if n)
            for point in shown
        ],
    )
    chart.update_xaxes(
        title_text="mean time steps per image" if flat else f"mean energy per inference, {unit}", nticks=6
    )
    chart.update_yaxes(title_text="accuracy, %", nticks=6)
    caption = [
        f"{len(shown)} thresholds of the confidence",
        f"n = {exits.n:,} test images",
        f"mode {exits.mode}, profile {exits.profile}",
        f"{theme.LAYER_BY_LAYER}: {energy_in(energies[0], (factor, unit))}" if flat else "",
        "the price of softmax and comparison is not included",
        source,
    ]
    return theme.frame(
        chart, name="exits", title=TITLE, caption=caption, height=340, revision=f"{exits.mode}|{exits.profile}"
    )


def rows(exits: Exits) -> list[dict[str, object]]:
    """The figure's data, a row a threshold."""
    return [
        {"mode": exits.mode, "profile": exits.profile, **point.model_dump(exclude={"images"})}
        | {f"images_after_{t}": n for t, n in enumerate(point.images, 1)}
        for point in exits.points
    ]
