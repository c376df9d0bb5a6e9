"""The printed tables of Kabir et al. (arXiv:2602.09717), recomputed row by row.

Tables 1 and 2 are here, table 3 in `audit_masks.py`; the rule of rounding in `audit_rules.py`. What follows from a
network's definition is computed from its plan; what needs its spikes or its training is `not checkable`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from fractions import Fraction
from functools import cache
from itertools import pairwise
from typing import Any

from core.backbones.catalog import BACKBONES, plan_for
from core.backbones.plan import Plan
from core.datasets.catalog import DATASETS
from core.energy.modes import MODES, static_macs
from core.paper.masks import mask_findings, params_finding
from core.paper.printed import MODELS, RECOVERED, tables
from core.paper.rounding import NEEDS_TRAINING, Interval, Printed, Row, audit, energy, figure, prices
from core.schemas.audit import Audit, AuditFinding
from core.schemas.run import Kind
from core.units import PJ_PER_MJ

#: Rows whose network is recovered from the printed numbers, so that a figure which differs is contradicted.
REBUILT = frozenset(model for model, (backbone, _) in MODELS.items() if backbone in RECOVERED)
NOT_REBUILT = "{model} is not reconstructed here yet, so there is no plan to compute it from."
RECONSTRUCTION = (
    "Our reconstruction of {model} has {ours}, {difference} the printed {printed}; how the paper's {model} is built "
    "was not published, so this neither confirms nor contradicts it."
)
NEEDS_SPIKES = "ACs depend on the spikes of the trained network, which was not released."
K = 1000


@cache
def paper_audit() -> Audit:
    """Every row of tables 1 to 3."""
    findings = [*_table1(), *_classifiers(), *_table2(), *mask_findings()]
    return audit(tables()["source"], findings)


def paper_audit_of(dataset: str | None) -> Audit:
    """The findings that touch a data set, or all. Raises UnknownName."""
    whole = paper_audit()
    if dataset is None:
        return whole
    name = DATASETS[dataset].name
    return audit(whole.source, (finding for finding in whole.findings if name in finding.datasets))


def count_k(value: float) -> Printed:
    """A count printed in thousands, or from a million on in millions with two decimals.

    1510.0 was printed 1.51M, so its last digit is worth 10 k; 506.9 has tenths; 80094.0 shows single thousands.
    """
    if value != int(value):
        step = "0.1"
    else:
        step = "10" if value >= 1000 and value % 10 == 0 else "1"
    return Printed.of(value, step, factor=K)


def plan_of(model: str, dataset: str) -> Plan:
    backbone, kept = MODELS[model]
    spec = DATASETS[dataset]
    return plan_for(
        backbone=backbone,
        mask=kept or BACKBONES[backbone].blocks,
        input_shape=spec.image_shape,
        n_classes=spec.n_classes,
    )


def _reconstructed(row: Row, field: str, unit: str, printed: Printed, ours: Callable[[Plan], Fraction]) -> AuditFinding:
    """A figure of a network whose definition is ours: shown beside the printed one, never held against it."""
    if MODELS[row.model][0] not in BACKBONES:
        return row.unknown(field, unit, printed, NOT_REBUILT.format(model=row.model))
    value = ours(plan_of(row.model, row.datasets[0]))
    share = float(value / printed.value - 1)
    why = RECONSTRUCTION.format(
        model=row.model,
        ours=f"{figure(value)} {unit or field}",
        difference="as many as" if value == printed.value else f"{abs(share):.2%} {'above' if share > 0 else 'below'}",
        printed=figure(printed.value),
    )
    return row.unknown(field, unit, printed, why)


def _table1() -> Iterator[AuditFinding]:
    for entry in tables()["table1_snn"]:
        model, dataset = entry["model"], entry["dataset"]
        row = Row(id=f"table1/{dataset}/{model}", table="Table 1", model=model, datasets=(dataset,))
        acs, macs, params = (count_k(entry[key]) for key in ("ac_k", "mac_k", "params_k"))
        yield energy(row, acs=acs, macs=macs, energy_mj=Printed.of(entry["energy_mj"], "0.0001"))
        if model in REBUILT:
            plan = plan_of(model, dataset)
            yield params_finding(row, plan, params)
            yield from _macs(row, plan, macs)
        else:
            yield _reconstructed(row, "params", "", params, lambda plan: Fraction(plan.params))
            yield _reconstructed(
                row, "macs", "", macs, lambda plan: Fraction(static_macs(plan, Kind.SNN, MODES["paper"], 1))
            )
        yield row.unknown("acs", "", acs, NEEDS_SPIKES)
        for field in ("accuracy", "f1_macro"):
            yield row.unknown(field, "", Printed.of(entry[field], "0.01"), NEEDS_TRAINING)


def _macs(row: Row, plan: Plan, macs: Printed) -> Iterator[AuditFinding]:
    """The printed MACs against those of one pass, and how many of the T printed steps they are."""
    one_pass = static_macs(plan, Kind.SNN, MODES["paper"], tables()["time_steps"])
    exact = Interval.exactly(one_pass)
    yield row.judged(
        "macs",
        "",
        macs,
        Fraction(one_pass),
        exact,
        f"MACs of one pass of {','.join(plan.mask)} by the rules of mode paper",
    )
    steps = Printed.of(tables()["time_steps"], "1")
    yield row.judged(
        "time_steps",
        "steps",
        steps,
        macs.value / one_pass,
        macs.interval / exact,
        f"{figure(macs.value)} printed MACs / {one_pass:,} MACs of one pass",
        f"ACs, MACs and energy are those of one step, while the network runs {tables()['time_steps']}.",
    )


def _classifiers() -> Iterator[AuditFinding]:
    """Between data sets a network's parameters grow only by its classifier: (features + 1) a class, with bias."""
    by_model: dict[str, dict[str, Printed]] = {}
    for entry in tables()["table1_snn"]:
        by_model.setdefault(entry["model"], {})[entry["dataset"]] = count_k(entry["params_k"])
    for model, printed in by_model.items():
        names = sorted(printed, key=lambda name: DATASETS[name].n_classes)
        row = Row(
            id="+".join(f"table1/{name}/{model}" for name in names), table="Table 1", model=model, datasets=tuple(names)
        )
        widths, parts = [], []
        for few, many in pairwise(names):
            classes = DATASETS[few].n_classes, DATASETS[many].n_classes
            more = Fraction(1, classes[1] - classes[0])
            width = (printed[many].interval - printed[few].interval) * more - Interval.exactly(1)
            widths.append(width)
            reads = f"{figure(max(width.low, Fraction(0)))} to {figure(width.high)}"
            parts.append(
                f"from {classes[0]} to {classes[1]} classes the count goes from {figure(printed[few].value)} to "
                f"{figure(printed[many].value)}, so each class reads {reads} features"
            )
        agree = all(a.meets(b) for a in widths for b in widths) and all(width.high >= 1 for width in widths)
        end = "one width fits all" if agree else "no one classifier fits, so the counts contradict each other"
        yield row.finding(
            "params by classes",
            "features",
            "confirmed" if agree else "contradicted",
            f"A class adds one weight a feature and a bias: {'; '.join(parts)}; {end}.",
        )


