"""A shared run's figures in plain words: headline numbers, facts, and what the comparison with the twin says."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from pydantic import ValidationError

from core.analysis.compare import ratio
from core.backbones.naming import differences
from core.datasets.catalog import title_of
from core.report.charts import theme
from core.report.twin_words import OTHER_IMAGES, twins
from core.schemas.compare import Paired, TwinRatio
from core.schemas.results import Summary
from core.schemas.run import KEPT, Kind, NeuronConfig, RunConfig
from core.schemas.training_energy import TrainingEnergy
from core.units import format_count, format_duration, format_energy, format_joules


class Headline(NamedTuple):
    """One large figure: what it is, its value, and what it rests on."""

    name: str
    value: str
    basis: str


class Comparison(NamedTuple):
    """A run against its twin. `same_accounting`: both are priced in the same mode and at the same profile."""

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


def trained_on(summary: Summary, environment: Mapping[str, Any]) -> str:
    """How long a run trained and on which machine: `1 h 40 min on cpu (AMD EPYC, 1 thread)`."""
    threads = environment.get("threads")
    noted = [str(environment["processor"])] if environment.get("processor") else []
    if threads and summary.device == "cpu":
        noted.append(f"{threads} thread{'' if threads == 1 else 's'}")
    where = f"{summary.device} ({', '.join(noted)})" if noted else summary.device
    return f"{format_duration(summary.train_wall_s)} on {where}"


def training_energy(environment: Mapping[str, Any]) -> str | None:
    """What the machine's meters told while a run trained; None for a run from before it was noted."""
    try:
        found = TrainingEnergy.model_validate(environment["training_energy"])
    except (KeyError, ValidationError):
        return None
    if not found.parts:
        return f"Energy of training: unavailable, {found.unavailable or 'nobody says why'}."
    told = " and ".join(f"{format_joules(joules)} by the {name}" for name, joules in found.parts.items())
    since = "" if found.whole_run else " since it was last resumed"
    return (
        f"Energy of training: {told}, in {format_duration(found.seconds)}{since}. It is read from the machine's meters, with "
        "all that ran there meanwhile, and is what training took; the energy of an inference is an estimate."
    )


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
        ("Validation", f"{summary.n_validation:,} images, accuracy {theme.percent(summary.best_validation_accuracy)}"),
        ("Test", f"{summary.n_test:,} images, used once, with the weights that were kept"),
        (
            "Epochs",
            f"{summary.epochs_run} run of at most {training.max_epochs}; kept: {summary.best_epoch}, {KEPT[training.select]}",
        ),
        ("Seed", str(summary.seed)),
        ("Recipe", summary.recipe),
        ("Blocks kept", ", ".join(summary.mask)),
        *([("Network", ", ".join(other))] if (other := differences(config.definition, config.architecture)) else []),
        ("Optimiser", f"{training.optimizer}, learning rate {training.lr:g}, batch {training.batch_size}"),
    ]
    if summary.kind is Kind.SNN:
        neuron = config.neuron
        waits = ", layer-synchronous" if config.layer_synchronous else ""
        found.insert(4, ("Time steps", f"T = {config.time_steps}, {config.encoding} coding{waits}"))
        found.append(("Neuron", _neuron(neuron)))
    return found


def neuron_words(config: RunConfig) -> str:
    """Neuron and T of a spiking network; `ReLU` of a CNN."""
    if config.kind is Kind.CNN:
        return "ReLU"
    waits = ", layer-synchronous" if config.layer_synchronous else ""
    return f"{_neuron(config.neuron)}; T = {config.time_steps}{waits}"


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


def compare(run: Summary, twin: Summary, paired: Paired | None, *, unsure: str = OTHER_IMAGES) -> Comparison:
    """The run against its twin, as `core.report.twin_words` says it. `paired`: the spiking network against the CNN."""
    snn, cnn = (run, twin) if run.kind is Kind.SNN else (twin, run)
    alike = (run.mode, run.profile) == (twin.mode, twin.profile)
    pair = TwinRatio(
        snn_id="",
        cnn_id="",
        accuracy=snn.accuracy - cnn.accuracy,
        paired=paired,
        energy_ratio=ratio(snn.energy_pj, cnn.energy_pj) if alike else None,
    )
    sentences = twins(pair, mode=snn.mode, steps=snn.time_steps, unsure=unsure)
    if alike and pair.energy_ratio:
        sentences.append(f"Energies are estimates (mode {snn.mode}, profile {snn.profile}).")
    if not alike:
        sentences.append("The two are priced in different modes or profiles, so their energies are not compared.")
    if (run.n_train, run.dataset_complete) != (twin.n_train, twin.dataset_complete):
        sentences.append("They were not trained on the same number of images.")
    return Comparison(alike, tuple(sentences))
