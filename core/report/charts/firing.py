"""How often the neurons of each layer fire, over all steps and at each step."""

from __future__ import annotations

import plotly.graph_objects as go
from plotly.colors import sample_colorscale

from core.report.charts import theme
from core.report.charts.layer_order import height, layer_axis, unit
from core.schemas.bill import LayerBill, Layers

TITLE = "Firing rate per layer"
TARGET = 0.3  # Kabir et al., arXiv:2602.09717: average firing rate below 0.3 per neuron and step
MOST_STEPS = 8  # more marks than this hide each other: only their range is drawn


def figure(layers: Layers, *, source: str = "") -> go.Figure:
    """Bars of spikes / (neurons x T) with a mark for each step; layers without neurons have no row."""
    rows = [bill for bill in layers.layers if bill.firing_rate is not None]
    if not rows:
        return theme.empty(
            name="firing", title=TITLE, sentence="This network has no spiking neurons, so nothing fires. See its twin."
        )
    names = [unit(bill.name) for bill in rows]
    labels = [theme.escape(name) for name in names]
    chart = go.Figure(
        go.Bar(
            x=[bill.firing_rate for bill in rows],
            y=labels,
            orientation="h",
            name="mean over steps",
            marker={"color": theme.tint(theme.BLUE, 0.45), "line": {"color": theme.BLUE, "width": 1}},
            hovertext=[_hover(bill) for bill in rows],
            hoverinfo="text",
        )
    )
    steps = layers.time_steps
    if 1 < steps <= MOST_STEPS:
        shades = sample_colorscale("Oranges", [0.32 + 0.4 * t / (steps - 1) for t in range(steps)])
        for t in range(steps):
            chart.add_scatter(
                x=[(bill.firing_rate_per_step or [None] * steps)[t] for bill in rows],
                y=labels,
                mode="markers",
                name=f"step {t + 1}",
                hoverinfo="skip",
                marker={"color": shades[t], "size": 7, "symbol": "line-ns", "line": {"color": shades[t], "width": 2.5}},
            )
    elif steps > MOST_STEPS:
        x, y = [], []
        for bill, label in zip(rows, labels, strict=True):
            if bill.firing_rate_per_step:
                x += [min(bill.firing_rate_per_step), max(bill.firing_rate_per_step), None]
                y += [label, label, None]
        chart.add_scatter(
            x=x,
            y=y,
            mode="lines",
            name="lowest to highest step",
            line={"color": theme.ORANGE, "width": 4},
            hoverinfo="skip",
        )
    peak = max([bill.firing_rate or 0 for bill in rows] + [r for bill in rows for r in bill.firing_rate_per_step or []])
    near_target = peak > 0.6 * TARGET
    right = max(1.08 * peak, 1.08 * TARGET if near_target else 0.01)
    if near_target:
        chart.add_vline(x=TARGET, line={"color": theme.NEUTRAL, "dash": "dot", "width": 1.5})
        chart.add_annotation(
            x=TARGET, y=1, yref="paper", yanchor="bottom", text=f"target of the paper {TARGET}", showarrow=False,
            xanchor="right" if TARGET > right / 2 else "left",
        )  # fmt: skip
    chart.update_xaxes(title_text="spikes per neuron and step", range=[0, right], nticks=6)
    layer_axis(chart, names)
    chart.update_layout(bargap=0.3)
    caption = [f"mean of n = {layers.n_samples:,} test images", theme.count_of(steps, "time step"), source]
    return theme.frame(
        chart, name="firing", title=TITLE, caption=caption, height=height(len(rows)) + 14, revision=str(steps),
        above=14 if near_target else 0, listed=True,
    )  # fmt: skip


def _hover(bill: LayerBill) -> str:
    lines = [f"<b>{theme.escape(unit(bill.name))}</b>", f"rate {bill.firing_rate:.4f}"]
    rates = bill.firing_rate_per_step or []
    if 1 < len(rates) <= MOST_STEPS:
        lines += [f"step {t}: {rate:.4f}" for t, rate in enumerate(rates, 1)]
    elif rates:
        lines.append(f"steps: {min(rates):.4f} to {max(rates):.4f}")
    return "<br>".join(lines)


def rows(layers: Layers) -> list[dict[str, object]]:
    """The figure's data, a row a layer and step."""
    return [
        {"layer": bill.name, "step": t, "firing_rate": rate, "mean_firing_rate": bill.firing_rate,
         "n_samples": layers.n_samples}
        for bill in layers.layers
        for t, rate in enumerate(bill.firing_rate_per_step or [], 1)
    ]  # fmt: skip
