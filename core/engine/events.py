"""A spiking network's evaluation on the CPU, by what fires: spikes kept as bits, and only their rows of weights added.

It computes what `Network.forward` computes, in every bit: a convolution takes its spikes one by one only where a trial,
made when its weights are laid out, gave the sums of the dense convolution exactly (`Convolution.is_exact`). Which way
each takes is decided for every batch by the rate of what goes into it: above its `limit` the dense one is faster. Both give
the same. What has no rule on bits (sums, gates, shuffles, depthwise and grouped convolutions) runs on numbers, as it does
without this file.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor, nn

from core.backbones.plan import Node
from core.engine.fast import kernels_events as kernels
from core.engine.fast.fused import Membrane, spread
from core.engine.fast.fused_norm import Part, folded
from core.engine.fast.groups import Chain, Group, find_groups
from core.engine.fast.vector import BITS, LANES, PLACES, divides_by_reciprocal
from core.engine.neurons import Learned
from core.engine.thermometer import summed

if TYPE_CHECKING:
    from core.engine.network import Network

TINY = 2.0**-60


def padded(channels: int) -> int:
    """The next multiple of LANES."""
    return -(-channels // LANES) * LANES


@dataclass(frozen=True, kw_only=True)
class Bits:
    """Spikes of a layer, [T, N, H, W, B] uint8, and how many each pixel has, [T, N, H, W] int32.

    `places`: [C] the bit of each channel. Counts are the T planes of their thermometer.
    """

    bits: np.ndarray
    filled: np.ndarray
    places: np.ndarray
    _sums: dict[int, int] = field(default_factory=dict, repr=False)  # by planes, as `rate` was asked

    @classmethod
    def empty(cls, steps: int, images: int, node: Node, places: np.ndarray, size: int) -> Bits:
        _, height, width = node.shape
        shape = (steps, images, height, width)
        return cls(bits=np.empty((*shape, size), np.uint8), filled=np.empty(shape, np.int32), places=places)

    @property
    def map(self) -> Tensor:
        """[T x N, H x W] int32, as a counter wants it."""
        steps, images, height, width = self.filled.shape
        return torch.from_numpy(self.filled.reshape(steps * images, height * width))

    def rate(self, planes: int) -> float:
        """What share of the places is set in the first `planes` planes."""
        filled = self.filled[:planes]
        if planes not in self._sums:
            self._sums[planes] = int(filled.sum(dtype=np.int64))
        return self._sums[planes] / (filled.size * len(self.places))

    def numbers(self, *, summed: bool = False) -> Tensor:
        """[T x N, C, H, W] float32 in channels_last; where `summed` the counts, [N, C, H, W]."""
        steps, images, height, width, size = self.bits.shape
        rows, channels = (1 if summed else steps), len(self.places)
        straight = self.places[-1] == channels - 1
        out = np.empty((rows, images, height, width, channels if straight else size * 8), np.float32)
        bits_TRB, out_TRC = self.bits.reshape(steps, -1, size), out.reshape(rows, -1, out.shape[-1])
        spread(lambda a, b: kernels.unpacked(bits_TRB, out_TRC, summed, a, b), bits_TRB.shape[1], steps * out.shape[-1])
        value = torch.from_numpy(out.reshape(rows * images, height, width, -1))
        if not straight:
            value = value[..., torch.from_numpy(self.places)].contiguous()
        return value.permute(0, 3, 1, 2)


def laid_out(weight: Tensor, places: np.ndarray, size: int) -> np.ndarray:
    """[O, C, K, K] -> one array of rows [K x K x 8 size, padded O], a row for each tap and bit."""
    outputs, _, kernel, _ = weight.shape
    rows = np.zeros((kernel, kernel, size * 8, padded(outputs)), np.float32)
    rows[:, :, places, :outputs] = weight.detach().permute(2, 3, 1, 0).numpy()
    return rows.reshape(-1)


class Convolution:
    """One convolution of spikes: its weights as rows, and up to which rate adding them is worth it."""

    def __init__(self, node: Node, layer: nn.Conv2d, places: np.ndarray, size: int, levels: int) -> None:
        self.node, self.layer, self.levels = node, layer, levels
        self._rows = laid_out(layer.weight, places, size)
        self.limit = limit(node, counts=levels > 0)

    @property
    def shared(self) -> tuple[Any, ...]:
        return self._rows, PLACES, BITS

    @property
    def window(self) -> tuple[int, ...]:
        return self.node.kernel, self.node.stride, self.node.padding, self.node.dilation

    def takes(self, value: Bits, limit: float | None) -> bool:
        """Whether these spikes are few enough; `limit` in place of its own where one is given."""
        return value.rate(1 if self.levels else len(value.bits)) <= (self.limit if limit is None else limit)

    def sums(self, value: Bits) -> np.ndarray:
        """[T, N, H, W, O] float32 without the bias; T = 1 of counts."""
        steps, images = value.bits.shape[:2]
        channels, height, width = self.node.shape
        out = np.empty((1 if self.levels else steps, images, height, width, channels), np.float32)
        spread(
            lambda a, b: kernels.conv_sums(value.bits, *self.shared, out, *self.window, self.levels > 0, a, b),
            images * height,
            steps * width * channels,
        )
        return out


def limit(node: Node, *, counts: bool) -> float:
    """The rate of its input up to which a convolution adds rows faster than it computes densely.

    Chosen by times of single layers of a SqueezeNet-P with drawn spikes (busy processors with AVX2 and with AVX-512, one
    thread, batches 1 and 8). A dense convolution sees `counts` once, and spikes T times.
    """
    if not counts:
        return 0.5
    if node.kernel > 1:
        return 0.45
    return 0.3 if node.shape[0] >= 2 * LANES and node.shape[0] * 2 > node.in_shape[0] else 0.15


@dataclass(frozen=True, kw_only=True)
class Step:
    """A node by itself; a convolution with its `chain`; or the end of a `group`. `spent`: values that nobody reads later."""

    node: Node
    group: Group | None
    chain: Chain | None
    spent: tuple[str, ...]


class Events:
    """The network's evaluation, its weights laid out as they were at the time; `is_current` tells whether they still are.

    Works for `steps` time steps. Raises nothing of its own.
    """

    def __init__(self, network: Network) -> None:
        self._weights = _weights(network)
        self._key = _key(self._weights)
        self._steps, self._neuron, self._v_start = network.steps, network.config.neuron, network.v_start
        self._levels = network.steps if self._neuron.model == "count" else 0
        self.nodes = {node.name: node for node in network.plan.nodes}
        self.layouts: dict[str, tuple[np.ndarray, int]] = {}
        self.places_in: dict[str, int] = {}  # of each activation: its first byte in its group's value
        self.own_places: dict[str, np.ndarray] = {}  # and its bits there
        self.groups: dict[str, Group] = {}
        chains: dict[str, Chain] = {}
        for group in find_groups(network.plan):
            for chain in group.chains:
                chains[chain.act.name] = chain
                self.groups |= {node.name: group for node in (chain.conv, chain.bn, chain.act, group.out)}
        for node in network.plan.nodes:
            if (found := self._laid(node, network)) is not None:
                self.layouts[node.name] = found
        self.convolutions = {node.name: made for node in network.plan.nodes if (made := self._made(node, network))}
        self.neurons: dict[str, tuple[np.ndarray, np.ndarray, tuple[Any, ...]]] = {}
        for node in network.act_nodes:
            self.neurons[node.name] = self._normalised(node, chains.get(node.name), network)
            self.own_places[node.name] = np.arange(node.shape[0]) + self.places_in[node.name] * 8
        self.order = tuple(self._ordered(network.plan.nodes))

    def _ordered(self, nodes: tuple[Node, ...]) -> Iterator[Step]:
        """What there is to do, in the plan's order: what runs within a group is left out."""
        last_use = {name: node.name for node in nodes for name in node.inputs}
        inner = {
            node.name for group in self.groups.values() for chain in group.chains for node in (chain.conv, chain.bn)
        }
        inner |= {
            chain.act.name for group in self.groups.values() for chain in group.chains if chain.act is not group.out
        }
        for node in nodes:
            spent = tuple(n for n in dict.fromkeys(node.inputs) if last_use[n] == node.name and n not in inner)
            group = self.groups.get(node.name)
            if group is None or group.out is node:
                yield Step(node=node, group=group, chain=None, spent=spent)
            elif node.op == "conv":
                chain = next(chain for chain in group.chains if chain.conv is node)
                yield Step(node=node, group=group, chain=chain, spent=spent)

    @classmethod
    def of(cls, network: Network, kept: Events | None) -> Events | None:
        """`kept` where its weights are still the network's, else laid out anew; None for weights made in inference mode,
        whose changes nobody counts."""
        if kept is not None and kept.is_current(network):
            return kept
        return None if any(weight.is_inference() for _, _, weight in _weights(network)) else cls(network)

    def is_current(self, network: Network) -> bool:
        """Whether weights, steps and neurons are those that were laid out."""
        return (
            (network.steps, network.v_start) == (self._steps, self._v_start)
            and network.config.neuron == self._neuron
            and _key(self._weights) == self._key
        )

    def _laid(self, node: Node, network: Network) -> tuple[np.ndarray, int] | None:
        """The bit of each channel and the bytes of a pixel, where the node's value is kept as bits."""
        group = self.groups.get(node.name)
        if group is not None and group.out is node:
            places, size = [], 0
            for chain in group.chains:
                self.places_in[chain.act.name] = size
                places.append(np.arange(chain.act.shape[0]) + size * 8)
                size += padded(chain.act.shape[0]) // 8
            return np.concatenate(places), size
        if node.op == "act":
            self.places_in[node.name] = 0
            return np.arange(node.shape[0]), padded(node.shape[0]) // 8
        if node.op == "maxpool" and not network.is_converted or node.op == "dropout":
            return self.layouts.get(node.inputs[0])
        if node.op == "concat" and all(name in self.layouts for name in node.inputs):
            places, size = [], 0
            for name in node.inputs:
                own, bytes_ = self.layouts[name]
                places.append(own + size * 8)
                size += bytes_
            return np.concatenate(places), size
        return None

    def _made(self, node: Node, network: Network) -> Convolution | None:
        """The convolution of a node that can take spikes one by one."""
        if node.op != "conv" or node.groups > 1 or not self.nodes[node.inputs[0]].spikes:
            return None
        if self.nodes[node.inputs[0]].op == "input":
            return None
        plain = np.arange(node.in_shape[0]), padded(node.in_shape[0]) // 8
        levels = self._levels if network.gives_one_output(node) else 0
        return Convolution(node, network.get_submodule(node.name), *self.layouts.get(node.inputs[0], plain), levels)

    def _normalised(self, node: Node, chain: Chain | None, network: Network) -> tuple[np.ndarray, np.ndarray, Any]:
        """Scale and shift before the neurons, padded, and their constants as the kernels take them."""
        size = padded(node.shape[0])
        scale, shift = np.zeros(size, np.float32), np.zeros(size, np.float32)
        gain = network.into_neurons(node, torch.ones(())).detach()
        if chain is None:
            scale[: node.shape[0]] = float(gain)
        else:
            bias = network.get_submodule(chain.conv.name).bias
            part = Part(norm=network.get_submodule(chain.bn.name), bias=bias, gain=gain)
            scale[: node.shape[0]], shift[: node.shape[0]] = folded(part, np.float32)
        if self._levels:
            zero = np.float32(0)
            return scale, shift, (self._levels, kernels.BY_INVERSE, zero, zero, zero, False)
        made = Membrane.of(self._neuron, np.float32, network.leak(node.name), self._v_start)
        if made.keep is not None:
            how, leak = kernels.BY_KEEP, made.keep
        elif made.tau is None:
            how, leak = kernels.BY_INVERSE, made.inverse
        else:
            # a threshold far above the numbers for which the products are not exact
            quick = divides_by_reciprocal(float(made.tau)) and made.v_threshold > TINY
            how, leak = (kernels.BY_PRODUCTS if quick else kernels.BY_TAU), made.tau
        return scale, shift, (0, how, leak, made.v_threshold, made.v_start, made.soft)

    def run(self, network: Network, x: Tensor) -> Tensor:
        """The value of the last node; observers and counters of the network hear of every node on the way."""
        return _Pass(self, network, x).run()


