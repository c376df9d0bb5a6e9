"""Integers from which every energy figure is computed: synaptic operations and spikes per layer and step.

For a convolution with input x, F(i) is the number of in-bounds taps of input element i times the
output channels of its group: the outputs that element i reaches. Effective synaptic operations are
the sum over i of F(i) [x_i != 0]: accumulates (AC) where the input is spikes, multiply-accumulates
(MAC) elsewhere. F depends on the pixel alone, so a map of non-zero channels per pixel times the
pixel's F is exact at borders, strides and groups. Where weights are pruned, F counts the kept taps, so it depends on
the channel too, and each element is looked up.

The same rule holds for a network and its twin: a ReLU's zeros are skipped as silent neurons are;
`dense_ops` stands beside it for hardware that skips nothing. In a layer-synchronous network (`neuron.model =
"count"`) spikes are counted step by step as everywhere; a real value that neurons lead to is there once, made of the
sums over all steps, and is entered like a constant one: the same at every step, to be charged once. Not counted here: bias, normalisation,
neuron updates, memory; their sizes are in the counts, and `core.energy` prices them.
"""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import dataclass, field
from types import TracebackType
from typing import Self

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from core.backbones.plan import FREE, SYNAPTIC, Node
from core.energy.planned import planned_layers
from core.engine.fast import kernels
from core.engine.fast.fused import DTYPES, spread
from core.engine.network import Network, mapping, observe
from core.errors import UnknownLayer
from core.schemas.results import PER_STEP, Counts, LayerCounts


@dataclass
class _Tally:
    """What one layer has collected: a [T, N] tensor of each batch, on the device."""

    ops: list[Tensor] = field(default_factory=list)
    input_nonzero: list[Tensor] = field(default_factory=list)
    spikes: list[Tensor] = field(default_factory=list)


