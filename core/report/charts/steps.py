"""What the first T' of T time steps already give: accuracy and energy, step by step."""

from __future__ import annotations

import plotly.graph_objects as go
from plotly.subplots import make_subplots

from core.report.charts import theme
from core.schemas.diagnostics import Steps
from core.units import energy_in, energy_scale

TITLE = "Accuracy and energy against time steps"


def figure(steps: Steps, *, twin: Steps | None = None, source: str = "") -> go.Figure:
    """Two panels over T': top-1 accuracy in percent above, energy per inference below; a CNN twin as a level line."""
    points = steps.points
    factor, unit = energy_scale(max([p.energy_pj for p in points] + [p.energy_pj for p in twin.points] if twin else
                                    [p.energy_pj for p in points]))  # fmt: skip
    at = [point.steps for point in points]
    hover = [
        f"<b>after {theme.count_of(point.steps, 'step')}</b><br>{theme.percent(point.accuracy, 2)} accuracy, "
        f"F1 {point.f1_macro:.3f}<br>{energy_in(point.energy_pj, (factor, unit))} per inference<br>mean confidence "
        f"{theme.percent(point.confidence)}"
        + ("" if point.firing_rate is None else f"<br>firing rate {point.firing_rate:.3f}")
        for point in points
    ]
    chart = make_subplots(rows=2, cols=1, shared_xaxes=True, vertical_spacing=0.09)
    chart.add_scatter(
        x=at, y=[100 * point.accuracy for point in points], mode="lines+markers", name="this network, stopped early",
        line={"color": theme.BLUE, "width": 2}, marker={"size": 8, "color": theme.BLUE}, hovertext=hover,
        hoverinfo="text", row=1, col=1,
    )  # fmt: skip
    chart.add_bar(
        x=at, y=[point.energy_pj / factor for point in points], name="energy", showlegend=False,
        marker={"color": theme.tint(theme.BLUE, 0.55), "line": {"color": theme.BLUE, "width": 1}}, hovertext=hover,
        hoverinfo="text", width=0.5, row=2, col=1,
    )  # fmt: skip
    if twin is not None:
        last = twin.points[-1]
        ends = [at[0] - 0.5, at[-1] + 0.5]
        for row, value in ((1, 100 * last.accuracy), (2, last.energy_pj / factor)):
            chart.add_scatter(
                x=ends, y=[value, value], mode="lines", name="CNN twin, one pass", legendgroup="twin",
                showlegend=row == 1, line={"color": theme.VERMILION, "width": 2, "dash": "dash"}, hoverinfo="text",
                hovertext=f"CNN twin: {theme.percent(last.accuracy, 2)}, {energy_in(last.energy_pj, (factor, unit))}", row=row, col=1,
            )  # fmt: skip
    chart.update_xaxes(range=[at[0] - 0.5, at[-1] + 0.5], tickmode="linear", dtick=max(1, len(at) // 8), tick0=at[0])
    chart.update_xaxes(title_text="time steps used, T'", row=2, col=1)
    chart.update_yaxes(title_text="accuracy, %", nticks=5, row=1, col=1)
    chart.update_yaxes(title_text=f"energy, {unit}", rangemode="tozero", nticks=5, row=2, col=1)
    caption = [
        f"one network trained with T = {steps.time_steps}, stopped after T' steps",
        f"n = {steps.n:,} test images",
        f"energy per inference: mode {steps.mode}, profile {steps.profile}",
        "the mode paper bills one step whatever T' is" if steps.mode == "paper" else "",
        theme.LAYER_BY_LAYER if steps.mode != "paper" and theme.is_level(point.energy_pj for point in points) else "",
        source,
    ]
    return theme.frame(
        chart, name="steps", title=TITLE, caption=caption, height=380, revision=f"{steps.mode}|{steps.profile}"
    )


def rows(steps: Steps) -> list[dict[str, object]]:
    """The figure's data, a row a T'."""
    return [{"mode": steps.mode, "profile": steps.profile, **point.model_dump()} for point in steps.points]
