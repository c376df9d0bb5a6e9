"""Cells and sentences of Kabir et al. that cannot be meant as they are printed, and the reading that fits."""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction

from core.backbones.catalog import BACKBONES, layout_of, plan_for
from core.datasets.catalog import DATASETS
from core.paper.printed import MODELS
from core.paper.rounding import NOT_REBUILT, Interval, K, Printed, count_k, energy, figure, prices
from core.paper.statements import Statement, params, settled, snn_energy_mj, spiking
from core.schemas.audit import AuditFinding
from core.units import PJ_PER_MJ

LARGER = 4  # times as many pixels has an image of Tiny ImageNet
IMAGENET = (3, 224, 224)


def mixnet_energy(said: Statement) -> Iterator[AuditFinding]:
    """Each of MixNet's energies against eq. 3.5; where it fails, whether it is that of the MACs alone."""
    for dataset in said.datasets:
        row = spiking(said.model, dataset)
        acs, macs, printed = count_k(row["ac_k"]), count_k(row["mac_k"]), snn_energy_mj(row)
        found = energy(said.row, acs=acs, macs=macs, energy_mj=printed)
        words = found.arithmetic
        if found.verdict == "contradicted" and not _of_macs(macs).meets(printed.interval):
            meant = _four_times(said.model)
            if _of_macs(meant).meets(printed.interval):
                words += f" The MACs alone do if they are {figure(meant.value)}, four times those of CIFAR-10."
        yield found.model_copy(update={"field": f"energy on {DATASETS[dataset].title}", "arithmetic": words})


def _of_macs(macs: Printed) -> Interval:
    """mJ of MACs alone."""
    return macs.interval * (prices().mac_pj / int(PJ_PER_MJ))


def _four_times(model: str) -> Printed:
    macs = count_k(spiking(model)["mac_k"])
    return Printed(value=LARGER * macs.value, step=LARGER * macs.step)


def mixnet_macs(said: Statement) -> Iterator[AuditFinding]:
    """A network whose MACs do not grow with its classes has four times as many where the image has four times the pixels."""
    ten, hundred = (count_k(spiking(said.model, name)["mac_k"]) for name in ("cifar10", "cifar100"))
    printed, meant = Printed.written(said.printed["macs_k"], factor=K), _four_times(said.model)
    slip = Printed.written(said.printed["macs_k"], factor=10 * K)
    reads = f"With the point moved, {float(slip.value) / 1e6:.2f} M, it does; the printed energy needs that too."
    yield settled(
        said.row, "MACs on Tiny ImageNet", "", printed, meant.value, meant.interval,
        f"As many MACs for 10 classes as for 100 ({figure(ten.value)} and {figure(hundred.value)}), so four times "
        f"the pixels make {LARGER} x {figure(ten.value)}",
        reads if meant.interval.meets(Printed(value=slip.value, step=Fraction(10 * K)).interval) else "",
    )  # fmt: skip


def xception_params(said: Statement) -> Iterator[AuditFinding]:
    """The printed MACs tell what a class costs, and with it what the other two counts should be.

    On 32x32 the mean over the last map, of one pixel, leaves spikes, so the classifier's MACs are charged on Tiny
    ImageNet alone; all else grows by four. A class has as many parameters as the classifier then has MACs: features + 1.
    """
    hundred, two = (count_k(spiking(said.model, name)["mac_k"]) for name in ("cifar100", "tiny_imagenet"))
    n_two = DATASETS["tiny_imagenet"].n_classes
    per_class = (two.value - LARGER * hundred.value) / n_two
    spread = (two.interval - hundred.interval * LARGER) * Fraction(1, n_two)
    largest = params(spiking(said.model, "tiny_imagenet"))
    for dataset in ("cifar100", "cifar10"):
        n_classes = DATASETS[dataset].n_classes
        fewer = n_two - n_classes
        printed = Printed.written(said.printed[f"{dataset}_k"], factor=K)
        allowed = largest.interval - spread * fewer
        shifted = Printed(value=10 * printed.value, step=Fraction(10 * K))
        fits = shifted.interval.meets(allowed)
        note = f"With the point moved, {float(shifted.value) / 1e6:.2f} M, it {'does' if fits else 'does not either'}."
        yield settled(
            said.row, f"parameters for {n_classes} classes", "", printed, largest.value - fewer * per_class, allowed,
            f"A class costs ({figure(two.value)} - {LARGER} x {figure(hundred.value)} MACs) / {n_two} = {figure(per_class)} "
            f"({figure(spread.low)} to {figure(spread.high)}), as many as it has parameters. {figure(largest.value)} for "
            f"{n_two} classes, less {fewer} of them,",
            note,
        )  # fmt: skip