def _table2() -> Iterator[AuditFinding]:
    """CNN against SNN on CIFAR-10: differences and ratios from the row's own figures, and the row against table 1."""
    spiking = {entry["model"]: entry for entry in tables()["table1_snn"] if entry["dataset"] == "cifar10"}
    for entry in tables()["table2_cnn_cifar10"]:
        model = entry["model"]
        row = Row(id=f"table2/cifar10/{model}", table="Table 2", model=model, datasets=("cifar10",))
        cnn, snn = (Printed.of(entry[key], "0.001") for key in ("energy_mj", "snn_energy_mj"))
        yield _difference(row, entry)
        finer = Printed.of(spiking[model]["energy_mj"], "0.0001")
        ratio = row.judged(
            "energy_ratio",
            "x",
            Printed.of(entry["energy_ratio"], "0.1"),
            cnn.value / snn.value,
            cnn.interval / snn.interval,
            f"{figure(cnn.value)} mJ / {figure(snn.value)} mJ",
        )
        closer = f" With the {figure(finer.value)} mJ of table 1 it is {float(cnn.value / finer.value):.3g}."
        yield ratio.model_copy(update={"arithmetic": ratio.arithmetic + closer})
        yield row.judged("snn_energy", "mJ", snn, finer.value, finer.interval, "energy of the same network in table 1")
        accuracy = Printed.of(spiking[model]["accuracy"], "0.01", factor=100)
        yield row.judged(
            "snn_accuracy",
            "%",
            Printed.of(entry["snn_accuracy_pct"], "1"),
            accuracy.value,
            accuracy.interval,
            "accuracy of the same network in table 1",
        )
        if model in REBUILT:
            yield _cnn_energy(row, plan_of(model, "cifar10"), cnn)
        else:
            yield _reconstructed(row, "cnn_energy", "mJ", cnn, _cnn_energy_mj)
        yield row.unknown("cnn_accuracy", "%", Printed.of(entry["accuracy_pct"], "1"), NEEDS_TRAINING)


def _difference(row: Row, entry: dict[str, Any]) -> AuditFinding:
    cnn, snn = (Printed.of(entry[key], "1") for key in ("accuracy_pct", "snn_accuracy_pct"))
    return row.judged(
        "delta_accuracy",
        "points",
        Printed.of(entry["delta_accuracy_pct"], "1"),
        cnn.value - snn.value,
        cnn.interval - snn.interval,
        f"{figure(cnn.value)} % - {figure(snn.value)} %",
    )


def _cnn_energy(row: Row, plan: Plan, printed: Printed) -> AuditFinding:
    macs, price, recomputed = static_macs(plan, Kind.CNN, MODES["paper"], 1), prices().mac_pj, _cnn_energy_mj(plan)
    implied = printed.interval * (int(PJ_PER_MJ) / price)
    return row.judged(
        "cnn_energy",
        "mJ",
        printed,
        recomputed,
        Interval.exactly(recomputed),
        f"{macs:,} MACs of {','.join(plan.mask)} x {figure(price)} pJ",
        f"The printed energy needs {figure(implied.low)} to {figure(implied.high)} MACs.",
    )


def _cnn_energy_mj(plan: Plan) -> Fraction:
    return static_macs(plan, Kind.CNN, MODES["paper"], 1) * prices().mac_pj / int(PJ_PER_MJ)