class Counter:
    """Counts while the network evaluates; the network is unchanged afterwards.

    with Counter(network) as counter:
        for images in batches:
            network(images)
    counts = counter.counts()

    Sums stay on the device until they are read. Everything is exact: maps are int32, products and
    sums int64 or float64 below 2**53. Raises UnknownLayer for a node without a rule, ValueError in training mode
    (dropout scales spikes), AssertionError where the data contradict the plan's promise of spikes.
    """

    def __init__(self, network: Network) -> None:
        self.network = network
        for node in network.plan.nodes:
            if node.op not in SYNAPTIC | FREE:
                raise UnknownLayer(layer=node.name, kind=node.op)
        self._nodes = {node.name: node for node in network.plan.nodes}
        masks = {node.name: network.mask(node.name) for node in network.plan.nodes if node.op in SYNAPTIC}
        self._reached = {name: reached_outputs(self._nodes[name], mask) for name, mask in masks.items()}
        self._tallies = {node.name: _Tally() for node in network.plan.nodes}
        self._maps: dict[str, Tensor] = {}  # of this batch, by node
        self._sums: dict[str, Tensor] = {}  # of the maps over pixels
        self._odd: dict[str, list[Tensor]] = {}
        self.n_samples = 0
        self._batch = 0
        self._watching = ExitStack()

    def __enter__(self) -> Self:
        self._watching.enter_context(observe(self.network, self._see, values=False))
        self._watching.enter_context(mapping(self.network, self._maps))
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._watching.close()
        self._maps.clear()
        self._sums.clear()

    @torch.no_grad()
    def _see(self, node: Node, inputs: tuple[Tensor, ...], output: Tensor) -> None:
        if self.network.training:
            raise ValueError("count in evaluation mode: call network.eval() first")
        assert self.network.levels == 1, "spikes are counted, not counts of them"
        tally = self._tallies[node.name]
        if node.op == "input":
            self._maps.clear()
            self._sums.clear()
            self._batch = output.shape[0] // (1 if self.network.is_constant(node) else self.network.steps)
            self.n_samples += self._batch
        elif node.op == "concat" and all(name in self._maps for name in node.inputs):
            self._maps[node.name] = sum(self._widened(name, node) for name in node.inputs)
        elif node.op in ("dropout", "shuffle") and node.inputs[0] in self._maps:
            self._maps[node.name] = self._maps[node.inputs[0]]
        elif node.op == "act" and self.network.spiking:
            tally.spikes.append(self._nonzero(node.name, output))
        elif node.op == "maxpool" or (node.op == "global_avgpool" and self._input_is_spikes(node)):
            tally.input_nonzero.append(self._nonzero(node.inputs[0], inputs[0]))
        elif node.op in SYNAPTIC:
            pixels = self._map(node.inputs[0], inputs[0])
            reached = self._reached[node.name] = self._reached[node.name].to(pixels.device)
            tally.ops.append(self._per_step(operations(inputs[0], pixels, reached)))
            tally.input_nonzero.append(self._nonzero(node.inputs[0], inputs[0]))

    def _map(self, name: str, value: Tensor) -> Tensor:
        """Non-zero channels of each pixel of what node `name` gave: [rows, H x W] int32; made once a batch."""
        if name not in self._maps:
            self._maps[name], odd = nonzero_map(value)
            if self.network.spiking and self._nodes[name].spikes:
                self._odd.setdefault(name, []).append(odd)
        return self._maps[name]

    def _nonzero(self, name: str, value: Tensor) -> Tensor:
        """The map of `name` summed over pixels, [T, N] int64; made once a batch."""
        if name not in self._sums:
            self._sums[name] = self._per_step(self._map(name, value).sum(1))
        return self._sums[name]

    def _widened(self, name: str, into: Node) -> Tensor:
        """The map of an input of `into`, with a row for every step where `into` has one."""
        constant = self.network.is_constant(self._nodes[name])
        repeats = self.network.steps if constant and not self.network.is_constant(into) else 1
        return self._maps[name].repeat(repeats, 1) if repeats > 1 else self._maps[name]

    def _per_step(self, sums: Tensor) -> Tensor:
        """[T x N], or [N] where it is the same at every step -> [T, N] int64."""
        return sums.to(torch.int64).reshape(-1, self._batch).expand(self.network.steps, self._batch)

    def _verify(self) -> None:
        for name, flags in self._odd.items():
            if torch.stack(flags).any():
                raise AssertionError(f"{name} should give spikes by the plan, but a value is neither 0 nor 1")

    def counts(self, n: int | None = None) -> Counts:
        """Sums over all samples seen, per layer and step. `n`, if given, must be the number of samples.

        Layers are the plan's nodes but the input. Raises ValueError when nothing was evaluated.
        """
        if self.n_samples == 0 or n not in (None, self.n_samples):
            raise ValueError(f"the counter has seen {self.n_samples} samples, not {n or 'any'}")
        self._verify()
        plan, network = self.network.plan, self.network
        layers = []
        for planned in planned_layers(plan, network.config.kind, network.config.neuron.model, network.compression):
            tally = self._tallies[planned.name]
            ops, silent = _summed(tally.ops), (0,) * network.steps
            layers.append(
                LayerCounts(
                    **planned.model_dump(exclude=set(PER_STEP)),
                    ac=ops if ops and planned.input_is_spikes else silent,
                    mac=ops if ops and not planned.input_is_spikes else silent,
                    input_nonzero=_summed(tally.input_nonzero),
                    spikes=_summed(tally.spikes),
                )
            )
        return Counts(
            kind=network.config.kind,
            time_steps=network.steps,
            n_samples=self.n_samples,
            layer_synchronous=network.config.layer_synchronous,
            layers=tuple(layers),
        )

    def per_sample(self) -> dict[str, np.ndarray]:
        """The same integers for each sample, in the order seen.

        `layers` [L] and `neuron_layers` [A] are names; `ac`, `mac`, `input_nonzero` [N, L, T] belong to the
        first, `spikes` [N, A, T] to the second; int64.
        """
        self._verify()
        synaptic = [node for node in self.network.plan.nodes if node.op in SYNAPTIC]
        acts = self.network.act_nodes if self.network.spiking else ()
        ops = self._stacked([self._tallies[node.name].ops for node in synaptic])
        is_ac = np.array([self._input_is_spikes(node) for node in synaptic], bool)[None, :, None]
        return {
            "layers": np.array([node.name for node in synaptic], dtype=np.str_),
            "ac": np.where(is_ac, ops, 0),
            "mac": np.where(is_ac, 0, ops),
            "input_nonzero": self._stacked([self._tallies[node.name].input_nonzero for node in synaptic]),
            "neuron_layers": np.array([node.name for node in acts], dtype=np.str_),
            "spikes": self._stacked([self._tallies[node.name].spikes for node in acts]),
        }

    def _input_is_spikes(self, node: Node) -> bool:
        return self.network.spiking and all(self._nodes[name].spikes for name in node.inputs)

    def _stacked(self, tallies: list[list[Tensor]]) -> np.ndarray:
        """[N, layers, T] int64."""
        if not tallies:
            return np.zeros((self.n_samples, 0, self.network.steps), np.int64)
        return torch.stack([torch.cat(parts, 1) for parts in tallies]).permute(2, 0, 1).contiguous().cpu().numpy()


