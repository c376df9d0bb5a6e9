"""What an uploaded bundle says of its training, and the weights that came of it: as a run of its config leaves them."""

from __future__ import annotations

import math
from collections.abc import Iterable

import numpy as np

from backend.imports.figures import learned
from backend.imports.refusals import require, same, within
from core.backbones.litesnn import EDGES
from core.backbones.plan import SYNAPTIC, Plan
from core.bundle import Bundle
from core.compression import plan_layers
from core.schemas.diagnostics import Diagnostics
from core.schemas.results import Gradients, Metrics, Summary
from core.schemas.run import Kind, RunConfig
from core.schemas.stages import epochs_of
from core.search_costs import searched_blocks

METRICS, GRADIENTS, DIAGNOSTICS = "metrics.json", "gradients.json", "diagnostics.json"
SUMMARY, WEIGHTS = "summary.json", "weights.safetensors"
LONGEST_S = 1e9
WHOLE = {"num_batches_tracked": "i", "chosen": "i", "wired": "b"}  # tensors of no real numbers, as numpy's kinds
HIGHEST_LOSS = 3.5e38  # of a float32


def check_epochs(metrics: Metrics, summary: Summary, config: RunConfig) -> None:
    """The epochs are counted through, no more than the config allows, validated when it says, and the kept one is kept."""
    most, epochs = config.training.max_epochs, len(metrics.epoch)
    fewest = most if config.training.patience is None else min(most, 1)
    expected = f"max_epochs, {most}" if fewest == most else f"from {fewest} to max_epochs, {most}"
    require(METRICS, "the number of epochs", epochs, fewest <= epochs <= most, expected)
    same(METRICS, {"epoch": (metrics.epoch, list(range(1, epochs + 1)))}, source="counted through they are")
    same(SUMMARY, {"epochs_run": (summary.epochs_run, epochs)}, source="metrics.json has")
    each_in(METRICS, "lr", metrics.lr, 0, 10)
    each_in(METRICS, "train_loss", metrics.train_loss, -HIGHEST_LOSS, HIGHEST_LOSS)
    each_in(METRICS, "train_accuracy", metrics.train_accuracy, 0, 1)
    each_in(METRICS, "wall_s", metrics.wall_s, 0, LONGEST_S)
    validated = [epoch for epoch in metrics.epoch if config.training.validates(epoch)]
    each_when(validated, "validation_loss", metrics.validation_loss, -HIGHEST_LOSS, HIGHEST_LOSS)
    each_when(validated, "validation_accuracy", metrics.validation_accuracy, 0, 1)
    each_when(validated if config.kind is Kind.SNN else [], "firing_rate", metrics.firing_rate, 0, 1)
    if epochs:
        require(METRICS, "the last epoch", epochs, epochs in validated, "one that was validated")
        told = dict(zip(("best_epoch", "best_validation_accuracy"), _kept(metrics, config), strict=True))
        same(SUMMARY, {name: (getattr(summary, name), kept) for name, kept in told.items()}, source="metrics.json has")
    else:  # taken as it came, and never trained
        same(SUMMARY, {"best_epoch": (summary.best_epoch, 0)}, source="a network that was not trained has")
        within(SUMMARY, "best_validation_accuracy", summary.best_validation_accuracy, 0, 1)


def _kept(metrics: Metrics, config: RunConfig) -> tuple[int, float | None]:
    """The epoch whose weights are kept, and their validation accuracy (`core.engine.train.Trainer.kept`)."""
    training, accuracies = config.training, metrics.validation_accuracy
    if training.select != "best":
        return metrics.epoch[-1], accuracies[-1]
    stages = epochs_of(training.stages, training.max_epochs) if config.kind is Kind.SNN and training.stages else ()
    first = len(metrics.epoch) - stages[-1] if stages else 0  # each stage has a best of its own
    best = max(accuracy for accuracy in accuracies[first:] if accuracy is not None)
    return accuracies.index(best, first) + 1, best


def check_gradients(gradients: Gradients, metrics: Metrics, plan: Plan) -> None:
    """A norm for each layer with weights and each epoch; one that has left the finite may say so."""
    layers = [node.name for node in plan.nodes if node.op in SYNAPTIC]
    same(GRADIENTS, {"layers": (gradients.layers, layers)}, source="the config's network has")
    same(GRADIENTS, {"epochs": (gradients.epochs, metrics.epoch)}, source="metrics.json has")
    _norms(GRADIENTS, "norm", (norm for row in gradients.norm for norm in row))


