"""Shares and ratios that the text of Kabir et al. quotes, recomputed from the cells of their tables."""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction

from core.backbones.catalog import plan_for
from core.datasets.catalog import DATASETS
from core.paper.printed import tables
from core.paper.rounding import Interval, Printed, figure
from core.paper.statements import (
    Statement,
    accuracy_pct,
    masked,
    pair,
    pair_energies_mj,
    params,
    settled,
    snn_energy_mj,
    spiking,
)
from core.schemas.audit import AuditFinding

WHOLE, PRUNED = "SqueezeNet", "SqueezeNet-P"
EARLY, LATE = ("F2", "F3", "F4", "F5"), ("F6", "F7", "F8", "F9")
ONE = Interval.exactly(1)


def less_pct(less: Printed, than: Printed) -> tuple[Fraction, Interval, str]:
    """By how many per cent one printed figure is below another: value, what rounding allows, and the sum."""
    value = 100 * (1 - less.value / than.value)
    return value, (ONE - less.interval / than.interval) * 100, f"1 - {figure(less.value)} / {figure(than.value)}"


def more_pct(more: Printed, than: Printed) -> tuple[Fraction, Interval, str]:
    """By how many per cent one is above another."""
    value = 100 * (more.value / than.value - 1)
    return value, (more.interval / than.interval - ONE) * 100, f"{figure(more.value)} / {figure(than.value)} - 1"


def baselines(said: Statement) -> Iterator[AuditFinding]:
    """Both halves of the headline against both CNNs, and whether one CNN bears both."""
    halves: dict[str, tuple[AuditFinding, AuditFinding]] = {}
    for model in (WHOLE, PRUNED):
        halves[model] = _loss(said, model), _saving(said, model)
        yield from halves[model]
    yield _both(said, halves)


def _both(said: Statement, halves: dict[str, tuple[AuditFinding, AuditFinding]]) -> AuditFinding:
    """One CNN for the two figures of the sentence: confirmed if one confirms both, contradicted if none leaves both open."""
    verdicts = [{half.verdict for half in pair_} for pair_ in halves.values()]
    given = ", ".join(
        f"against CNN {model} {loss.recomputed:g} and {saving.recomputed:.1f}"
        for model, (loss, saving) in halves.items()
    )
    if {"confirmed"} in verdicts:
        verdict, end = "confirmed", "One CNN gives both."
    else:
        still_open = any("contradicted" not in found for found in verdicts)
        verdict = "not checkable" if still_open else "contradicted"
        end = f"No one CNN gives both: the {_whose(halves, 0)}, the {_whose(halves, 1)}."
        if still_open:
            end += " One could only if two accuracies that print the same were half a point apart."
    return said.row.finding("both against one CNN", "", verdict, f"Points of accuracy and % of energy {given}. {end}")


def _whose(halves: dict[str, tuple[AuditFinding, AuditFinding]], half: int) -> str:
    """Such as `88.1 is that of CNN SqueezeNet`."""
    found = {model: both[half] for model, both in halves.items()}
    printed = next(iter(found.values())).printed
    gives = [f"CNN {model}" for model, one in found.items() if one.verdict == "confirmed"]
    return f"{printed:g} is that of {' and '.join(gives) or 'neither'}"


def _loss(said: Statement, model: str) -> AuditFinding:
    """The accuracy of SNN-SqueezeNet-P below that of a CNN of table 2, in points."""
    cnn, snn = Printed.of(pair(model)["accuracy_pct"], "1"), accuracy_pct(spiking(PRUNED))
    return settled(
        said.row, f"accuracy below CNN {model}", "points", said.figure("accuracy_points"), cnn.value - snn.value,
        cnn.interval - snn.interval, f"{figure(cnn.value)} % - {figure(snn.value)} %",
    )  # fmt: skip


def _saving(said: Statement, model: str) -> AuditFinding:
    """The energy of SNN-SqueezeNet-P below that of a CNN, from table 2; both are of one time step."""
    cnn, _ = pair_energies_mj(pair(model))
    _, snn = pair_energies_mj(pair(PRUNED))
    finer = snn_energy_mj(spiking(PRUNED))
    found = settled(said.row, f"energy below CNN {model}", "%", said.figure("energy_pct"), *less_pct(snn, cnn))
    closer = f" With the {figure(finer.value)} mJ of table 1 it is {float(less_pct(finer, cnn)[0]):.1f}."
    return found.model_copy(update={"arithmetic": found.arithmetic + closer})


