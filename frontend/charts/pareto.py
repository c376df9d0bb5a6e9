"""Accuracy against energy: own runs, the front they form, and the paper's printed points."""

from __future__ import annotations

import math
from collections.abc import Callable

import plotly.graph_objects as go

from core.schemas.api import Pareto, ParetoPoint, PublishedPoint
from core.schemas.run import Kind
from core.units import energy_scale, format_count, format_energy
from frontend.charts import theme

TITLE = "Accuracy against energy"
PRINTED_NOTE = "printed: energy of one time step"
Place = Callable[[float], float]  # energy in pJ to its place on the axis
CLOSE = (0.16, 0.06)  # shares of the plot's width and height within which two names would overlap


def figure(pareto: Pareto, *, x_log: bool = True, highlight: str | None = None) -> go.Figure:
    """Filled marks are own runs (circle SNN, square CNN), hollow ones are printed; the step line is the front.

    Each own mark's customdata is [run_id]; `highlight` names a run to ring. On a log axis a run that costs
    nothing stands on the left edge and says so.
    """
    if not pareto.points and not pareto.published:
        return theme.empty(
            name="pareto", title=TITLE, sentence=f"No finished run on {pareto.dataset} yet. Launch one to see it here."
        )
    energies = [point.energy_pj for point in (*pareto.points, *pareto.published)]
    positive = [energy for energy in energies if energy > 0]
    factor, unit = energy_scale(sorted(positive)[len(positive) // 2] if positive else 1.0)
    edge = min(positive) / 2 / factor if positive else 1.0

    def x_of(energy_pj: float) -> float:
        return edge if x_log and energy_pj <= 0 else energy_pj / factor

    chart = go.Figure()
    _front(chart, pareto, x_of)
    _published(chart, pareto.published, x_of)
    _runs(chart, pareto, x_of, _named(pareto, x_of, x_log))
    chosen = next((point for point in pareto.points if point.run_id == highlight), None)
    if chosen is not None:
        chart.add_scatter(
            x=[x_of(chosen.energy_pj)], y=[100 * chosen.accuracy], mode="markers", name="chosen run",
            marker={"symbol": "circle-open", "size": 22, "color": theme.PURPLE, "line": {"width": 3}},
            customdata=[[chosen.run_id]], hoverinfo="skip", showlegend=False,  # a click on the ring means its run
        )  # fmt: skip
    chart.update_xaxes(title_text=f"energy per inference, {unit}", nticks=8)
    if x_log:
        xs = [x_of(energy) for energy in energies]
        span = max(math.log10(max(xs) / min(xs)), 0.2)
        chart.update_xaxes(
            type="log", range=[math.log10(min(xs)) - 0.08 * span, math.log10(max(xs)) + 0.12 * span],
            **theme.log_ticks(min(xs), max(xs)),
        )  # fmt: skip
    else:
        chart.update_xaxes(rangemode="tozero")
    chart.update_yaxes(title_text="top-1 accuracy, %", nticks=7)
    caption = [
        f"{pareto.dataset}",
        f"{theme.count_of(len(pareto.points), 'run')}, {len(pareto.front)} on the front",
        _test_images(pareto),
        f"mode {pareto.mode}" + (" (one time step)" if pareto.mode == "paper" else " (all time steps)"),
        f"profile {pareto.profile}",
        "hollow: printed by Kabir et al. for one time step" if pareto.published else "",
        _subset(pareto),
    ]
    return theme.frame(
        chart, name="pareto", title=TITLE, caption=caption, height=400,
        revision=f"{pareto.dataset}|{pareto.mode}|{pareto.profile}|{x_log}",
    )  # fmt: skip


def _test_images(pareto: Pareto) -> str:
    sizes = sorted({point.n_test for point in pareto.points})
    if not sizes:
        return ""
    return f"n = {sizes[0]:,} test images" if len(sizes) == 1 else f"n = {sizes[0]:,} to {sizes[-1]:,} test images"


def _subset(pareto: Pareto) -> str:
    part = sum(not point.dataset_complete for point in pareto.points)
    if not part:
        return ""
    return "data on disk is a subset of the published set" if part == len(pareto.points) else f"{part} runs on a subset"


def _front(chart: go.Figure, pareto: Pareto, x_of: Place) -> None:
    """The best accuracy that any run reaches for at most this energy, level up to the dearest run."""
    by_id = {point.run_id: point for point in pareto.points}
    front = [by_id[run_id] for run_id in pareto.front if run_id in by_id]
    if not front:
        return
    front.sort(key=lambda point: (point.energy_pj, point.accuracy))
    xs = [x_of(point.energy_pj) for point in front]
    ys = [100 * point.accuracy for point in front]
    dearest = max(x_of(point.energy_pj) for point in pareto.points)
    chart.add_scatter(
        x=[*xs, max(dearest, xs[-1])], y=[*ys, ys[-1]], mode="lines", name="Pareto front", legendrank=30,
        line={"shape": "hv", "color": theme.NEUTRAL, "width": 2}, hoverinfo="skip",
    )  # fmt: skip


def _runs(chart: go.Figure, pareto: Pareto, x_of: Place, named: set[str]) -> None:
    families: dict[tuple[str, Kind], list[ParetoPoint]] = {}
    for point in pareto.points:
        families.setdefault((point.backbone, point.kind), []).append(point)
    for (backbone, kind), points in sorted(families.items()):
        base = theme.SYMBOL[kind]
        chart.add_scatter(
            x=[x_of(point.energy_pj) for point in points],
            y=[100 * point.accuracy for point in points],
            mode="markers+text",
            name=theme.escape(points[0].label.rpartition(" ")[0]),  # the label without its mask
            legendrank=10 if kind is Kind.SNN else 20,
            text=[theme.escape(point.mask_name or "") if point.run_id in named else "" for point in points],
            textposition="bottom center",
            textfont={"size": 10},
            marker={
                "color": theme.colour(backbone, kind),
                "symbol": ["triangle-left" if point.energy_pj <= 0 else base for point in points],
                "size": [13 if point.on_front else 9 for point in points],
                "opacity": [1.0 if point.on_front else 0.75 for point in points],
                "line": {"width": 1, "color": "rgba(255,255,255,.8)"},
            },
            customdata=[[point.run_id] for point in points],
            hovertext=[_hover(point, pareto) for point in points],
            hoverinfo="text",
        )


def _named(pareto: Pareto, x_of: Place, x_log: bool) -> set[str]:
    """Runs of the front whose mask's name has room: from the most accurate down, none close to a named one."""
    if not pareto.points:
        return set()
    places = {
        point.run_id: (math.log10(x_of(point.energy_pj)) if x_log else x_of(point.energy_pj), point.accuracy)
        for point in pareto.points
    }
    wide, tall = (max(axis) - min(axis) or 1.0 for axis in zip(*places.values(), strict=True))
    named: set[str] = set()
    for point in sorted(pareto.points, key=lambda point: -point.accuracy):
        x, y = places[point.run_id]
        crowded = any(
            abs(x - places[n][0]) < CLOSE[0] * wide and abs(y - places[n][1]) < CLOSE[1] * tall for n in named
        )
        if point.on_front and not crowded:
            named.add(point.run_id)
    return named


def _published(chart: go.Figure, points: list[PublishedPoint], x_of: Place) -> None:
    for kind in Kind:
        rows = [point for point in points if point.kind == kind]
        if rows:
            chart.add_scatter(
                x=[x_of(point.energy_pj) for point in rows],
                y=[100 * point.accuracy for point in rows],
                mode="markers",
                name=f"{kind.value.upper()}, printed",
                legendrank=40,
                marker={
                    "symbol": f"{theme.SYMBOL[kind]}-open",
                    "size": 10,
                    "color": theme.BLUE if kind is Kind.SNN else theme.VERMILION,
                    "line": {"width": 1.6},
                },
                hovertext=[_printed_hover(point) for point in rows],
                hoverinfo="text",
            )


def _hover(point: ParetoPoint, pareto: Pareto) -> str:
    energy = format_energy(point.energy_pj)
    if point.energy_pj <= 0:
        energy += " (no place on a log axis: drawn at its left edge)"
    steps = f"T = {point.time_steps}" if point.kind is Kind.SNN else "one pass"
    rate = "" if point.firing_rate is None else f" · firing rate {point.firing_rate:.3f}"
    lines = [
        f"<b>{theme.escape(point.label)}</b>{' · on the front' if point.on_front else ''}",
        f"{theme.percent(point.accuracy, 2)} of n = {point.n_test:,} test images · F1 {point.f1_macro:.3f}",
        f"{energy} ({theme.escape(pareto.mode)}, {theme.escape(pareto.profile)})",
        f"{format_count(point.acs)} AC · {format_count(point.macs)} MAC",
        f"{point.params:,} parameters · {steps}{rate}",
        f"recipe {theme.escape(point.recipe)} · seed {point.seed}",
        f"trained on {point.n_train:,} images · {'complete data' if point.dataset_complete else 'subset of the data'}",
    ]
    return "<br>".join(lines)


def _printed_hover(point: PublishedPoint) -> str:
    ops = " · ".join(
        f"{format_count(value)} {name}" for name, value in (("AC", point.acs), ("MAC", point.macs)) if value is not None
    )
    lines = [
        f"<b>{theme.escape(point.model)}</b> · {point.kind.value.upper()}, printed",
        f"{theme.percent(point.accuracy, 2)}" + ("" if point.f1_macro is None else f" · F1 {point.f1_macro:.3f}"),
        f"{format_energy(point.energy_pj)}" + (" of one time step" if point.kind is Kind.SNN else ""),
        ops,
        "" if point.params is None else f"{format_count(point.params)} parameters",
        f"Kabir et al., arXiv:2602.09717, {theme.escape(point.table)}",
        "its own prices: profile and mode do not move it",
    ]
    return "<br>".join(line for line in lines if line)
