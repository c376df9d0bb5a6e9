"""An audited row as HTML, and an audit as rows for CSV. Pure: no Streamlit here."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from html import escape
from typing import Any

from core.paper.printed import tables
from core.report.charts.audit_entries import SIGN, VERDICTS, WORDS, Entry, Measure, depends_on_mode, measure
from core.schemas.audit import AuditFinding, MeasuredPrint
from core.units import format_energy

PERCENT = ("accuracy", "f1_macro")
CLASS = {"contradicted": "wrong", "confirmed": "right", "not checkable": "open"}


def html(entry: Entry) -> str:
    """A row's figures: printed, recomputed, measured in two modes, and the verdict with its arithmetic to unfold.

    Where nothing was measured there are no columns for it, and what cannot be checked is folded below.
    """
    measured = bool(entry.measured or entry.spiking)
    shown = [finding for finding in entry.findings if measured or finding.verdict != "not checkable"]
    rest = [finding for finding in entry.findings if finding not in shown]
    return (_table(entry, shown, measured=measured) if shown else "") + (_unchecked(rest) if rest else "")


def _table(entry: Entry, findings: Sequence[AuditFinding], *, measured: bool) -> str:
    titles = ["Figure", "Printed", "Recomputed"]
    if measured:
        titles += ["Measured, one step (paper)", "Measured, all steps (exact)"]
    head = "".join(f'<th scope="col">{title}</th>' for title in titles)
    head += '<th scope="col" class="sf-verdicts">Verdict</th>'
    rows = "".join(_row(entry, finding, measured=measured) for finding in findings)
    label = escape(f"Figures of {entry.model}, {entry.row}")
    return (
        f'<div class="sf-scroll" tabindex="0" role="region" aria-label="{label}"><table class="sf-table sf-audit">'
        f"<thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table></div>"
    )


def _unchecked(findings: Sequence[AuditFinding]) -> str:
    """Figures that nothing could be held against: their names, and, unfolded, what is printed and why."""
    names = ", ".join(WORDS.get(finding.field, finding.field) for finding in findings)
    rows = "".join(
        f'<tr><th scope="row">{escape(_named(finding))}</th><td>{_number(finding.printed, finding.field)}</td>'
        f"<td>{escape(finding.arithmetic)}</td></tr>"
        for finding in findings
    )
    return (
        f'<details class="sf-rest"><summary class="sf-verdict open">Not checkable: {escape(names)}</summary>'
        f'<table class="sf-table sf-words"><thead><tr><th scope="col">Figure</th><th scope="col" class="sf-left">Printed</th>'
        f'<th scope="col" class="sf-left">Why not</th></tr></thead><tbody>{rows}</tbody></table></details>'
    )


def totals(entry: Entry) -> str:
    """`✗ 1 contradicted · ✓ 3 confirmed`, as HTML: sign, number and word, never the colour alone."""
    return " ".join(
        f'<span class="sf-verdict {CLASS[verdict]}"><span aria-hidden="true">{SIGN[verdict]}</span> {n} {verdict}</span>'
        for verdict in VERDICTS
        if (n := entry.count(verdict))
    )


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
    energies = ", ".join(f"{format_energy(bill.energy_pj.mean)} in mode {bill.mode}" for bill in group.modes)
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


def _row(entry: Entry, finding: AuditFinding, *, measured: bool) -> str:
    cells = [_number(finding.printed, finding.field), _number(finding.recomputed, finding.field)]
    body = "".join(f"<td>{cell}</td>" for cell in cells)
    if measured:
        paper, exact = (measure(entry, finding.field, mode) for mode in ("paper", "exact"))
        if depends_on_mode(finding.field):
            body += f"<td>{_measured(paper, finding.field)}</td><td>{_measured(exact, finding.field)}</td>"
        else:
            body += f'<td colspan="2" class="both">{_measured(paper, finding.field)}</td>'
    sign = f'<span aria-hidden="true">{SIGN[finding.verdict]}</span> {finding.verdict}'
    verdict = (
        f'<details><summary class="sf-verdict {CLASS[finding.verdict]}">{sign}</summary>'
        f'<div class="sf-sum">{escape(finding.arithmetic)}</div></details>'
    )
    return f'<tr><th scope="row">{escape(_named(finding))}</th>{body}<td class="sf-verdicts">{verdict}</td></tr>'


def _named(finding: AuditFinding) -> str:
    unit = f", {finding.unit}" if finding.unit not in ("", "steps") else ""
    return WORDS.get(finding.field, finding.field) + unit


def _measured(one: Measure | None, field: str) -> str:
    if one is None:
        return '<span class="sf-dim">none</span>'
    if one.deviation is None or not one.value:
        shown = _plain(one.value, field)
    else:  # the deviation at the digits of the value
        digits = 3 if field in PERCENT else max(0, 3 - math.floor(math.log10(abs(one.value))))
        shown = f"{one.value:,.{digits}f} ± {one.deviation:,.{digits}f}"
    return f'{shown} <span class="sf-dim">n = {one.n}</span>'


def _number(value: float | None, field: str) -> str:
    return '<span class="sf-dim">none</span>' if value is None else _plain(value, field)


def _plain(value: float, field: str) -> str:
    if field in PERCENT:
        return f"{value:.3g}"
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.4g}"