def _summed(parts: list[Tensor]) -> tuple[int, ...]:
    """[T, N] of each batch -> T sums over all samples."""
    return tuple(sum(part.sum(1) for part in parts).tolist()) if parts else ()


def _taps(size: int, out_size: int, node: Node) -> np.ndarray:
    """For each of `size` input positions along one side: how many outputs read it."""
    taps = np.zeros(size, np.int64)
    for tap in range(node.kernel):
        read = np.arange(out_size) * node.stride - node.padding + tap * node.dilation
        np.add.at(taps, read[(read >= 0) & (read < size)], 1)
    return taps


def reached_outputs(node: Node, mask: Tensor | None = None) -> Tensor:
    """F of each input pixel: [H x W] float64 holding integers; with a mask [H x W, C], of each channel of it.

    mask: bool, in the shape of the convolution's kernel: the kept taps. None: all.
    """
    if mask is not None:
        return _reached_through(node, mask)
    _, height, width = node.in_shape
    rows, columns = (_taps(size, out, node) for size, out in zip((height, width), node.shape[1:], strict=True))
    return torch.from_numpy(np.outer(rows, columns).ravel() * (node.shape[0] // node.groups)).double()


def _reached_through(node: Node, mask: Tensor) -> Tensor:
    """[H x W, C] float64: every output gives one back through each kept tap, so the transposed convolution of ones."""
    span = node.dilation * (node.kernel - 1) + 1
    left = [(size + 2 * node.padding - span) % node.stride for size in node.in_shape[1:]]  # read by no output
    ones = torch.ones(1, *node.shape, dtype=torch.float64)
    reached = F.conv_transpose2d(
        ones, mask.cpu().double(), None, node.stride, node.padding, left, node.groups, node.dilation
    )
    return reached[0].round_().flatten(1).T.contiguous()


def operations(value: Tensor, pixels: Tensor, reached: Tensor) -> Tensor:
    """Effective operations of each row, [rows], whole numbers: value [rows, C, H, W] into a convolution.

    pixels: its non-zero map, [rows, H x W]; reached: as `reached_outputs` gives it.
    """
    if reached.dim() == 1:
        return pixels.double() @ reached
    if (found := _as_rows(value)) is not None:
        x_RC, offset = found
        out = torch.empty(pixels.shape, dtype=torch.int32)
        out_R, reached_PC = out.view(-1).numpy(), reached.to(torch.int32).numpy()
        spread(lambda a, b: kernels.reached_per_row(x_RC, offset, reached_PC, out_R, a, b), len(out_R), value.shape[1])
        return out.sum(1)
    each = reached.T.to(torch.int32).view(1, *value.shape[1:])
    return torch.where(value != 0, each, 0).flatten(1).sum(1)


def nonzero_map(value: Tensor) -> tuple[Tensor, Tensor]:
    """value: [rows, C, H, W]; returns the non-zero channels of each pixel, [rows, H x W] int32, and
    whether any element is neither 0 nor 1, [] bool."""
    rows, channels, height, width = value.shape
    if (found := _as_rows(value)) is not None:
        x_RC, offset = found
        out = torch.empty(rows, height * width, dtype=torch.int32)
        out_R, odd = out.view(-1).numpy(), []
        spread(
            lambda a, b: odd.append(kernels.nonzero_per_row(x_RC, offset, channels, out_R, a, b)), len(out_R), channels
        )
        return out, torch.tensor(any(odd))
    filled = value != 0
    odd = (filled & (value != 1)).any()
    return filled.sum(1, dtype=torch.int32).reshape(rows, -1), odd


def _as_rows(value: Tensor) -> tuple[np.ndarray, int] | None:
    """The memory of a channels_last value on the CPU as [R, C of the whole], and where its channels begin.

    The value may be some channels of a wider one (a part of a concatenation). None for any other layout.
    """
    if value.device.type != "cpu" or value.dtype not in DTYPES:
        return None
    rows, channels, height, width = value.shape
    wide = value.stride(3) if width > 1 else value.stride(2) if height > 1 else value.stride(0)
    expected = (wide * height * width, 1, wide * width, wide)
    if wide < channels or any(
        size > 1 and stride != at for size, stride, at in zip(value.shape, value.stride(), expected, strict=True)
    ):
        return None
    start, offset = divmod(value.storage_offset(), wide)
    count = rows * height * width
    if (start + count) * wide * value.element_size() > value.untyped_storage().nbytes():
        return None
    return value.detach().as_strided((count, wide), (wide, 1), start * wide).numpy(), offset
