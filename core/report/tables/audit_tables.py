"""An audited row as HTML, and an audit as rows for CSV. Pure: no Streamlit here."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any, NamedTuple

from core.paper.printed import tables
from core.report.charts.audit_entries import SIGN, VERDICTS, Entry, Measure, depends_on_mode, measure, words
from core.report.markup import render
from core.schemas.audit import AuditFinding, MeasuredPrint
from core.units import format_energies

TITLES = ("Figure", "Printed", "Recomputed")
MEASURED = ("Measured, one step (paper)", "Measured, all steps (exact)")
PERCENT = ("accuracy", "f1_macro")
CLASS = {"contradicted": "wrong", "confirmed": "right", "not checkable": "open"}


class Cell(NamedTuple):
    """A figure as print, and over how many seeds it was measured."""

    text: str
    n: int = 0


def html(entry: Entry) -> str:
    """A row's figures: printed, recomputed, measured in two modes, and the verdict with its arithmetic to unfold.

    Where nothing was measured there are no columns for it, and what cannot be checked is folded below. A sentence's
    arithmetic is what one reads it for, so it stands open under its figure.
    """
    if entry.statement is not None:
        return _said(entry)
    measured = bool(entry.measured or entry.spiking)
    shown = [finding for finding in entry.findings if measured or finding.verdict != "not checkable"]
    rest = [finding for finding in entry.findings if finding not in shown]
    return render(
        "audit.html",
        label=_label(entry),
        titles=[*TITLES, *(MEASURED if measured else ())],
        rows=[_row(entry, finding, measured=measured) for finding in shown],
        rest=[_row(entry, finding, measured=False) for finding in rest],
        unnamed=", ".join(words(finding.field) for finding in rest),
    )


def _said(entry: Entry) -> str:
    """The figures of a sentence; without columns for numbers where it has none."""
    numbers = any(finding.printed is not None or finding.recomputed is not None for finding in entry.findings)
    return render(
        "said.html",
        label=_label(entry),
        titles=TITLES if numbers else TITLES[:1],
        rows=[_row(entry, finding, measured=False) for finding in entry.findings],
    )


def _label(entry: Entry) -> str:
    return f"Figures of {entry.model}, {entry.row}"


def totals(entry: Entry) -> str:
    """`✗ 1 contradicted · ✓ 3 confirmed`, as HTML: sign, number and word, never the colour alone."""
    found = [
        {"verdict": verdict, "n": n, "sign": SIGN[verdict], "kind": CLASS[verdict]}
        for verdict in VERDICTS
        if (n := entry.count(verdict))
    ]
    return render("totals.html", verdicts=found)


def group_words(group: MeasuredPrint) -> str:
    """What measured runs were trained with."""
    seeds = ", ".join(map(str, group.seeds))
    data = "" if group.dataset_complete else ", a subset of the published data"
    return (
        f"recipe {group.recipe}, T = {group.time_steps}, n = {len(group.seeds)} seed{'s' if len(group.seeds) > 1 else ''} "
        f"({seeds}), trained on {group.n_train:,} of {group.n_train_available:,} images{data}, tested on {group.n_test:,}"
    )


def group_figures(group: MeasuredPrint) -> str:
    """The figures of further runs of the same row, in words."""
    spread = f" ± {100 * group.accuracy.deviation:.1f}" if group.accuracy.deviation is not None else ""
    costs = format_energies([bill.energy_pj.mean for bill in group.modes])
    energies = ", ".join(f"{cost} in mode {bill.mode}" for cost, bill in zip(costs, group.modes, strict=True))
    return f"{100 * group.accuracy.mean:.1f}{spread} %, {energies}"


def differences(group: MeasuredPrint) -> str:
    """What separates the measured energies from the printed one, for both modes."""
    return " ".join(f"Mode {bill.mode}: {bill.difference}" for bill in group.modes)


def rows(entries: Iterable[Entry]) -> list[dict[str, Any]]:
    """One row a finding, for CSV."""
    made = []
    for entry in entries:
        for finding in entry.findings:
            paper, exact = (measure(entry, finding.field, mode) for mode in ("paper", "exact"))
            made.append(
                {
                    "table": finding.table, "row": finding.row, "model": finding.model,
                    "datasets": " ".join(finding.datasets), "field": finding.field, "unit": finding.unit,
                    "printed": finding.printed, "recomputed": finding.recomputed, "low": finding.low,
                    "high": finding.high, "measured_paper": paper and paper.value, "measured_exact": exact and exact.value,
                    "deviation_paper": paper and paper.deviation, "deviation_exact": exact and exact.deviation,
                    "n_seeds": paper and paper.n, "verdict": finding.verdict, "arithmetic": finding.arithmetic,
                    "statement": finding.statement, "place": finding.place,
                }
            )  # fmt: skip
    return made


def example_csv() -> str:
    """A table in the form that is understood: the paper's own rows on CIFAR-100, as printed."""
    lines = [
        f"{row['model']},{row['ac_k']:g},{row['mac_k']:g},{row['energy_mj']},{row['params_k']:g},{row['accuracy']}"
        for row in tables()["table1_snn"]
        if row["dataset"] == "cifar100"
    ]
    return "\n".join(["model,ac_k,mac_k,energy_mj,params_k,accuracy", *lines, ""])


def _row(entry: Entry, finding: AuditFinding, *, measured: bool) -> dict[str, Any]:
    """What the template needs of a finding; a figure that does not depend on the mode has one measured cell."""
    modes = ("paper", "exact") if depends_on_mode(finding.field) else ("paper",)
    return {
        "name": named(finding),
        "printed": _number(finding.printed, finding.field),
        "recomputed": _number(finding.recomputed, finding.field),
        "measured": [_measured(measure(entry, finding.field, mode), finding.field) for mode in modes]
        if measured
        else [],
        "verdict": finding.verdict,
        "sign": SIGN[finding.verdict],
        "kind": CLASS[finding.verdict],
        "arithmetic": finding.arithmetic,
    }


def named(finding: AuditFinding) -> str:
    """A figure and its unit, as a row's heading."""
    unit = f", {finding.unit}" if finding.unit not in ("", "steps") else ""
    return words(finding.field) + unit


def _measured(one: Measure | None, field: str) -> Cell | None:
    if one is None:
        return None
    if one.deviation is None or not one.value:
        return Cell(plain_figure(one.value, field), one.n)
    # the deviation at the digits of the value
    digits = 3 if field in PERCENT else max(0, 3 - math.floor(math.log10(abs(one.value))))
    return Cell(f"{one.value:,.{digits}f} ± {one.deviation:,.{digits}f}", one.n)


def _number(value: float | None, field: str) -> Cell | None:
    return None if value is None else Cell(plain_figure(value, field))


def plain_figure(value: float, field: str) -> str:
    """A figure of a finding as print."""
    if field in PERCENT:
        return f"{value:.3g}"
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.4g}"
