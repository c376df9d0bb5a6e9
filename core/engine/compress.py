"""The weights that a compressed network computes with: A * Q_b(W), differentiable straight through both.

    A   1 for the weights with the largest |S|, as many as `core.compression.kept` says, else 0; dL/d|S| = dL/dA
    Q_b (2 floor(W / d) + 1) d / 2, at most the outermost of the 2^b levels, d = g_b std(W); dL/dW = dL/dQ, not clipped

std is over all weights of the layer, pruned ones too, and carries no gradient (LitE-SNN's released code; `core.compression`).
Of equal scores at the border the first in memory are kept, on every device.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Self

import numpy as np
import torch
from torch import Tensor, nn

from core.backbones.plan import Node
from core.compression import STEPS, kept, weights_of
from core.engine.fast import kernels_compress as kernels
from core.schemas.compression import CompressionConfig

SEARCHED = "searched"  # the module of a network that holds what a search learns (`core.engine.searching`)
SCORES = "scores"  # the name of a compressed convolution's parameter beside its weight


class TopK(torch.autograd.Function):
    """1.0 for the `most` largest of a tensor's values, else 0.0; the gradient passes as if it were the identity."""

    @staticmethod
    def forward(ctx: Any, values: Tensor, most: int) -> Tensor:
        return largest(values, most).to(values.dtype)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None]:
        return grad, None


class Quantise(torch.autograd.Function):
    """The nearest of 2^b levels; the gradient passes as if it were the identity."""

    @staticmethod
    def forward(ctx: Any, weight: Tensor, bits: int) -> Tensor:
        return quantised(weight, bits)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None]:
        return grad, None


class Compress(torch.autograd.Function):
    """A * Q(W) on the CPU in two passes over memory; the same numbers as `TopK` and `Quantise`, and their gradients.

    weight, scores: of one shape; scores None: the weights say what is kept, and the mask carries no gradient.
    """

    @staticmethod
    def forward(ctx: Any, weight: Tensor, scores: Tensor | None, most: int, bits: int) -> Tensor:
        kept_mask = largest((weight if scores is None else scores).detach().abs(), most)
        scale = _scale(weight, bits)
        out = torch.empty_like(weight, memory_format=torch.contiguous_format)
        kernels.compress_forward(_flat(weight), _flat(kept_mask), *scale, _flat(out))
        ctx.save_for_backward(weight, scores, kept_mask)
        ctx.scale, ctx.bits = scale, bits
        return out

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        weight, scores, kept_mask = ctx.saved_tensors
        if torch.is_grad_enabled():  # a gradient of this gradient is asked for
            levels = quantised(weight.detach(), ctx.bits) if ctx.bits else weight
            by_score = None if scores is None else grad * levels * scores.detach().sign()
            return grad * kept_mask, by_score, None, None
        grad_weight = torch.empty_like(weight, memory_format=torch.contiguous_format)
        grad_scores = None if scores is None else torch.empty_like(grad_weight)
        none = weight.new_empty(0)
        kernels.compress_backward(
            _flat(grad), _flat(weight), _flat(kept_mask), _flat(none if scores is None else scores), *ctx.scale,
            _flat(grad_weight), _flat(none if grad_scores is None else grad_scores),
        )  # fmt: skip
        return grad_weight, grad_scores, None, None


def _flat(x: Tensor) -> np.ndarray:
    """[M] in the order of the tensor's axes; its own memory where that is contiguous."""
    return x.detach().contiguous().view(-1).numpy()


def _scale(weight: Tensor, bits: int) -> tuple[np.floating, np.floating, np.floating]:
    """Half a step, a step and the outermost level in halves, 0 for no bits, in the weights' type."""
    kind = _flat(weight).dtype.type
    half = kind(float(_half_step(weight, bits))) if bits else kind(1)
    return half, half + half, kind(2**bits - 1)


def largest(values: Tensor, most: int) -> Tensor:
    """Where the `most` largest values lie, the first of equal ones: bool, in the shape of `values`."""
    if most >= values.numel():
        return torch.ones_like(values, dtype=torch.bool)
    least = _least_kept(values, most)
    if values.device.type == "cpu":
        above = torch.empty(values.shape, dtype=torch.bool)
        n = kernels.kept_of(_flat(values), least.numpy()[()], _flat(above).view(np.uint8))
    else:
        above = values >= least
        n = int(above.sum())
    if n == most:
        return above
    above = values > least
    equal = (values == least).flatten()
    room = most - int(above.sum())
    return above | (equal & (equal.cumsum(0) <= room)).reshape(values.shape)


def _least_kept(values: Tensor, most: int) -> Tensor:
    """[]: the `most`-th largest value. Selected and not sorted: this is done at every training step."""
    place = values.numel() - most
    if values.device.type == "cpu":
        flat = values.detach().flatten().numpy()
        return torch.tensor(np.partition(flat, place)[place], dtype=values.dtype)
    return values.detach().flatten().kthvalue(place + 1).values


def quantised(weight: Tensor, bits: int, std: Tensor | None = None) -> Tensor:
    """weight: any shape. `std`: [], of the layer; None: taken of `weight`."""
    half = _half_step(weight, bits, std)
    most = 2**bits - 1
    return (weight / (2 * half)).floor_().mul_(2).add_(1).clamp_(-most, most).mul_(half)


def _half_step(weight: Tensor, bits: int, std: Tensor | None = None) -> Tensor:
    std = weight.std(correction=min(1, weight.numel() - 1)) if std is None else std
    return (STEPS[bits] / 2 * std.detach()).clamp(min=torch.finfo(weight.dtype).tiny)


