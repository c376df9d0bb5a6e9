"""Rows of an audit with their findings, and what was measured of each figure."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from core.schemas.audit import Audit, AuditFinding, MeasuredPrint
from core.units import PJ_PER_MJ

#: Of several verdicts in one row the one that matters most comes first.
VERDICTS = ("contradicted", "confirmed", "not checkable")
SIGN = {"contradicted": "✗", "confirmed": "✓", "not checkable": "–"}
#: What a finding's field is about, in words.
WORDS = {
    "energy": "Energy", "cnn_energy": "Energy of the CNN", "snn_energy": "Energy of the SNN", "params": "Parameters",
    "macs": "MACs", "acs": "ACs", "time_steps": "Time steps", "accuracy": "Accuracy", "f1_macro": "F1",
    "cnn_accuracy": "Accuracy of the CNN", "snn_accuracy": "Accuracy of the SNN", "delta_accuracy": "Loss of accuracy",
    "energy_ratio": "Energy, CNN over SNN", "params by classes": "Parameters a class",
    "macs by classes": "MACs of further classes", "equal params": "Equal parameters",
}  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class Measure:
    """A measured figure in the finding's unit; `deviation` over n seeds, None for one."""

    value: float
    n: int
    deviation: float | None = None


@dataclass(frozen=True, kw_only=True)
class Entry:
    """One printed row, or a check of several. `measured` are its network's runs, `spiking` those of its SNN twin."""

    row: str
    table: str
    model: str
    datasets: tuple[str, ...]
    findings: tuple[AuditFinding, ...]
    measured: tuple[MeasuredPrint, ...] = ()
    spiking: tuple[MeasuredPrint, ...] = ()

    @property
    def several(self) -> bool:
        """A check of several rows: nothing that one could train."""
        return "+" in self.row

    @property
    def statement(self) -> str | None:
        """What the source's text says here; None for a row of a table."""
        return self.findings[0].statement

    @property
    def where(self) -> str | None:
        """Where the text says it."""
        return self.findings[0].place

    @property
    def trainable(self) -> bool:
        return not self.several and self.statement is None

    def count(self, verdict: str) -> int:
        return sum(finding.verdict == verdict for finding in self.findings)


def entries(audit: Audit, measured: Iterable[MeasuredPrint] = ()) -> list[Entry]:
    """The audit's rows in its order, each with the runs that belong to it."""
    runs: dict[str, list[MeasuredPrint]] = {}
    for one in measured:
        runs.setdefault(one.row, []).append(one)
    rows: dict[tuple[str, str], list[AuditFinding]] = {}
    for finding in audit.findings:
        rows.setdefault((finding.table, finding.row), []).append(finding)
    return [
        Entry(
            row=row,
            table=table,
            model=findings[0].model,
            datasets=tuple(findings[0].datasets),
            findings=tuple(findings),
            measured=tuple(runs.get(row, ())),
            spiking=tuple(runs.get(row.replace("table2/", "table1/"), ())) if row.startswith("table2/") else (),
        )
        for (table, row), findings in rows.items()
    ]


def measure(entry: Entry, field: str, mode: str) -> Measure | None:
    """What the row's first group of runs gave for a field, in an accounting mode; None where nothing was measured."""
    name = field.removeprefix("cnn_").removeprefix("snn_")
    group = entry.spiking if field.startswith("snn_") else entry.measured
    if not group:
        return None
    first, scale = group[0], 100.0 if field.endswith("_accuracy") else 1.0  # table 2 prints per cent
    if field == "delta_accuracy":
        return None
    if name in ("accuracy", "f1_macro"):
        figure = getattr(first, name)
        return Measure(value=scale * figure.mean, n=figure.n, deviation=figure.deviation and scale * figure.deviation)
    if name == "params":
        return Measure(value=first.params, n=len(first.seeds))
    bill = next(bill for bill in first.modes if bill.mode == mode)
    if name in ("acs", "macs"):
        return Measure(value=getattr(bill, name), n=len(first.seeds))
    if name == "energy":
        energy = bill.energy_pj
        return Measure(
            value=energy.mean / PJ_PER_MJ, n=energy.n, deviation=energy.deviation and energy.deviation / PJ_PER_MJ
        )
    return None


def words(field: str) -> str:
    """What a finding's field is called."""
    return WORDS.get(field, field[:1].upper() + field[1:])


def depends_on_mode(field: str) -> bool:
    return field.endswith("energy") or field in ("acs", "macs")
