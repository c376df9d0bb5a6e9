"""SpikingJelly 2.0's neurons and operation counters, and SqueezeNet written by hand with its layers.

The network by hand is the independent reference of tests and benchmarks. It follows SpikingJelly's tutorials:
step_mode="m", stateful neurons, the image repeated T times, `functional.reset_net` between batches. Its state_dict has
the same keys as `Network`'s.
"""

from __future__ import annotations

from collections.abc import Iterable

import torch
from spikingjelly.activation_based import functional, layer, neuron, surrogate
from spikingjelly.activation_based.op_counter import DispatchCounterMode, MACCounter, SynOpCounter
from torch import Tensor, nn

from core.backbones.squeezenet import BLOCKS, EXPAND, POOL_AFTER, SQUEEZE
from core.engine.neurons import first_potential
from core.errors import UnknownLayer
from core.exchange.spikingjelly_file import SURROGATE_NAMES
from core.schemas.run import NeuronConfig

#: SpikingJelly's surrogates that have the same sigma'(u) at the same alpha, by our names.
SURROGATES: dict[str, type[surrogate.SurrogateFunctionBase]] = {
    ours: getattr(surrogate, theirs) for ours, theirs in SURROGATE_NAMES.items()
}


def neuron_of(config: NeuronConfig, step_mode: str = "s") -> neuron.base_node.BaseNode:
    """SpikingJelly's neuron of a config; its soft reset is v_reset None, and the reset carries its gradient.

    Raises UnknownLayer for a surrogate that it has not, for counts, which are no neuron of steps, and for a learned
    threshold, which is not in the config.
    """
    if config.model == "count" or config.learn_threshold:
        raise UnknownLayer(layer="the neurons", kind="count" if config.model == "count" else "learned threshold")
    if config.surrogate not in SURROGATES:
        raise UnknownLayer(layer="the neurons' surrogate", kind=config.surrogate)
    shared = {
        "v_threshold": config.v_threshold,
        "v_reset": 0.0 if config.reset == "hard" else None,
        "surrogate_function": SURROGATES[config.surrogate](alpha=config.alpha),
        "detach_reset": config.detach_reset,
        "step_mode": step_mode,
    }
    if config.model == "if":
        node = neuron.IFNode(**shared)
    elif config.model == "plif":
        node = neuron.ParametricLIFNode(init_tau=config.tau, decay_input=config.decay_input, **shared)
    elif config.model == "lif":
        node = neuron.LIFNode(tau=config.tau, decay_input=config.decay_input, **shared)
    else:
        raise UnknownLayer(layer="the neurons", kind=config.model)
    node.v = first_potential(config)
    node.set_reset_value("v", node.v)
    return node


def measure(model: nn.Module, batches: Iterable[Tensor]) -> dict[str, tuple[int, int]]:
    """(ACs, MACs) of each layer while `model` evaluates the batches, by the layer's name: sums over images and steps.

    By SynOpCounter and MACCounter: a call whose input is 0 and 1 alone gives an AC for each tap that a 1 reaches, any
    other a MAC for each weight and output, zeros and padding included; a normalisation one MAC an element. Layers
    that neither has a rule for are not in the answer.
    """
    tools = SynOpCounter(), MACCounter()
    for x in batches:
        with DispatchCounterMode(list(tools)):
            model(x)
    by_layer = [_by_layer(tool.get_counts()) for tool in tools]
    return {
        name: tuple(found.get(name, 0) for found in by_layer) for name in dict.fromkeys([*by_layer[0], *by_layer[1]])
    }


def _by_layer(counts: dict[str, dict]) -> dict[str, int]:
    """Scopes are `Model.name.of.layer`; that of the model alone and `Global` hold the sums."""
    return {scope.partition(".")[2]: sum(rules.values()) for scope, rules in counts.items() if "." in scope}


class Unit(nn.Module):
    """Convolution, batch normalisation, neurons."""

    def __init__(self, c_in: int, c_out: int, kernel: int, lif: NeuronConfig) -> None:
        super().__init__()
        self.conv = layer.Conv2d(c_in, c_out, kernel, padding=kernel // 2)
        self.bn = layer.BatchNorm2d(c_out)
        self.act = neuron_of(lif)

    def forward(self, x: Tensor) -> Tensor:
        return self.act(self.bn(self.conv(x)))


class Fire(nn.Module):
    """A squeeze convolution and two expanding ones side by side."""

    def __init__(self, c_in: int, squeeze: int, expand: int, lif: NeuronConfig) -> None:
        super().__init__()
        self.squeeze = Unit(c_in, squeeze, 1, lif)
        self.expand1 = Unit(squeeze, expand, 1, lif)
        self.expand3 = Unit(squeeze, expand, 3, lif)

    def forward(self, x: Tensor) -> Tensor:
        x = self.squeeze(x)
        return torch.cat((self.expand1(x), self.expand3(x)), dim=2)


class Classifier(nn.Module):
    """1x1 convolution without a neuron."""

    def __init__(self, c_in: int, n_classes: int) -> None:
        super().__init__()
        self.conv = layer.Conv2d(c_in, n_classes, 1)

    def forward(self, x: Tensor) -> Tensor:
        return self.conv(x)


class SpikingSqueezeNet(nn.Module):
    """The small definition with the Fire modules of `mask` and any neuron (`lif`); x: [N, C, H, W] -> [T, N, classes].

    Stateful: call `functional.reset_net` before each new batch.
    """

    def __init__(self, *, mask: tuple[str, ...], channels: int, n_classes: int, steps: int, lif: NeuronConfig) -> None:
        super().__init__()
        self.steps = steps
        self.order: list[str] = []
        self.stem, width = Unit(channels, 128, 3, lif), 128
        self.pool = layer.MaxPool2d(2, 2)
        for block in BLOCKS:
            if block in mask:
                self.add_module(block, Fire(width, SQUEEZE[block], EXPAND[block], lif))
                self.order.append(block)
                width = 2 * EXPAND[block]
            if block in POOL_AFTER:
                self.order.append("pool")
        self.classifier = Classifier(width, n_classes)
        functional.set_step_mode(self, "m")

    def forward(self, x: Tensor) -> Tensor:
        x = x.unsqueeze(0).repeat(self.steps, 1, 1, 1, 1)
        x = self.pool(self.stem(x))
        for name in self.order:
            x = self.get_submodule(name)(x)
        return self.classifier(x).mean((3, 4))
