"""One printed row against a network trained here: printed, recomputed, measured, and what separates them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from core.energy.modes import MODES, static_macs
from core.measured import MeasuredRun
from core.paper.measured import energy_difference
from core.paper.printed import PrintedRow, tables
from core.paper.tables import paper_audit
from core.recipes.build import plan_of
from core.schemas.audit import AuditFinding
from core.schemas.run import Kind
from core.units import mj_to_pj


@dataclass(frozen=True, kw_only=True)
class Figure:
    """One figure. `recomputed` follows by arithmetic from the network or the row; None where nothing gives it."""

    name: str
    unit: str  # "" for a count or a share
    printed: float | None
    recomputed: float | None
    measured: float | None
    note: str


def figures(row: PrintedRow, run: MeasuredRun, twin: MeasuredRun | None = None) -> list[Figure]:
    """The figures of a row; `run` has the row's kind, `twin` is the spiking run beside a CNN of table 2.

    The energies are at the paper's prices, in every accounting mode that `run.bills` holds.
    """
    found = {finding.field: finding for finding in paper_audit().findings if finding.row == row.id}
    rows = [*_counts(row, run, found), *_energies(row, run, found), *_scores(row, run)]
    if twin is not None:
        rows += _pair(row, run, twin, found)
    return rows


def caveats(row: PrintedRow, run: MeasuredRun) -> list[str]:
    """Where this run is not what the paper describes."""
    config, summary = run.config, run.summary
    said = []
    if config.recipe != "paper":
        said.append(f"Recipe {config.recipe}, at most {config.training.max_epochs} epochs; the paper's has 150.")
    if not summary.dataset_complete:
        said.append(f"A subset of the data set: {summary.n_train_available:,} training images beside validation.")
    if summary.n_train < summary.n_train_available:
        said.append(f"Trained on {summary.n_train:,} of {summary.n_train_available:,} training images.")
    if not row.recovered:
        said.append(f"{row.model} is a reconstruction: how the paper's is built was not published.")
    said.append(f"One seed ({summary.seed}), n = 1; the paper does not say how many its figures rest on.")
    return said


def _counts(row: PrintedRow, run: MeasuredRun, found: dict[str, AuditFinding]) -> Iterator[Figure]:
    plan = plan_of(run.config)
    if row.params is not None:
        yield Figure(
            name="params",
            unit="",
            printed=row.params,
            recomputed=plan.params,
            measured=run.summary.params,
            note=found["params"].arithmetic,
        )
    if row.macs is not None:
        steps = found.get("time_steps")
        yield Figure(
            name="macs, one step",
            unit="",
            printed=row.macs,
            recomputed=static_macs(plan, row.kind, MODES["paper"], 1),
            measured=run.bills["paper"].macs,
            note=" ".join(finding.arithmetic for finding in (found["macs"], steps) if finding),
        )
    if row.acs is not None:
        acs = run.bills["paper"].acs
        rate = run.summary.firing_rate
        yield Figure(
            name="acs, one step",
            unit="",
            printed=row.acs,
            recomputed=None,
            measured=acs,
            note=f"x{acs / row.acs:.2f} of the printed, at a mean firing rate of {rate:.3f}; the printed network's "
            "was not published.",
        )


def _energies(row: PrintedRow, run: MeasuredRun, found: dict[str, AuditFinding]) -> Iterator[Figure]:
    finding = found["cnn_energy" if row.kind is Kind.CNN else "energy"]
    recomputed = None if finding.recomputed is None else mj_to_pj(finding.recomputed)
    for mode in MODES:
        if mode not in run.bills:
            continue
        first = mode == "paper"
        note = energy_difference([run], mode, row)
        yield Figure(
            name=f"energy, {MODES[mode].title}",
            unit="pJ",
            printed=row.energy_pj if first else None,
            recomputed=recomputed if first else None,
            measured=run.bills[mode].energy_pj,
            note=f"{finding.arithmetic} Measured {note}" if first else note,
        )


def _scores(row: PrintedRow, run: MeasuredRun) -> Iterator[Figure]:
    for name, printed, measured in (
        ("accuracy", row.accuracy, run.summary.accuracy),
        ("f1_macro", row.f1_macro, run.summary.f1_macro),
    ):
        if printed is not None:
            yield Figure(
                name=name,
                unit="",
                printed=printed,
                recomputed=None,
                measured=measured,
                note=f"{measured - printed:+.3f} on {run.summary.n_test:,} test images.",
            )


def _pair(row: PrintedRow, cnn: MeasuredRun, snn: MeasuredRun, found: dict[str, AuditFinding]) -> Iterator[Figure]:
    """What table 2 says of the spiking network, and of the two together."""
    entry = next(entry for entry in tables()["table2_cnn_cifar10"] if entry["model"] == row.model)
    yield Figure(
        name="SNN accuracy",
        unit="",
        printed=entry["snn_accuracy_pct"] / 100,
        recomputed=None,
        measured=snn.summary.accuracy,
        note=found["snn_accuracy"].arithmetic,
    )
    for mode in [mode for mode in MODES if mode in cnn.bills]:
        first = mode == "paper"
        ratio = cnn.bills[mode].energy_pj / snn.bills[mode].energy_pj
        yield Figure(
            name=f"CNN / SNN energy, {MODES[mode].title}",
            unit="x",
            printed=entry["energy_ratio"] if first else None,
            recomputed=found["energy_ratio"].recomputed if first else None,
            measured=ratio,
            note=found["energy_ratio"].arithmetic
            if first
            else f"With all {snn.config.steps} steps charged by this mode's rules.",
        )