class _Pass:
    """One batch on its way through the network."""

    def __init__(self, events: Events, network: Network, x: Tensor) -> None:
        self._events, self._network, self._x = events, network, x
        self._steps, self._images = network.steps, x.shape[0]
        self._values: dict[str, Tensor | Bits] = {}
        self._numbers: dict[str, Tensor] = {}  # bits that somebody wants as numbers
        self._wholes: dict[str, Bits] = {}  # of groups that are under way, and of their activations
        self._acts: dict[str, Bits] = {}

    def run(self) -> Tensor:
        for step in self._events.order:
            if step.chain is not None:
                self._begin(step.node, step.chain, step.group)
            elif step.group is not None:
                self._end(step.group)
            else:
                self._alone(step.node)
            for name in step.spent:
                self._forget(name)
        return self._number(self._events.order[-1].node.name)

    def _forget(self, name: str) -> None:
        self._values.pop(name, None)
        self._numbers.pop(name, None)

    def _alone(self, node: Node) -> None:
        inputs = [self._values[name] for name in node.inputs]
        if node.name in self._events.layouts and all(isinstance(value, Bits) for value in inputs) and node.op != "act":
            self._keep(node.name, _MOVES[node.op](self, node, inputs))
        elif node.op == "act":
            self._keep(node.name, self._fired(node, self._number(node.inputs[0])))
        elif (made := self._convolution(node)) is not None:
            out = torch.from_numpy(made[0].sums(made[1])).flatten(0, 1).permute(0, 3, 1, 2)
            bias = made[0].layer.bias
            self._values[node.name] = out if bias is None else out.add_(bias.view(-1, 1, 1))
        else:
            numbers = tuple(self._number(name) for name in node.inputs) or (self._x,)
            self._values[node.name] = self._network.plain(node, numbers)
        self._tell(node)

    def _begin(self, node: Node, chain: Chain, group: Group) -> None:
        """A convolution with all that follows it in its chain."""
        self._tell(node, output=False)
        if group.out.name not in self._wholes:
            layout = self._events.layouts[group.out.name]
            self._wholes[group.out.name] = Bits.empty(self._steps, self._images, group.out, *layout)
        self._convolve(chain, self._wholes[group.out.name])

    def _end(self, group: Group) -> None:
        """The group's value; observers hear of its activations, and of what joins them."""
        whole, out = self._wholes.pop(group.out.name), group.out
        for chain in group.chains:
            self._keep(chain.act.name, self._acts.pop(chain.act.name))
            self._tell(chain.act, inputs=False)
        if out.op != "concat":
            return
        filled = [self._values[chain.act.name].filled for chain in group.chains]
        np.copyto(whole.filled, filled[0])
        for part in filled[1:]:
            np.add(whole.filled, part, out=whole.filled)
        self._keep(out.name, whole)
        self._tell(out)
        for chain in group.chains:
            self._forget(chain.act.name)

    def _convolve(self, chain: Chain, whole: Bits) -> None:
        act, at = chain.act, self._events.places_in[chain.act.name]
        scale, shift, neurons = self._events.neurons[act.name]
        channels = act.shape[0]
        shape = whole.filled.shape
        # its own part of the whole's bits
        part = Bits(bits=whole.bits, filled=np.empty(shape, np.int32), places=self._events.own_places[act.name])
        self._acts[act.name] = part
        if (found := self._convolution(chain.conv)) is not None:
            made, value = found
            spread(
                lambda a, b: kernels.conv_fire(
                    value.bits, *made.shared, scale, shift, whole.bits, at, channels, part.filled,
                    *made.window, *neurons, a, b,
                ),
                shape[1] * shape[2], self._steps * shape[3] * channels,
            )  # fmt: skip
            return
        self._fire(self._network.convolved(chain.conv, self._fitted(chain.conv)), act, whole.bits, at, part.filled)

    def _fired(self, node: Node, x: Tensor) -> Bits:
        """The spikes of an activation that stands alone."""
        out = Bits.empty(self._steps, self._images, node, *self._events.layouts[node.name])
        self._fire(x, node, out.bits, 0, out.filled)
        return out

    def _fire(self, x: Tensor, act: Node, bits: np.ndarray, at: int, filled: np.ndarray) -> None:
        scale, shift, neurons = self._events.neurons[act.name]
        channels, rows = act.shape[0], x.shape[0] // self._images
        x = x.contiguous(memory_format=torch.channels_last)
        x_TRC = x.detach().permute(0, 2, 3, 1).numpy().reshape(rows, -1, channels)
        out_TRB, map_TR = bits.reshape(self._steps, -1, bits.shape[-1]), filled.reshape(self._steps, -1)
        spread(
            lambda a, b: kernels.fire(x_TRC, scale, shift, out_TRB, at, channels, map_TR, *neurons, a, b),
            out_TRB.shape[1],
            self._steps * channels,
        )

    def _convolution(self, node: Node) -> tuple[Convolution, Bits] | None:
        """The convolution and its spikes, where taking them one by one is exact and worth it."""
        made = self._events.convolutions.get(node.name)
        value = self._values[node.inputs[0]] if node.inputs else None
        if made is None:
            return None
        if not isinstance(value, Bits):
            value = self._packed(node, value)
        return (made, value) if made.takes(value, self._network.event_limit) else None

    def _packed(self, node: Node, value: Tensor) -> Bits:
        """Spikes that came as numbers, [T x N, C, H, W]."""
        channels, height, width = node.in_shape
        shape = (self._steps, self._images, height, width)
        size = padded(channels) // 8
        out = Bits(
            bits=np.empty((*shape, size), np.uint8), filled=np.empty(shape, np.int32), places=np.arange(channels)
        )
        x_RC = value.detach().permute(0, 2, 3, 1).contiguous().numpy().reshape(-1, channels)
        out_RB, map_R = out.bits.reshape(-1, size), out.filled.reshape(-1)
        spread(lambda a, b: kernels.packed(x_RC, out_RB, map_R, a, b), len(x_RC), channels)
        return out

    def _fitted(self, node: Node) -> Tensor:
        """The input of a convolution as numbers, with as many rows as it works on."""
        (name,) = node.inputs
        value = self._values[name]
        if isinstance(value, Bits) and self._network.gives_one_output(node):
            return value.numbers(summed=True)
        return self._network.fitted(node, (self._number(name),))[0]

    def _number(self, name: str) -> Tensor:
        """A value as numbers, spikes with T x N rows."""
        value = self._values[name]
        if not isinstance(value, Bits):
            return value
        if name not in self._numbers:
            self._numbers[name] = value.numbers()
        return self._numbers[name]

    def _keep(self, name: str, value: Bits) -> None:
        self._values[name] = value
        if self._network.is_counted:
            self._network.note_map(name, value.map)

    def _tell(self, node: Node, *, inputs: bool = True, output: bool = True) -> None:
        network = self._network
        if network.is_observed:
            given = tuple(self._shown(name) for name in node.inputs) if inputs else ()
            network.tell(node, given, self._shown(node.name) if output else None)

    def _shown(self, name: str) -> Tensor | None:
        """A value as observers get it: what is kept as bits only where one of them looks at values."""
        value, network = self._values[name], self._network
        if isinstance(value, Bits) and not network.shows_values:
            return None
        if not network.shows_sums(self._events.nodes[name]):
            return self._number(name)
        return value.numbers(summed=True) if isinstance(value, Bits) else summed(value, self._steps)

    def _pooled(self, node: Node, inputs: list[Bits]) -> Bits:
        (value,) = inputs
        out = Bits.empty(self._steps, self._images, node, value.places, value.bits.shape[-1])
        flat_in, flat_out, filled = (part.reshape(-1, *part.shape[2:]) for part in (value.bits, out.bits, out.filled))
        spread(
            lambda a, b: kernels.pool(flat_in, flat_out, filled, node.kernel, node.stride, node.padding, a, b),
            len(filled),
            value.bits[0, 0].size,
        )
        return out

    def _joined(self, node: Node, inputs: list[Bits]) -> Bits:
        bits = np.concatenate([value.bits for value in inputs], axis=-1)
        places, _ = self._events.layouts[node.name]
        return Bits(bits=bits, filled=sum(value.filled for value in inputs), places=places)

    def _same(self, node: Node, inputs: list[Bits]) -> Bits:
        return inputs[0]


