"""What an uploaded bundle says of its training, and the weights that came of it: as a run of its config leaves them."""

from __future__ import annotations

import math
from collections.abc import Iterable

import numpy as np

from backend.imports.refusals import require, same, within
from core.backbones.plan import SYNAPTIC, Plan
from core.bundle import Bundle
from core.schemas.diagnostics import Diagnostics
from core.schemas.results import Gradients, Metrics, Summary
from core.schemas.run import Kind, RunConfig

METRICS, GRADIENTS, DIAGNOSTICS = "metrics.json", "gradients.json", "diagnostics.json"
SUMMARY, WEIGHTS = "summary.json", "weights.safetensors"
LONGEST_S = 1e9
HIGHEST_LOSS = 3.5e38  # of a float32


def check_epochs(metrics: Metrics, summary: Summary, config: RunConfig) -> None:
    """The epochs are counted through, no more than the config allows, and the best is the best."""
    most, epochs = config.training.max_epochs, len(metrics.epoch)
    require(METRICS, "the number of epochs", epochs, min(most, 1) <= epochs <= most, f"at most max_epochs, {most}")
    same(METRICS, {"epoch": (metrics.epoch, list(range(1, epochs + 1)))}, source="counted through they are")
    same(SUMMARY, {"epochs_run": (summary.epochs_run, epochs)}, source="metrics.json has")
    each_in(METRICS, "lr", metrics.lr, 0, 10)
    for name in ("train_loss", "validation_loss"):
        each_in(METRICS, name, getattr(metrics, name), -HIGHEST_LOSS, HIGHEST_LOSS)
    for name in ("train_accuracy", "validation_accuracy"):
        each_in(METRICS, name, getattr(metrics, name), 0, 1)
    each_in(METRICS, "wall_s", metrics.wall_s, 0, LONGEST_S)
    if config.kind is Kind.SNN:
        each_in(METRICS, "firing_rate", metrics.firing_rate, 0, 1)
    else:
        silent = all(rate is None for rate in metrics.firing_rate)
        require(METRICS, "firing_rate", "a number", silent, "null: a CNN has no spikes")
    if epochs:
        best = max(metrics.validation_accuracy)
        told = {
            "best_validation_accuracy": (summary.best_validation_accuracy, best),
            "best_epoch": (summary.best_epoch, metrics.validation_accuracy.index(best) + 1),
        }
        same(SUMMARY, told, source="metrics.json has")
    else:  # converted, and never trained
        same(SUMMARY, {"best_epoch": (summary.best_epoch, 0)}, source="a network that was not trained has")
        within(SUMMARY, "best_validation_accuracy", summary.best_validation_accuracy, 0, 1)


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
        wanted = metrics.epoch[-len(found.epochs) :] or [0]
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
        kind = "i" if name.endswith("num_batches_tracked") else "f"
        expected = "finite real numbers" if kind == "f" else "a whole number"
        require(WEIGHTS, name, str(tensor.dtype), tensor.dtype.kind == kind and np.isfinite(tensor).all(), expected)


def _tensors(config: RunConfig, plan: Plan) -> dict[str, tuple[int, ...]]:
    """Name -> shape of the network's parameters and running statistics (`core.engine.network.Network`)."""
    found: dict[str, tuple[int, ...]] = {}
    learns_tau = config.kind is Kind.SNN and config.neuron.model == "plif"
    for node in plan.nodes:
        channels = node.shape[:1]
        if node.op == "conv":
            inputs = node.in_shape[0] // node.groups
            found[f"{node.name}.weight"] = (*channels, inputs, node.kernel, node.kernel)
            if node.bias:
                found[f"{node.name}.bias"] = channels
        elif node.op == "bn":
            found |= {f"{node.name}.{name}": channels for name in ("weight", "bias", "running_mean", "running_var")}
            found[f"{node.name}.num_batches_tracked"] = ()
        elif node.op == "act" and learns_tau:
            found[f"{node.name}.w"] = ()
    return found


def each_in(file: str, field: str, values: Iterable[float | None], low: float, high: float) -> None:
    """Every entry a number from low to high."""
    for value in values:
        if value is None or not low <= value <= high:
            within(file, f"an entry of {field}", value, low, high)


def _norms(file: str, field: str, values: Iterable[float]) -> None:
    bad = next((value for value in values if value < 0 and math.isfinite(value)), None)
    require(file, field, bad, bad is None, "at least 0")