class CompressedConv(nn.Conv2d):
    """A convolution that computes with `kernel()`; `scores` are there where they are learned.

    keep in (0, 1], bits 0 (float32) to 8. Both are the config's, so neither is in the state.
    """

    def __init__(self, node: Node, compression: CompressionConfig, bits: int) -> None:
        super().__init__(**node.convolution, device="meta")
        for name, value in list(self.named_parameters()):
            setattr(self, name, nn.Parameter(torch.empty(value.shape)))
        self.bits = bits
        self.kept = kept(weights_of(node), compression.keep)
        learned = compression.scores == "learned" and self.kept < self.weight.numel()
        self.scores = nn.Parameter(torch.empty(self.weight.shape)) if learned else None
        self._made: tuple[tuple[Any, ...], Tensor] | None = None
        self._instead: Tensor | None = None  # while `instead` runs

    def forward(self, x: Tensor) -> Tensor:
        return self._conv_forward(x, self.kernel(), self.bias)

    def train(self, mode: bool = True) -> Self:
        self._made = None
        return super().train(mode)

    @torch.no_grad()
    def start_scores(self) -> None:
        """S = sqrt(6 / fan_in) W / max|W| (Sehwag et al., HYDRA, NeurIPS 2020, arXiv:2002.10509): the order of |W|."""
        if self.scores is not None:
            most = self.weight.abs().max().clamp(min=torch.finfo(self.weight.dtype).tiny)
            self.scores.copy_(self.weight * (math.sqrt(6 / self.weight[0].numel()) / most))

    def mask(self) -> Tensor:
        """Which weights are kept: bool, in the kernel's shape."""
        scores = self.weight if self.scores is None else self.scores
        return largest(scores.detach().abs(), self.kept)

    def kernel(self) -> Tensor:
        """A * Q_b(W), in the weight's shape. Without gradients the last one is given again while nothing has changed."""
        if self._instead is not None:
            return self._instead
        if torch.is_grad_enabled():
            self._made = None  # a step follows, and a fused optimiser's raises no version
            return self._effective()
        state = tuple((part.data_ptr(), part._version, part.dtype) for part in self._state() if part is not None)
        if self._made is None or self._made[0] != state:
            self._made = state, self._effective()
        return self._made[1]

    def _state(self) -> Sequence[Tensor | None]:
        """What the kernel is made of."""
        return self.weight, self.scores

    def _effective(self) -> Tensor:
        prunes = self.kept < self.weight.numel()
        if prunes and self.weight.device.type == "cpu":
            return Compress.apply(self.weight, self.scores, self.kept, self.bits)
        return self._pruned(Quantise.apply(self.weight, self.bits) if self.bits else self.weight)

    def _pruned(self, weight: Tensor) -> Tensor:
        """A * `weight`."""
        if self.kept >= weight.numel():
            return weight
        if self.scores is None:
            return weight * self.mask().to(weight.dtype)
        return weight * TopK.apply(self.scores.abs(), self.kept)


def kernel_of(layer: nn.Module) -> Tensor:
    """What a convolution computes with: the one place that reads it."""
    return layer.kernel() if isinstance(layer, CompressedConv) else layer.weight


def mask_of(layer: nn.Module) -> Tensor | None:
    """Which weights of a convolution are kept, bool; None where all are."""
    pruned = isinstance(layer, CompressedConv) and layer.kept < layer.weight.numel()
    return layer.mask() if pruned else None


@contextmanager
def instead(layers: Sequence[nn.Module], change: Callable[[Tensor], Tensor]) -> Iterator[None]:
    """Let layers compute with `change(kernel)` while the block runs; which weights are kept stays as it was."""
    own: list[tuple[nn.Module, Tensor]] = []
    with torch.no_grad():
        for layer in layers:
            if isinstance(layer, CompressedConv):
                layer._instead = change(layer.kernel())
            else:
                own.append((layer, layer.weight.detach().clone()))
                layer.weight.copy_(change(layer.weight))
    try:
        yield
    finally:
        for layer in layers:
            if isinstance(layer, CompressedConv):
                layer._instead = None
        with torch.no_grad():
            for layer, weight in own:
                layer.weight.copy_(weight)


def parameters(network: nn.Module) -> int:
    """What the trained network is made of: scores only say which of its weights are kept, and a search is none of it."""
    named = network.named_parameters()
    return sum(value.numel() for name, value in named if not is_scores(name) and not is_searched(name))


def is_searched(name: str) -> bool:
    """Whether a parameter of that name is what a search learns beside the weights."""
    return name.startswith(f"{SEARCHED}.")


def is_scores(name: str) -> bool:
    """Whether a parameter of that name is the scores of a convolution."""
    return name.rpartition(".")[2] == SCORES


def plain_layer(layer: nn.Module) -> nn.Module:
    """A compressed convolution as torch's own, with its kernel for weights; any other layer as it is."""
    if not isinstance(layer, CompressedConv):
        return layer
    plain = nn.Conv2d(
        layer.in_channels,
        layer.out_channels,
        layer.kernel_size,
        layer.stride,
        layer.padding,
        layer.dilation,
        layer.groups,
    ).to(layer.weight)
    with torch.no_grad():
        plain.weight.copy_(layer.kernel())
    plain.bias = layer.bias
    return plain.train(layer.training)


def plain_state(network: nn.Module) -> dict[str, Tensor]:
    """The network's state as one without compression has it: kernels for weights, no scores."""
    state = network.state_dict()
    for name, layer in network.named_modules():
        if isinstance(layer, CompressedConv):
            with torch.no_grad():
                state[f"{name}.weight"] = layer.kernel().clone()
            state.pop(f"{name}.{SCORES}", None)
    return {name: value for name, value in state.items() if not is_searched(name)}