def counterpart(said: Statement) -> Iterator[AuditFinding]:
    """Of a pruned spiking network the counterpart is the pruned CNN, as in its row of table 2."""
    found = _saving(said, PRUNED)
    if found.verdict == "contradicted":
        other = float(_saving(said, WHOLE).recomputed or 0)
        found = found.model_copy(
            update={"arithmetic": f"{found.arithmetic} Against CNN {WHOLE}, which is not pruned, it is {other:.1f}."}
        )
    yield found


def efficiency(said: Statement) -> Iterator[AuditFinding]:
    """Efficiency is inferences a joule, so its gain is a ratio of energies less one, and no reduction."""
    cnn, _ = pair_energies_mj(pair(WHOLE))
    _, snn = pair_energies_mj(pair(PRUNED))
    times = float(cnn.value / snn.value)
    yield settled(
        said.row, "gain in energy efficiency", "%", said.figure("gain_pct"), *more_pct(cnn, snn),
        f"Inferences a joule are {times:.1f} times as many. {figure(said.figure('gain_pct').value)} % is by how much the "
        f"energy is less: 1 - {figure(snn.value)} / {figure(cnn.value)} = {float(less_pct(snn, cnn)[0]):.1f} %. Where the paper's "
        "abstract says efficiency, it means the ratio.",
    )  # fmt: skip


def up_to(said: Statement) -> Iterator[AuditFinding]:
    """The largest ratio of table 2, with what it costs in its own row."""
    rows = {row["model"]: pair_energies_mj(row) for row in tables()["table2_cnn_cifar10"]}
    model = max(rows, key=lambda name: rows[name][0].value / rows[name][1].value)
    cnn, snn = rows[model]
    found = settled(
        said.row, "largest ratio of energies", "x", said.figure("ratio"), cnn.value / snn.value,
        cnn.interval / snn.interval, f"{model}: {figure(cnn.value)} mJ / {figure(snn.value)} mJ",
    )  # fmt: skip
    lost, finer = pair(model)["delta_accuracy_pct"], snn_energy_mj(spiking(model))
    closer = (
        f" The same row loses {lost:g} points of accuracy. With the {figure(finer.value)} mJ of table 1 it is "
        f"{float(cnn.value / finer.value):.1f}."
    )
    yield found.model_copy(update={"arithmetic": found.arithmetic + closer})


def own_twin(said: Statement) -> Iterator[AuditFinding]:
    """A sentence that sets the pruned network against the pruned CNN, and both accuracies."""
    row = pair(PRUNED)
    cnn, snn = pair_energies_mj(row)
    yield settled(
        said.row, "ratio of energies", "x", said.figure("ratio"), cnn.value / snn.value, cnn.interval / snn.interval,
        f"{figure(cnn.value)} mJ / {figure(snn.value)} mJ",
    )  # fmt: skip
    for kind, key in (("SNN", "snn_accuracy_pct"), ("CNN", "cnn_accuracy_pct")):
        there = Printed.of(row[key.removeprefix("cnn_")], "1")
        yield settled(
            said.row,
            f"accuracy of the {kind}",
            "%",
            said.figure(key),
            there.value,
            there.interval,
            f"{kind} of {PRUNED} in table 2",
        )


def most_accurate(said: Statement) -> Iterator[AuditFinding]:
    """On each data set: is the network's accuracy above that of every other, by more than rounding?"""
    for dataset in said.datasets:
        rows = [row for row in tables()["table1_snn"] if row["dataset"] == dataset and row["model"] not in said.without]
        own = accuracy_pct(spiking(said.model, dataset))
        rival = max((row for row in rows if row["model"] != said.model), key=lambda row: row["accuracy"])
        other = accuracy_pct(rival)
        verdict = (
            "confirmed"
            if own.interval.low >= other.interval.high
            else "contradicted"
            if own.interval.high <= other.interval.low
            else "not checkable"
        )
        yield said.row.finding(
            f"most accurate on {DATASETS[dataset].title}", "", verdict,
            f"{said.model} {figure(own.value)} %; of the others {rival['model']} is best with {figure(other.value)} %.",
        )  # fmt: skip


