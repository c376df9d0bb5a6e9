"""A shared run's figures in plain words: headline numbers, facts, and what the comparison with the twin says."""

from __future__ import annotations

import math
from typing import NamedTuple

from core.datasets.catalog import title_of
from core.report.charts import theme
from core.schemas.results import Summary
from core.schemas.run import Kind, NeuronConfig, RunConfig
from core.units import format_count, format_energy

NAMES = {Kind.SNN: "spiking network", Kind.CNN: "CNN"}
CHANCE_Z = 1.96  # two-sided 95 % of the normal distribution


class Headline(NamedTuple):
    """One large figure: what it is, its value, and what it rests on."""

    name: str
    value: str
    basis: str


class Comparison(NamedTuple):
    """A run against its twin.

    accuracy_points: run minus twin, percentage points. energy_ratio: CNN energy over SNN energy, None where
    the two are not priced alike or one is zero. chance_points: half-width of the 95 % interval of the
    difference if the two erred independently; on one test set it is an upper bound.
    """

    accuracy_points: float
    chance_points: float
    energy_ratio: float | None
    same_accounting: bool
    sentences: tuple[str, ...]


def headlines(summary: Summary) -> list[Headline]:
    """The figures on top of the page, most wanted first."""
    found = [
        Headline("Accuracy", theme.percent(summary.accuracy), f"top-1, n = {summary.n_test:,} test images, one seed"),
        Headline("Energy per inference", format_energy(summary.energy_pj), f"estimated: {charged(summary)}"),
        Headline("Macro F1", f"{summary.f1_macro:.3f}", f"n = {summary.n_test:,} test images"),
        Headline("Accumulates", f"{format_count(summary.acs)} AC", f"per inference, {charged(summary)}"),
        Headline("Multiply-accumulates", f"{format_count(summary.macs)} MAC", f"per inference, {charged(summary)}"),
        Headline("Parameters", f"{summary.params:,}", "trainable"),
    ]
    if summary.firing_rate is not None:
        basis = f"spikes per neuron and step, n = {summary.n_test:,} test images"
        found.append(Headline("Firing rate", f"{summary.firing_rate:.3f}", basis))
    return found


def charged(summary: Summary) -> str:
    """Which steps a summary's counts cover: the mode `paper` holds one step, whatever T is."""
    if summary.kind is Kind.CNN:
        steps = "one pass"
    elif summary.mode == "paper":
        steps = f"one time step of T = {summary.time_steps}"
    else:
        steps = f"all T = {summary.time_steps} time steps"
    return f"mode {summary.mode}, {steps}"


def energy_note(summary: Summary) -> str:
    """What the energy figure is and is not."""
    note = (
        f"Energy is an estimate: counted operations at the prices of the hardware profile {summary.profile}. "
        "It leaves out memory, control and leakage, and nobody measured it on a chip."
    )
    if summary.mode == "paper" and summary.kind is Kind.SNN and summary.time_steps > 1:
        note += (
            f" The mode paper charges one of the {summary.time_steps} time steps, as the tables of "
            "arXiv:2602.09717 do; an inference runs them all and costs more."
        )
    return note


def facts(summary: Summary, config: RunConfig) -> list[tuple[str, str]]:
    """(name, value) of what the result rests on."""
    training = config.training
    found = [
        (
            "Data set",
            f"{title_of(summary.dataset)}, {'complete' if summary.dataset_complete else 'a subset of the published one'}",
        ),
        ("Trained on", f"{summary.n_train:,} of {summary.n_train_available:,} training images"),
        (
            "Validation",
            f"{summary.n_validation:,} images, best accuracy {theme.percent(summary.best_validation_accuracy)}",
        ),
        ("Test", f"{summary.n_test:,} images, used once, with the best epoch's weights"),
        ("Epochs", f"{summary.epochs_run} run of at most {training.max_epochs}, best {summary.best_epoch}"),
        ("Seed", str(summary.seed)),
        ("Recipe", summary.recipe),
        ("Blocks kept", ", ".join(summary.mask)),
        ("Optimiser", f"{training.optimizer}, learning rate {training.lr:g}, batch {training.batch_size}"),
    ]
    if summary.kind is Kind.SNN:
        neuron = config.neuron
        waits = ", layer-synchronous" if config.layer_synchronous else ""
        found.insert(4, ("Time steps", f"T = {config.time_steps}, {config.encoding} coding{waits}"))
        found.append(("Neuron", _neuron(neuron)))
    return found


