"""syops 0.0.5 behind one door: the package that the paper counted with, as an independent second opinion.

As installed it does not import beside SpikingJelly 2.0, whose neurons lost their `MultiStep` names, and
it passes over every layer whose exact type it does not know without a word. Here the names come back
for the import, and an unknown layer raises.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib import import_module
from types import ModuleType
from typing import Any

import torch
from spikingjelly.activation_based import functional, neuron, surrogate
from torch import Tensor, nn

from core.backbones.plan import Node
from core.engine.network import Network
from core.errors import UnknownLayer
from core.oracles.spikingjelly_counts import neuron_of
from core.schemas.run import NeuronConfig

_MISSING = {
    "MultiStepIFNode": "IFNode",
    "MultiStepLIFNode": "LIFNode",
    "MultiStepParametricLIFNode": "ParametricLIFNode",
}


@dataclass(frozen=True, kw_only=True)
class SyopsResult:
    """Operations per image over all T steps, by syops' rules. Not modelled there: concatenation, borders, strides."""

    acs: float
    macs: float
    layers: dict[str, tuple[float, float]]


@contextmanager
def _restored_names() -> Iterator[None]:
    added = [name for name in _MISSING if not hasattr(neuron, name)]
    for name in added:
        setattr(neuron, name, getattr(neuron, _MISSING[name]))
    try:
        yield
    finally:
        for name in added:
            delattr(neuron, name)


def load_syops() -> tuple[ModuleType, ModuleType]:
    """syops' `engine` and `ops` modules."""
    with _restored_names():
        return import_module("syops.engine"), import_module("syops.ops")


class PlainNetwork(nn.Module):
    """The same network as layers of the exact types that syops knows, run step by step.

    x: [N, C, H, W] -> [T, N, classes]. Shares the weights of `network`; its neurons hold state and are
    reset here before every call.
    """

    def __init__(self, network: Network) -> None:
        super().__init__()
        self.plan, self.steps = network.plan, network.steps
        self.layers = nn.ModuleDict()
        for node in self.plan.nodes:
            if (layer := _plain_layer(network, node)) is not None:
                self.layers[node.name.replace(".", "__")] = layer

    def forward(self, x: Tensor) -> Tensor:
        functional.reset_net(self)
        return torch.stack([self._step(x) for _ in range(self.steps)])

    def _step(self, x: Tensor) -> Tensor:
        values = {}
        for node in self.plan.nodes:
            inputs = [values[name] for name in node.inputs] or [x]
            name = node.name.replace(".", "__")
            if name in self.layers:
                values[node.name] = self.layers[name](inputs[0])
            else:
                values[node.name] = _FUNCTIONS[node.op](node, inputs)
        return values[node.name].flatten(1)


#: Operations without a module: the counters that watch modules take them for free, as all modes do but
#: `exact+neuron` and `memory`, which charge sums and gates. Dropout passes everything in evaluation.
_FUNCTIONS: dict[str, Callable[[Node, list[Tensor]], Tensor]] = {
    "input": lambda node, xs: xs[0],
    "dropout": lambda node, xs: xs[0],
    "concat": lambda node, xs: torch.cat(xs, 1),
    "split": lambda node, xs: xs[0][:, node.start : node.start + node.shape[0]],
    "shuffle": lambda node, xs: nn.functional.channel_shuffle(xs[0], node.groups),
    "add": lambda node, xs: xs[0] + xs[1],
    "scale": lambda node, xs: xs[0] * xs[1],
    "sigmoid": lambda node, xs: xs[0].sigmoid(),
}


def _plain_layer(network: Network, node: Node) -> nn.Module | None:
    if node.op in ("conv", "bn"):
        return network.get_submodule(node.name)
    if node.op == "act":
        return _neuron(network.config.neuron) if network.spiking else nn.ReLU()
    if node.op == "maxpool":
        return nn.MaxPool2d(node.kernel, node.stride, node.padding, ceil_mode=node.ceil_mode)
    if node.op == "global_avgpool":
        return nn.AdaptiveAvgPool2d(1)
    if node.op in _FUNCTIONS:
        return None
    raise UnknownLayer(layer=node.name, kind=node.op)


def _neuron(config: NeuronConfig) -> nn.Module:
    """SpikingJelly's neuron for LIF and IF. Raises UnknownLayer for another: what a layer learned is not in the config."""
    if config.model == "plif":
        raise UnknownLayer(layer="the neurons", kind=config.model)
    return neuron_of(config)


def measure(model: nn.Module, batches: Iterable[Tensor]) -> SyopsResult:
    """What syops counts while `model` evaluates the batches, per image; the model is unchanged afterwards.

    batches: [N, C, H, W] each. Raises UnknownLayer for a layer that syops would count as zero.
    """
    engine, ops = load_syops()
    leaves = {name: layer for name, layer in model.named_modules() if _is_leaf(layer)}
    for name, layer in leaves.items():
        if type(layer) not in ops.MODULES_MAPPING:
            raise UnknownLayer(layer=name, kind=f"{type(layer).__module__}.{type(layer).__qualname__}")
    training = model.training
    counted: Any = engine.add_syops_counting_methods(model.eval())
    counted.start_syops_count(ost=None, verbose=False, ignore_list=[])
    try:
        images = 0
        with torch.no_grad():
            for batch in batches:
                counted(batch)
                images += batch.shape[0]
        sums = {name: layer.__syops__ for name, layer in leaves.items()}
    finally:
        counted.stop_syops_count()
        for method in ("start_syops_count", "stop_syops_count", "reset_syops_count", "compute_average_syops_cost"):
            delattr(model, method)
        model.train(training)
    layers = {name: (float(row[1]) / images, float(row[2]) / images) for name, row in sums.items()}
    return SyopsResult(
        acs=sum(acs for acs, _ in layers.values()), macs=sum(macs for _, macs in layers.values()), layers=layers
    )


def _is_leaf(layer: nn.Module) -> bool:
    """A layer by itself; a neuron is one although it holds its surrogate."""
    if isinstance(layer, surrogate.SurrogateFunctionBase):
        return False
    return isinstance(layer, neuron.base_node.BaseNode) or not any(True for _ in layer.children())
