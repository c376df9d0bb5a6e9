"""What a mark of the Pareto plot says when it is pointed at: every figure that it rests on."""

from __future__ import annotations

from collections.abc import Mapping

from core.report.charts import theme
from core.report.charts.pareto_marks import Spread
from core.schemas.pareto import Pareto, ParetoPoint, PublishedPoint
from core.schemas.run import Kind
from core.units import energy_in, format_count

Unit = tuple[float, str]  # (pJ in it, its name): one for all marks of a plot


def own_hover(
    point: ParetoPoint,
    pareto: Pareto,
    on_front: bool,
    spreads: Mapping[str, Spread],
    sure: Mapping[str, float] | None,
    unit: Unit,
) -> str:
    energy = energy_in(point.energy_pj, unit)
    if point.energy_pj <= 0:
        energy += " (no place on a log axis: drawn at its left edge)"
    steps = f"T = {point.time_steps}" if point.kind is Kind.SNN else "one pass"
    rate = "" if point.firing_rate is None else f" · firing rate {point.firing_rate:.3f}"
    spread = spreads.get(point.run_id)
    several = spread is not None and spread.n > 1
    around = f" ± {100 * spread.accuracy:.2f} (n = {spread.n} seeds)" if several else ""
    tested = "" if point.n_test is None else f" of n = {point.n_test:,} test images"
    lines = [
        f"<b>{theme.escape(getattr(point, 'called', None) or point.title)}</b>{' · on the front' if on_front else ''}",
        theme.escape(point.described) if point.own_name else "",
        f"{theme.percent(point.accuracy, 2)}{around}{tested} · F1 {point.f1_macro:.3f}",
        f"{energy} ({theme.escape(pareto.mode)}, {theme.escape(pareto.profile + pareto.moved_prices)})",
        "" if point.acs is None else f"{format_count(point.acs)} AC · {format_count(point.macs)} MAC",
        f"{point.params:,} parameters · {steps}{rate}",
        f"recipe {theme.escape(point.recipe)} · " + (f"{spread.n} seeds" if several else f"seed {point.seed}"),
        "" if point.n_train is None else f"trained on {point.n_train:,} images · {_how_much(point)}",
    ]
    if sure is not None:
        lines.append(f"on the front with probability {theme.percent(sure.get(point.run_id, 0.0), 0)}")
    return "<br>".join(line for line in lines if line)


def _how_much(point: ParetoPoint) -> str:
    return "complete data" if point.dataset_complete else "subset of the data"


def _of_what(point: PublishedPoint) -> str:
    """A CNN has one step, which need not be said."""
    if not point.is_of_the_paper:
        return f", {theme.escape(point.energy_is)}"
    return " of one time step" if point.kind is Kind.SNN else ""


def printed_hover(point: PublishedPoint, fault: str | None, unit: Unit) -> str:
    ops = " · ".join(
        f"{format_count(value)} {name}" for name, value in (("AC", point.acs), ("MAC", point.macs)) if value is not None
    )
    lines = [
        f"<b>{theme.escape(point.named)}</b>, printed",
        f"{theme.percent(point.accuracy, 2)}" + ("" if point.f1_macro is None else f" · F1 {point.f1_macro:.3f}"),
        energy_in(point.energy_pj, unit) + _of_what(point),
        ops,
        "" if point.params is None else f"{format_count(point.params)} parameters",
        theme.escape(f"{point.source}, {point.table}" if point.is_of_the_paper else point.source),
        "its own prices: profile and mode do not move it",
        "" if fault is None else f"✗ the audit contradicts: {theme.escape(fault)}",
    ]
    return "<br>".join(line for line in lines if line)
