"""The operations of K networks at once, as pure functions. Plain torch, differentiable any number of times.

K members, R rows (T x N with time outermost, or N where a value is constant), H x W pixels, C channels: a value is
[K, R, H, W, C], channels last, so that a convolution is one batched product of K matrices and everything else is
element-wise or a sum. Members never mix: nothing here sums over K.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from core.backbones.plan import Node
from core.engine.neurons import STEPS
from core.schemas.run import NeuronConfig


def convolve(x: Tensor, weight: Tensor, node: Node, *, mixed: bool = False) -> Tensor:
    """Convolution `node` of every member, without bias. x: [K, R, H, W, C]; weight: [K, O, C / groups, k, k].

    The windows of x are laid out as rows (im2col) and multiplied with each member's matrix. `mixed`: the products in
    bfloat16, all else in the type of x.
    """
    k, groups = node.kernel, node.groups
    if k > 1 or node.padding:
        p = node.padding
        x = Windows.apply(F.pad(x, (0, 0, p, p, p, p)), k, node.stride, node.dilation)
    elif node.stride > 1:
        x = x[:, :, :: node.stride, :: node.stride]
    members, rows, height, width = x.shape[:4]
    columns = x.reshape(members, -1, k * k, groups, weight.shape[2])
    matrix = weight.unflatten(1, (groups, -1)).permute(0, 1, 4, 5, 3, 2)  # [K, groups, k, k, C / groups, O / groups]
    if groups == 1:
        columns, matrix = columns.flatten(2), matrix.flatten(2, 4).squeeze(1)
    else:
        columns, matrix = columns.permute(0, 3, 1, 2, 4).flatten(3).flatten(0, 1), matrix.flatten(2, 4).flatten(0, 1)
    if mixed:
        out = torch.bmm(columns.bfloat16(), matrix.bfloat16()).to(x.dtype)
    else:
        out = torch.bmm(columns, matrix)
    if groups > 1:
        out = out.unflatten(0, (members, groups)).transpose(1, 2).flatten(2)
    return out.reshape(members, rows, height, width, -1)


class Windows(torch.autograd.Function):
    """[K, R, H, W, C] to [K, R, H', W', k k C]: the window of each output pixel, row by row. Its derivative is `Fold`.

    torch's own way to the same, slices or `unfold`, writes the whole input once for each of the k k places.
    """

    @staticmethod
    def forward(ctx: Any, x: Tensor, kernel: int, stride: int, dilation: int) -> Tensor:
        ctx.shape, ctx.window = x.shape, (kernel, stride, dilation)
        height, width = (_places(side, kernel, stride, dilation) for side in x.shape[2:4])
        out = x.new_empty(*x.shape[:2], height, width, kernel * kernel, x.shape[4])
        for place, part in enumerate(_parts(x, kernel, stride, dilation)):
            out[..., place, :] = part
        return out.flatten(4)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        return Fold.apply(grad, ctx.shape, *ctx.window), None, None, None


class Fold(torch.autograd.Function):
    """The sum of all windows where they lay: the transpose of `Windows`, whose derivative is `Windows` again."""

    @staticmethod
    def forward(ctx: Any, columns: Tensor, shape: torch.Size, kernel: int, stride: int, dilation: int) -> Tensor:
        ctx.window = (kernel, stride, dilation)
        out = columns.new_zeros(shape)
        each = columns.unflatten(4, (kernel * kernel, shape[4]))
        for place, part in enumerate(_parts(out, kernel, stride, dilation)):
            part += each[..., place, :]
        return out

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        return Windows.apply(grad, *ctx.window), None, None, None, None


def _places(side: int, kernel: int, stride: int, dilation: int) -> int:
    """How many windows fit into a padded side."""
    return (side - dilation * (kernel - 1) - 1) // stride + 1


def _parts(x: Tensor, kernel: int, stride: int, dilation: int) -> list[Tensor]:
    """For each place in a window, row by row: the pixels that lie there, [K, R, H', W', C], a view."""
    spans = [stride * (_places(side, kernel, stride, dilation) - 1) + 1 for side in x.shape[2:4]]
    starts = [dilation * i for i in range(kernel)]
    return [x[:, :, i : i + spans[0] : stride, j : j + spans[1] : stride] for i in starts for j in starts]


def affine(x: Tensor, scale_KC: Tensor, shift_KC: Tensor) -> Tensor:
    """x scale + shift, each of its own member and channel."""
    return torch.addcmul(_over(shift_KC), x, _over(scale_KC))


def moments(x: Tensor) -> tuple[Tensor, Tensor]:
    """Mean and biased variance of each member's channels over rows and pixels: [K, C] each."""
    variance, mean = torch.var_mean(x, (1, 2, 3), correction=0)
    return mean, variance


def _over(values_KC: Tensor) -> Tensor:
    return values_KC[:, None, None, None, :]


def fire(
    x: Tensor, steps: int, *, constant: bool, neuron: NeuronConfig, w_K: Tensor | None = None, v_start: float = 0.0
) -> Tensor:
    """Spikes of all members' neurons over T steps: `core.engine.neurons`, element by element.

    x: [K, T x N, H, W, C], or [K, N, H, W, C] where it is `constant`; w_K: [K], learned by plif. Returns
    [K, T x N, H, W, C] in {0, 1}.
    """
    step = STEPS[neuron.model]
    each = [x] * steps if constant else x.unflatten(1, (steps, -1)).unbind(1)
    w = None if w_K is None else w_K.view(-1, 1, 1, 1, 1)
    v = torch.full_like(each[0], v_start)
    spikes = []
    for current in each:
        s, v = step(current, v, neuron, w)
        spikes.append(s)
    return torch.stack(spikes, 1).flatten(1, 2)


def max_pool(x: Tensor, node: Node) -> Tensor:
    """Max-pooling of [K, R, H, W, C], which torch takes as channels_last images."""
    images = x.flatten(0, 1).permute(0, 3, 1, 2)
    pooled = F.max_pool2d(images, node.kernel, node.stride, node.padding, ceil_mode=node.ceil_mode)
    return pooled.permute(0, 2, 3, 1).unflatten(0, x.shape[:2])


def shuffle(x: Tensor, groups: int) -> Tensor:
    """Channel g C / groups + i to i groups + g."""
    return x.unflatten(4, (groups, -1)).transpose(4, 5).flatten(4)