def names(said: Statement) -> Iterator[AuditFinding]:
    """Each named network at its published size, with a classifier for 10 classes, against the printed parameters."""
    published = {"ShuffleNetV2": "ShuffleNetV2 at 0.5 of its width", "MnasNet": "MnasNet-B1", "MixNet": "MixNet-S"}
    for model, name in published.items():
        row, backbone = spiking(model), MODELS[model][0]
        if backbone not in BACKBONES:
            yield said.row.unknown(f"parameters of {model}", "", params(row), NOT_REBUILT.format(model=model))
            continue
        plan = plan_for(
            backbone=backbone, mask=layout_of(backbone, "imagenet").blocks, input_shape=IMAGENET,
            n_classes=DATASETS["cifar10"].n_classes, definition="imagenet",
        )  # fmt: skip
        printed, ours = params(row), Fraction(plan.params)
        if model in said.printed:
            yield _narrower(said, name, printed, ours)
            continue
        yield settled(
            said.row, f"parameters of {model}", "", printed, ours, Interval.exactly(ours),
            f"{name} as published, for 10 classes",
            "The printed counts are those of its first four stages, shortened." if model == "MnasNet" else "",
        )  # fmt: skip


def _narrower(said: Statement, name: str, printed: Printed, at_half: Fraction) -> AuditFinding:
    """A width factor below 0.5 has fewer parameters than 0.5, which is published; so a bound is enough."""
    factor, half = said.figure("ShuffleNetV2").value, Fraction(1, 2)
    width = figure(factor)
    too_many = factor <= half and printed.interval.low > at_half
    return said.row.finding(
        "parameters of ShuffleNetV2", "", "contradicted" if too_many else "not checkable",
        f"{name} has {figure(at_half)} for 10 classes, at {width} "
        + (
            f"still fewer; {figure(printed.value)} are printed, so {width} is no factor of its widths."
            if too_many
            else f"more or as many; {figure(printed.value)} are printed."
        ),
        printed=printed.value,
    )  # fmt: skip


def leakage(said: Statement) -> Iterator[AuditFinding]:
    """With H = V + (X - V) / tau a step loses 1 / tau of the membrane and keeps the rest; either may be called leakage."""
    printed = said.figure("leakage")
    for name in ("tau", "tau_found"):
        tau = said.figure(name)
        lost = Interval.exactly(1) / tau.interval
        readings = {"loses": (1 / tau.value, lost), "keeps": (1 - 1 / tau.value, Interval.exactly(1) - lost)}
        fitting = [verb for verb, (_, interval) in readings.items() if interval.meets(printed.interval)]
        verdict = {0: "contradicted", 1: "not checkable", 2: "confirmed"}[len(fitting)]
        shown = " and ".join(f"{verb} {float(value):.3f}" for verb, (value, _) in readings.items())
        end = (
            f"neither rounds to {figure(printed.value)}"
            if not fitting
            else "both do"
            if len(fitting) == 2
            else f"what it {fitting[0]} rounds to {figure(printed.value)}, and the text does not say which is meant"
        )
        yield said.row.finding(
            f"leakage at tau {said.printed[name]}",
            "",
            verdict,
            f"A step {shown} of the membrane: {end}.",
            printed=printed.value,
        )


def patience(said: Statement) -> Iterator[AuditFinding]:
    """A run that early stopping lets reach its last epoch was at its best within the patience before it."""
    epochs, waits = (int(said.figure(name).value) for name in ("epochs", "patience"))
    if waits >= epochs:
        yield said.row.finding("best epoch", "", "confirmed", f"A patience of {waits} stops no run of {epochs} epochs.")
        return
    yield said.row.finding(
        "best epoch", "", "not checkable",
        f"A run that reaches epoch {epochs} with a patience of {waits} was at its best at epoch {epochs - waits} or later. How "
        "much the curves still rose after they saturated is not printed.",
    )  # fmt: skip
