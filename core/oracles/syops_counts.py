"""syops 0.0.5 behind one door: the package that the paper counted with, as an independent second opinion.

As installed it does not import beside SpikingJelly 2.0, whose neurons lost their `MultiStep` names, and
it passes over every layer whose exact type it does not know without a word. Here the names come back
for the import, and an unknown layer raises.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib import import_module
from types import ModuleType
from typing import Any

import torch
from spikingjelly.activation_based import functional, neuron, surrogate
from torch import Tensor, nn

from core.backbones.plan import Node
from core.engine.compress import plain_layer
from core.engine.network import Network
from core.errors import UnknownLayer
from core.exchange.source import SUMMED
from core.oracles.rebuild import FUNCTIONS
from core.oracles.spikingjelly_counts import neuron_of

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

    x: [N, C, H, W], the same at every step, or [T, N, C, H, W] -> [T, N, classes]. Shares the weights of `network`;
    its neurons hold state and are reset here before every call. Raises UnknownLayer for a layer or a neuron that
    SpikingJelly has not.
    """

    def __init__(self, network: Network) -> None:
        super().__init__()
        self.plan, self.steps = network.plan, network.steps
        self.v_start, self.is_converted = network.v_start, network.is_converted
        self.layers = nn.ModuleDict()
        for node in self.plan.nodes:
            if (layer := _plain_layer(network, node)) is not None:
                self.layers[node.name.replace(".", "__")] = layer
        self._sums: dict[str, Tensor] = {}

    def forward(self, x: Tensor) -> Tensor:
        functional.reset_net(self)
        self._sums.clear()
        for layer in self.layers.values():
            if isinstance(layer, neuron.base_node.BaseNode):
                layer.v = self.v_start
        return torch.stack([self._step(x[t] if x.dim() == 5 else x, t + 1) for t in range(self.steps)])

    def _step(self, x: Tensor, t: int) -> Tensor:
        values = {}
        for node in self.plan.nodes:
            inputs = [values[name] for name in node.inputs] or [x]
            layer = self.layers[name] if (name := node.name.replace(".", "__")) in self.layers else None
            if self.is_converted and node.op in SUMMED:
                values[node.name] = self._so_far(node, inputs[0], layer, t)
            else:
                values[node.name] = FUNCTIONS[node.op](node, inputs) if layer is None else layer(inputs[0])
        return values[node.name].flatten(1)

    def _so_far(self, node: Node, x: Tensor, layer: nn.Module | None, t: int) -> Tensor:
        """In a converted, untrained network: what the maximum of the sums grows by, the gate of their mean."""
        before = self._sums.get(node.name, torch.zeros_like(x))
        now = self._sums[node.name] = before + x
        if layer is None:
            return (now / t).sigmoid()
        # a counter watches the call of the layer, so the maximum of before is not another
        return layer(now) - layer.forward(before)


def _plain_layer(network: Network, node: Node) -> nn.Module | None:
    if node.op in ("conv", "bn"):
        return plain_layer(network.get_submodule(node.name))
    if node.op == "act":
        return _neuron(network, node) if network.spiking else nn.ReLU()
    if node.op == "maxpool":
        return nn.MaxPool2d(node.kernel, node.stride, node.padding, ceil_mode=node.ceil_mode)
    if node.op == "global_avgpool":
        return nn.AdaptiveAvgPool2d(1)
    if node.op in FUNCTIONS:
        return None
    raise UnknownLayer(layer=node.name, kind=node.op)


def _neuron(network: Network, node: Node) -> nn.Module:
    """SpikingJelly's neuron, with the learned time constant of a PLIF layer."""
    made = neuron_of(network.config.neuron)
    if isinstance(made, neuron.ParametricLIFNode):
        made.w = network.get_submodule(node.name).w
    return made


def measure(model: nn.Module, batches: Iterable[Tensor]) -> SyopsResult:
    """What syops counts while `model` evaluates the batches, per image; the model is unchanged afterwards.

    batches: [N, C, H, W] or [T, N, C, H, W] each. Raises UnknownLayer for a layer that syops would count as zero.
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
                images += batch.shape[-4]
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
