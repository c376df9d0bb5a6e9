"""Estimated energy of each layer, with the part spent on accumulates, on multiply-accumulates and on memory."""

from __future__ import annotations

from typing import NamedTuple

import plotly.graph_objects as go

from core.report.charts import theme
from core.report.charts.layer_order import height, layer_axis, unit
from core.schemas.bill import LayerBill, Layers
from core.units import energy_in, energy_scale, format_count, format_energy

TITLE = "Energy per layer"


class Parts(NamedTuple):
    """What a layer's energy is spent on, pJ."""

    ac: float
    mac: float
    memory: float


def parts_of(layers: Layers) -> list[Parts]:
    """The energy of each layer, split. What was stored without a split is split by the price that a layer of MACs
    alone paid; where no layer tells it, a layer with both counts as accumulates."""
    alone = [bill for bill in layers.layers if bill.macs > 0 and not bill.acs]
    price = (alone[0].energy_pj - alone[0].memory_energy_pj) / alone[0].macs if alone else 0.0
    return [_parts(bill, price) for bill in layers.layers]


def _parts(bill: LayerBill, mac_price_pj: float) -> Parts:
    arithmetic = bill.energy_pj - bill.memory_energy_pj
    if not bill.acs:
        return Parts(0.0, arithmetic, bill.memory_energy_pj)
    mac = bill.mac_energy_pj if bill.mac_energy_pj is not None else bill.macs * mac_price_pj
    return Parts(arithmetic - mac, mac, bill.memory_energy_pj)


def figure(layers: Layers, *, source: str = "") -> go.Figure:
    """Stacked bars, pJ scaled to a readable unit; a layer is a convolution with its norm and neurons."""
    rows: dict[str, list[LayerBill]] = {}
    split: dict[str, list[Parts]] = {}
    for bill, spent in zip(layers.layers, parts_of(layers), strict=True):
        if bill.energy_pj > 0 or bill.dense_ops > 0:
            rows.setdefault(unit(bill.name), []).append(bill)
            split.setdefault(unit(bill.name), []).append(spent)
    if not rows or layers.total_energy_pj <= 0:
        return theme.empty(
            name="energy", title=TITLE, sentence=f"No layer costs anything in the mode {layers.mode}: nothing to draw."
        )
    names = list(rows)
    total = [sum(bill.energy_pj for bill in bills) for bills in rows.values()]
    ac, mac, memory = ([sum(spent[kind] for spent in parts) for parts in split.values()] for kind in range(3))
    factor, name_of_unit = energy_scale(max(total))
    hover = [_hover(name, bills, layers, (factor, name_of_unit)) for name, bills in rows.items()]
    chart = go.Figure()
    bars = [
        ("accumulates (AC)", ac, theme.AC_COLOUR, ""),
        ("multiply-accumulates (MAC)", mac, theme.MAC_COLOUR, "/"),
        ("memory and addresses", memory, theme.MEMORY_COLOUR, "."),
    ]
    for title, values, colour, pattern in bars if any(memory) else bars[:2]:
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
    return f"mode {layers.mode}: {f'all {layers.time_steps} time steps' if layers.time_steps > 1 else 'one pass'}"


def _hover(name: str, bills: list[LayerBill], layers: Layers, measure: tuple[float, str]) -> str:
    energy = sum(bill.energy_pj for bill in bills)
    lines = [
        f"<b>{theme.escape(name)}</b>",
        f"{energy_in(energy, measure)} ({theme.percent(energy / layers.total_energy_pj)} of the network)",
        f"{format_count(sum(bill.acs for bill in bills))} AC, {format_count(sum(bill.macs for bill in bills))} MAC",
        f"{format_count(sum(bill.dense_ops for bill in bills))} dense ops a step",
    ]
    if len(bills) > 1:
        lines += [f"  {theme.escape(bill.kind)}: {energy_in(bill.energy_pj, measure)}" for bill in bills]
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
