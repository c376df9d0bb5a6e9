"""The network of a run once more, in SpikingJelly's own layers and neurons: what a recount counts.

Nothing of `core.engine` computes here. What is shared is the plan (which layers, in which order) and the weights.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from spikingjelly.activation_based import functional, layer
from torch import Tensor, nn

from core.backbones.plan import Node, Plan
from core.engine.network import attach
from core.errors import UnknownLayer
from core.exchange.source import SUMMED
from core.oracles.spikingjelly_counts import neuron_of
from core.schemas.run import Kind, RunConfig


class Rebuilt(nn.Module):
    """The network of `plan` under `config`: layers of SpikingJelly with step_mode="m", its neurons, nn.ReLU for a CNN.

    x: [T, N, C, H, W], the input of each step -> [T, N, classes]; T = 1 for a CNN. The keys of its state_dict are those
    of `core.engine.network.Network`. The neurons are reset before every call.

    A converted, untrained network starts its neurons at half the threshold and pools and gates the sums so far.
    Raises UnknownLayer for a layer or a neuron that SpikingJelly has not.
    """

    def __init__(self, plan: Plan, config: RunConfig) -> None:
        super().__init__()
        self.plan, self.config = plan, config
        self.layers: dict[str, nn.Module] = {}
        for node in plan.nodes:
            if (made := _layer(node, config)) is not None:
                self.layers[node.name] = made
                attach(self, node.name, made)
        functional.set_step_mode(self, "m")

    def forward(self, x: Tensor) -> Tensor:
        functional.reset_net(self)
        for made in self.layers.values():
            if hasattr(made, "v_threshold"):
                made.v = self.config.v_start
        values: dict[str, Tensor] = {}
        for node in self.plan.nodes:
            inputs = [values[name] for name in node.inputs] or [x]
            values[node.name] = self._value(node, inputs)
        return values[node.name].flatten(2)

    def _value(self, node: Node, inputs: list[Tensor]) -> Tensor:
        made = self.layers.get(node.name)
        if self.config.is_converted and node.op in SUMMED:
            so_far = inputs[0].cumsum(0)
            if node.op == "maxpool":
                return made(so_far).diff(dim=0, prepend=torch.zeros_like(made(so_far[:1])))
            steps = torch.arange(1, len(so_far) + 1, device=so_far.device, dtype=so_far.dtype)
            return (so_far / steps.view(-1, 1, 1, 1, 1)).sigmoid()
        return FUNCTIONS[node.op](node, inputs) if made is None else made(inputs[0])


def shuffled(x: Tensor, groups: int) -> Tensor:
    """Channel g C/groups + i to i groups + g; x: [..., C, H, W]."""
    return x.unflatten(-3, (groups, -1)).transpose(-4, -3).flatten(-4, -3)


#: Operations without a module, which move, sum or gate whole values [..., C, H, W]. Counters that watch layers take
#: them for free. Dropout passes everything in evaluation.
FUNCTIONS: dict[str, Callable[[Node, list[Tensor]], Tensor]] = {
    "input": lambda node, xs: xs[0],
    "dropout": lambda node, xs: xs[0],
    "concat": lambda node, xs: torch.cat(xs, -3),
    "split": lambda node, xs: xs[0][..., node.start : node.start + node.shape[0], :, :],
    "shuffle": lambda node, xs: shuffled(xs[0], node.groups),
    "add": lambda node, xs: xs[0] + xs[1],
    "scale": lambda node, xs: xs[0] * xs[1],
    "sigmoid": lambda node, xs: xs[0].sigmoid(),
}


def _layer(node: Node, config: RunConfig) -> nn.Module | None:
    """SpikingJelly's layer of a node; None for one of FUNCTIONS."""
    match node.op:
        case "conv":
            return layer.Conv2d(**node.convolution)
        case "bn":
            return layer.BatchNorm2d(node.shape[0])
        case "act":
            return neuron_of(config.neuron) if config.kind is Kind.SNN else nn.ReLU()
        case "maxpool":
            return layer.MaxPool2d(node.kernel, node.stride, node.padding, ceil_mode=node.ceil_mode)
        case "global_avgpool":
            return layer.AdaptiveAvgPool2d((1, 1))
    if node.op in FUNCTIONS:
        return None
    raise UnknownLayer(layer=node.name, kind=node.op)
