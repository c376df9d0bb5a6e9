"""Estimated energy of each layer, with the part spent on accumulates, on multiply-accumulates and on memory."""

from __future__ import annotations

import plotly.graph_objects as go

from core.energy.profiles import profiles
from core.report.charts import theme
from core.report.charts.layer_order import height, layer_axis, unit
from core.schemas.bill import LayerBill, Layers
from core.units import energy_scale, format_count, format_energy

TITLE = "Energy per layer"


def ac_energy_pj(bill: LayerBill, profile: str) -> float:
    """The part of a layer's energy that its accumulates take, pJ; the rest is its MACs' and its memory's.

    Only a layer that has both kinds needs the profile's prices. Raises UnknownName for an unknown profile.
    """
    arithmetic = bill.energy_pj - bill.memory_energy_pj
    if not bill.acs:
        return 0.0
    if not bill.macs:
        return arithmetic
    return arithmetic - bill.macs * profiles()[profile].mac_pj  # what is billed otherwise than as an AC is no MAC


def figure(layers: Layers, *, source: str = "") -> go.Figure:
    """Stacked bars, pJ scaled to a readable unit; a layer is a convolution with its norm and neurons."""
    rows: dict[str, list[LayerBill]] = {}
    for bill in layers.layers:
        if bill.energy_pj > 0 or bill.dense_ops > 0:
            rows.setdefault(unit(bill.name), []).append(bill)
    if not rows or layers.total_energy_pj <= 0:
        return theme.empty(
            name="energy", title=TITLE, sentence=f"No layer costs anything in the mode {layers.mode}: nothing to draw."
        )
    names = list(rows)
    ac = [sum(ac_energy_pj(bill, layers.profile) for bill in bills) for bills in rows.values()]
    total = [sum(bill.energy_pj for bill in bills) for bills in rows.values()]
    memory = [sum(bill.memory_energy_pj for bill in bills) for bills in rows.values()]
    mac = [max(whole - part - rest, 0.0) for whole, part, rest in zip(total, ac, memory, strict=True)]
    factor, name_of_unit = energy_scale(max(total))
    hover = [_hover(name, bills, layers) for name, bills in rows.items()]
    chart = go.Figure()
    parts = [
        ("accumulates (AC)", ac, theme.AC_COLOUR, ""),
        ("multiply-accumulates (MAC)", mac, theme.MAC_COLOUR, "/"),
        ("memory and addresses", memory, theme.MEMORY_COLOUR, "."),
    ]
    for title, values, colour, pattern in parts if any(memory) else parts[:2]:
        chart.add_bar(
            x=[value / factor for value in values],
            y=[theme.escape(name) for name in names],
            orientation="h",
            name=title,
            marker={
                "color": colour,
                "pattern": {"shape": pattern, "fillmode": "overlay", "fgcolor": "rgba(255,255,255,.6)", "size": 5},
            },
            hovertext=hover,
            hoverinfo="text",
        )
    chart.update_layout(barmode="stack", bargap=0.25, legend_traceorder="normal")
    chart.update_xaxes(title_text=f"energy per inference, {name_of_unit}", rangemode="tozero", nticks=6)
    layer_axis(chart, names)
    caption = [
        f"{format_energy(layers.total_energy_pj)} in all",
        _span(layers),
        f"profile {layers.profile}",
        f"mean of n = {layers.n_samples:,} test images",
        source,
    ]
    return theme.frame(
        chart,
        name="energy",
        title=TITLE,
        caption=caption,
        height=height(len(names)),
        revision=f"{layers.mode}|{layers.profile}",
    )


def _span(layers: Layers) -> str:
    """Which steps the mode charges: the paper's tables hold one step, whatever T is."""
    if layers.mode == "paper":
        return f"mode paper: one time step of {layers.time_steps}" if layers.time_steps > 1 else "mode paper: one pass"
    return f"mode {layers.mode}: all {theme.count_of(layers.time_steps, 'time step')}"


def _hover(name: str, bills: list[LayerBill], layers: Layers) -> str:
    energy = sum(bill.energy_pj for bill in bills)
    lines = [
        f"<b>{theme.escape(name)}</b>",
        f"{format_energy(energy)} ({theme.percent(energy / layers.total_energy_pj)} of the network)",
        f"{format_count(sum(bill.acs for bill in bills))} AC, {format_count(sum(bill.macs for bill in bills))} MAC",
        f"{format_count(sum(bill.dense_ops for bill in bills))} dense ops a step",
    ]
    if len(bills) > 1:
        lines += [f"  {theme.escape(bill.kind)}: {format_energy(bill.energy_pj)}" for bill in bills]
    return "<br>".join(lines)


def rows(layers: Layers) -> list[dict[str, object]]:
    """The bill of each operation of the network, a row each."""
    return [
        {
            **bill.model_dump(exclude={"output_shape", "firing_rate_per_step"}),
            "mode": layers.mode,
            "profile": layers.profile,
            "n_samples": layers.n_samples,
        }
        for bill in layers.layers
    ]