_MOVES = {"maxpool": _Pass._pooled, "concat": _Pass._joined, "dropout": _Pass._same}


def _weights(network: Network) -> list[tuple[nn.Module, str, Tensor]]:
    """Every tensor that is laid out: its module, its name there, and itself."""
    kinds = (nn.Conv2d, nn.BatchNorm2d, Learned)
    modules = [module for module in network.modules() if isinstance(module, kinds)]
    named = [(m, name, t) for m in modules for name, t in (*m._parameters.items(), *m._buffers.items())]
    return [(m, name, t) for m, name, t in named if t is not None and name != "num_batches_tracked"]


def _key(weights: list[tuple[nn.Module, str, Tensor]]) -> list[int] | None:
    """Where each tensor lies, then how often each was changed; None where one was replaced."""
    tensors = [tensor for _, _, tensor in weights]
    for module, name, tensor in weights:
        if module._parameters.get(name) is not tensor and module._buffers.get(name) is not tensor:
            return None
    try:
        return [*map(Tensor.data_ptr, tensors), *(tensor._version for tensor in tensors)]
    except RuntimeError:  # made in inference mode: nobody counts its changes
        return None


def load_kernels() -> None:
    """Compile what a small network may not reach: spikes that come as numbers."""
    x, out, filled = np.zeros((1, LANES), np.float32), np.empty((1, LANES // 8), np.uint8), np.empty(1, np.int32)
    kernels.packed(x, out, filled, 0, 1)
