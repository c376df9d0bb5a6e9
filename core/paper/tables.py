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

from core.backbones.catalog import BACKBONES, layout_of, plan_for
from core.backbones.plan import Plan
from core.datasets.catalog import DATASETS
from core.energy.modes import MODES, static_macs
from core.paper.masks import mask_findings, named, params_finding
from core.paper.printed import MODELS, RECOVERED_AS, definition_of, is_recovered, tables
from core.paper.prose import text_findings
from core.paper.rounding import (
    NEEDS_TRAINING,
    NOT_REBUILT,
    Interval,
    Printed,
    Row,
    audit,
    count_k,
    energy,
    figure,
    of_dataset,
    prices,
)
from core.schemas.audit import Audit, AuditFinding
from core.schemas.run import Kind
from core.units import PJ_PER_MJ

RECONSTRUCTION = (
    "Our reconstruction of {model} has {ours}, {difference} the printed {printed}; how the paper's {model} is built "
    "was not published, so this neither confirms nor contradicts it."
)
NEEDS_SPIKES = "ACs depend on the spikes of the trained network, which was not released."


@cache
def paper_audit() -> Audit:
    """Every row of tables 1 to 3, then what the text says."""
    findings = [*_table1(), *_classifiers(), *_two_networks(), *_table2(), *mask_findings(), *text_findings()]
    return audit(tables()["source"], findings)


def paper_audit_of(dataset: str | None) -> Audit:
    """The findings that touch a data set, or all. Raises UnknownName."""
    return of_dataset(paper_audit(), dataset)


def plan_of(model: str, dataset: str, definition: str | None = None) -> Plan:
    """The network of a printed row, in its own definition unless another is asked for."""
    backbone, kept = MODELS[model]
    spec, definition = DATASETS[dataset], definition or definition_of(model, dataset)
    return plan_for(
        backbone=backbone,
        mask=kept or layout_of(backbone, definition).blocks,
        input_shape=spec.image_shape,
        n_classes=spec.n_classes,
        definition=definition,
    )


def _rebuilt(model: str) -> bool:
    return is_recovered(model) and MODELS[model][0] in BACKBONES


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
        if _rebuilt(model):
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
        "macs", "", macs, Fraction(one_pass), exact, f"MACs of one pass of {named(plan)} by the rules of mode paper"
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


def _two_networks() -> Iterator[AuditFinding]:
    """Data sets of one image size whose printed MACs differ by more than the classes cost: more than one network."""
    few, many = "cifar10", "cifar100"
    for model in filter(_rebuilt, RECOVERED_AS):
        row = Row(id=f"table1/{few}/{model}+table1/{many}/{model}", table="Table 1", model=model, datasets=(few, many))
        printed = {
            entry["dataset"]: count_k(entry["mac_k"]) for entry in tables()["table1_snn"] if entry["model"] == model
        }
        more = printed[many].interval - printed[few].interval
        of_many, of_few, other = (
            _one_pass(plan_of(model, dataset, definition_of(model, like)))
            for dataset, like in ((many, many), (few, many), (few, few))
        )
        ours = of_many - of_few
        agree = more.meets(Interval.exactly(ours))
        end = (
            "that is one network."
            if agree
            else f"one of the two is another network. {figure(Fraction(of_few - other))} MACs fewer on {DATASETS[few].title} are "
            f"those of definition {definition_of(model, few)}, where neurons stand before one more convolution."
        )
        yield row.finding(
            "macs by classes", "", "confirmed" if agree else "contradicted",
            f"On {DATASETS[many].title} {figure(more.low)} to {figure(more.high)} more MACs are printed than on "
            f"{DATASETS[few].title}; the further classes of definition {definition_of(model, many)} cost {ours:,}: {end}",
            recomputed=Fraction(ours),
        )  # fmt: skip


def _one_pass(plan: Plan) -> int:
    return static_macs(plan, Kind.SNN, MODES["paper"], 1)


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
        if _rebuilt(model):
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
        f"{macs:,} MACs of {named(plan)} x {figure(price)} pJ",
        f"The printed energy needs {figure(implied.low)} to {figure(implied.high)} MACs.{_with_relus(macs, plan, implied)}",
    )


def _with_relus(macs: int, plan: Plan, implied: Interval) -> str:
    """Some counters charge an operation for each ReLU; the mode `paper` does not, as CNN SqueezeNet was printed without."""
    if not Interval.exactly(macs + plan.neurons).meets(implied):
        return ""
    return f" With one for each of its {plan.neurons:,} ReLUs it has {macs + plan.neurons:,}; the figure of CNN SqueezeNet counts none."


def _cnn_energy_mj(plan: Plan) -> Fraction:
    return static_macs(plan, Kind.CNN, MODES["paper"], 1) * prices().mac_pj / int(PJ_PER_MJ)