def _neuron(neuron: NeuronConfig) -> str:
    """The neuron in a line; what it does not use or has as everybody has is left out."""
    threshold = f"v_threshold {neuron.v_threshold:g}"
    if neuron.model == "count":
        return f"counts of up to T spikes, a step learned per layer, from {threshold}"
    tau = [] if neuron.model == "if" else [f"tau {neuron.tau:g}{'' if neuron.decay_input else ' (leak alone)'}"]
    said = [neuron.model.upper(), *tau, f"{threshold}{' (learned)' if neuron.learn_threshold else ''}"]
    said += ["V from v_threshold / 2"] if neuron.v_start == "half" else []
    said += ["detached reset"] if neuron.detach_reset else []
    return ", ".join([*said, f"surrogate {neuron.surrogate} (alpha {neuron.alpha:g})"])


def compare(run: Summary, twin: Summary) -> Comparison:
    """The run against its twin, with the caution that one seed and n test images ask for."""
    points = 100 * (run.accuracy - twin.accuracy)
    chance = 100 * CHANCE_Z * math.sqrt(sum(s.accuracy * (1 - s.accuracy) / s.n_test for s in (run, twin)))
    alike = (run.mode, run.profile) == (twin.mode, twin.profile)
    snn, cnn = (run, twin) if run.kind is Kind.SNN else (twin, run)
    ratio = cnn.energy_pj / snn.energy_pj if alike and snn.energy_pj > 0 and cnn.energy_pj > 0 else None
    me, other = NAMES[run.kind], NAMES[twin.kind]
    if round(abs(points), 1) == 0:
        sentences = [f"The {me} and its twin, the {other}, are equally accurate."]
    else:
        more = "more" if points > 0 else "less"
        sentences = [f"The {me} is {abs(points):.1f} percentage points {more} accurate than its twin, the {other}."]
    if abs(points) <= chance:
        sentences.append(
            f"With this many test images chance alone makes up to {chance:.1f} points of difference (95\u00a0%), "
            "so this one may be chance."
        )
    else:
        sentences.append(
            f"With this many test images chance alone makes up to {chance:.1f} points (95\u00a0%); this is more."
        )
    sentences.append("Each is one seed: another seed moves both.")
    if ratio is not None:
        factor, cheaper, dearer = (ratio, NAMES[Kind.SNN], NAMES[Kind.CNN])
        if ratio < 1:
            factor, cheaper, dearer = (1 / ratio, NAMES[Kind.CNN], NAMES[Kind.SNN])
        where = f"(mode {snn.mode}, profile {snn.profile})"
        sentences.append(
            f"The {dearer} needs {factor:.2g} times the estimated energy of the {cheaper} {where}."
            if factor >= 1.05
            else f"Both need about the same estimated energy {where}."
        )
        if ratio > 1 and snn.mode == "paper" and snn.time_steps > 1:
            sentences.append(
                f"This sets one of the spiking network's {snn.time_steps} time steps against the CNN's whole pass; "
                "over all steps its advantage is smaller or gone."
            )
    elif not alike:
        sentences.append("The two are priced in different modes or profiles, so their energies are not compared.")
    if (run.n_train, run.dataset_complete) != (twin.n_train, twin.dataset_complete):
        sentences.append("They were not trained on the same number of images.")
    return Comparison(points, chance, ratio, alike, tuple(sentences))