def pruning(said: Statement) -> Iterator[AuditFinding]:
    """The abstract's two figures: points of accuracy, and a share of the parameters."""
    pruned, whole = accuracy_pct(spiking(PRUNED)), accuracy_pct(spiking(WHOLE))
    found = settled(
        said.row, "gain in accuracy", "points", said.figure("accuracy_points"), pruned.value - whole.value,
        pruned.interval - whole.interval, f"{figure(pruned.value)} % - {figure(whole.value)} %",
    )  # fmt: skip
    relative = (
        f" These are points; relative to {figure(whole.value)} % it is {float(more_pct(pruned, whole)[0]):.1f} %."
    )
    yield found.model_copy(update={"arithmetic": found.arithmetic + relative})
    yield _fewer(said, "cifar10")


def reductions(said: Statement) -> Iterator[AuditFinding]:
    """What pruning saves on one data set, from table 1."""
    (dataset,) = said.datasets
    pruned, whole = spiking(PRUNED, dataset), spiking(WHOLE, dataset)
    yield _fewer(said, dataset)
    less = less_pct(snn_energy_mj(pruned), snn_energy_mj(whole))
    yield settled(said.row, "energy saved", "%", said.figure("energy_pct"), *less)
    if "relative_accuracy_pct" in said.printed:
        more = more_pct(accuracy_pct(pruned), accuracy_pct(whole))
        yield settled(said.row, "relative gain in accuracy", "%", said.figure("relative_accuracy_pct"), *more)


def _fewer(said: Statement, dataset: str) -> AuditFinding:
    """Parameters saved as printed, and what the mask itself would save."""
    pruned, whole = params(spiking(PRUNED, dataset)), params(spiking(WHOLE, dataset))
    found = settled(said.row, "parameters saved", "%", said.figure("params_pct"), *less_pct(pruned, whole))
    return found.model_copy(update={"arithmetic": found.arithmetic + _by_mask("Ref-1", dataset)})


def schedules(said: Statement) -> Iterator[AuditFinding]:
    """Parameters of masks against those of the whole network, both from table 3."""
    whole = Printed.of(masked("Baseline")["params"], "100")
    for name in said.printed:
        fewer = less_pct(Printed.of(masked(name)["params"], "10"), whole)
        found = settled(said.row, f"parameters saved by {name}", "%", said.figure(name), *fewer)
        yield found.model_copy(update={"arithmetic": found.arithmetic + _by_mask(name, "cifar10")})


def _by_mask(schedule: str, dataset: str) -> str:
    """What the masked network's own plan saves; its printed parameters may contradict it."""
    spec = DATASETS[dataset]
    own, whole = (
        plan_for(
            backbone="squeezenet",
            mask=tuple(masked(name)["kept"]),
            input_shape=spec.image_shape,
            n_classes=spec.n_classes,
        ).params
        for name in (schedule, "Baseline")
    )
    return f" By its mask it has {own:,}, which is {1 - own / whole:.1%} fewer."


def head_heavy(said: Statement) -> Iterator[AuditFinding]:
    """The name tells what is kept: of the schedules called Head and Tail, whether each keeps its half whole."""
    kept = {row["schedule"]: set(row["kept"]) for row in tables()["table3_masks_cifar10"]}
    shares = {
        name: (len(modules.intersection(EARLY)), len(modules.intersection(LATE)))
        for name, modules in kept.items()
        if name.startswith(("Head", "Tail"))
    }
    right = all((early > late) if name.startswith("Head") else (late > early) for name, (early, late) in shares.items())
    words = "; ".join(f"{name} {early} and {late}" for name, (early, late) in shares.items())
    yield said.row.finding(
        "names of the schedules", "", "confirmed" if right else "contradicted",
        f"Kept of {EARLY[0]} to {EARLY[-1]} and of {LATE[0]} to {LATE[-1]}, table 3: {words}. "
        + ("The names say what is kept, not what is left out." if right else "The names do not say what is kept."),
    )  # fmt: skip