def check_diagnostics(found: Diagnostics, metrics: Metrics, summary: Summary, config: RunConfig, plan: Plan) -> None:
    """A row for each activation and epoch; a network that was never trained is measured once, before epoch 1."""
    told = {
        "kind": (found.kind, config.kind),
        "time_steps": (found.time_steps, config.steps),
        "layers": (found.layers, [node.name for node in plan.nodes if node.op == "act"]),
        "active": (
            "measured" if found.active is not None else "none",
            "measured" if config.kind is Kind.SNN else "none",
        ),
    }
    same(DIAGNOSTICS, told, source="the config's network has")
    if found.epochs:  # a run that went on from before they were measured has some of them
        validated = [epoch for epoch in metrics.epoch if config.training.validates(epoch)]
        wanted = validated[-len(found.epochs) :] or [0]
        same(DIAGNOSTICS, {"epochs": (found.epochs, wanted)}, source="metrics.json has")
    within(DIAGNOSTICS, "n_probe", found.n_probe, 1, summary.n_train)
    _norms(DIAGNOSTICS, "gradient_norm", (t for epoch in found.gradient_norm for layer in epoch for t in layer))
    for name in ("firing_rate", "active"):
        each_in(DIAGNOSTICS, name, (t for epoch in getattr(found, name) or [] for layer in epoch for t in layer), 0, 1)
    for name in ("dead", "saturated"):
        each_in(DIAGNOSTICS, name, (share for epoch in getattr(found, name) for share in epoch), 0, 1)


def check_weights(bundle: Bundle, config: RunConfig, plan: Plan) -> None:
    """Every tensor of the config's network by name and shape, and no other; all finite."""
    weights, wanted = bundle.weights(), _tensors(config, plan)
    for name in sorted(wanted.keys() ^ weights.keys()):
        said, true = ("there" if name in names else "missing" for names in (weights, wanted))
        same(WEIGHTS, {name: (said, true)}, source="in the config's network it is")
    for name, shape in wanted.items():
        tensor = weights[name]
        same(WEIGHTS, {f"the shape of {name}": (tensor.shape, shape)}, source="the config's network has")
        kind = WHOLE.get(name.rpartition(".")[2], "f")
        expected = {"f": "finite real numbers", "i": "whole numbers", "b": "truth values"}[kind]
        require(WEIGHTS, name, str(tensor.dtype), tensor.dtype.kind == kind and np.isfinite(tensor).all(), expected)


def _tensors(config: RunConfig, plan: Plan) -> dict[str, tuple[int, ...]]:
    """Name -> shape of the network's parameters and running statistics (`core.engine.network.Network`)."""
    found: dict[str, tuple[int, ...]] = _of_search(config)
    sizes = plan_layers(plan, config.compression)
    scored = {size.name for size in sizes if size.is_pruned and config.compression.scores == "learned"}
    for node in plan.nodes:
        channels = node.shape[:1]
        if node.op == "conv":
            inputs = node.in_shape[0] // node.groups
            found[f"{node.name}.weight"] = (*channels, inputs, node.kernel, node.kernel)
            if node.bias:
                found[f"{node.name}.bias"] = channels
            if node.name in scored:
                found[f"{node.name}.scores"] = found[f"{node.name}.weight"]
        elif node.op == "bn":
            found |= {f"{node.name}.{name}": channels for name in ("weight", "bias", "running_mean", "running_var")}
            found[f"{node.name}.num_batches_tracked"] = ()
        elif node.op == "act":
            found |= {f"{node.name}.{name}": () for name in learned(config)}
    return found


def each_in(file: str, field: str, values: Iterable[float | None], low: float, high: float) -> None:
    """Every entry a number from low to high."""
    for value in values:
        if value is None or not low <= value <= high:
            within(file, f"an entry of {field}", value, low, high)


def each_when(validated: list[int], field: str, column: list[float | None], low: float, high: float) -> None:
    """An entry of a column of metrics.json is a number in each of these epochs, and null in every other."""
    each_in(METRICS, field, (column[epoch - 1] for epoch in validated), low, high)
    others = set(range(1, len(column) + 1)).difference(validated)
    numbers = [epoch for epoch in sorted(others) if column[epoch - 1] is not None]
    expected = "null: it was not measured then"
    require(METRICS, f"{field} of epoch {numbers[0] if numbers else 0}", "a number", not numbers, expected)


def _norms(file: str, field: str, values: Iterable[float]) -> None:
    bad = next((value for value in values if value < 0 and math.isfinite(value)), None)
    require(file, field, bad, bad is None, "at least 0")


def _of_search(config: RunConfig) -> dict[str, tuple[int, ...]]:
    """What a search learns beside the weights, and what it last decoded (`core.engine.searching.Searched`)."""
    found: dict[str, tuple[int, ...]] = {}
    if config.seeks.bits:
        blocks = len(searched_blocks(config))
        found |= {"searched.betas": (blocks, len(config.search.candidates)), "searched.chosen": (blocks,)}
    if config.seeks.steps:
        found["searched.psi"] = (config.time_steps,)
    if config.seeks.cell:
        found |= {"searched.alphas": (EDGES,), "searched.wired": (EDGES,)}
    return found
