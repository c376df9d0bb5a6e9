"""Batch normalisation, activation and channel concatenation as one autograd operation on the CPU.

What a plain network does in five passes over memory (statistics, normalise, charge, fire, concatenate)
this does in two, and it stores the convolution's output alone: normalised values and membranes are
recomputed in the backward pass. channels_last, float32 or float64; first derivatives only.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from core.engine.fast import kernels_norm as kernels
from core.engine.fast.fused import Membrane, spread
from core.schemas.run import NeuronConfig

EACH = 5  # tensors of each part
_ROWS = 64  # rows whose sums are kept in the tensor's own precision; whole sums are float64


@dataclass(frozen=True, kw_only=True)
class Part:
    """One normalised and activated input of the operation. `bias` is the bias of the convolution before it.

    Normalisation over the batch removes a bias, so in training it is not added: it enters the running
    mean only, and its gradient is zero, exactly. `gain`, [] or None, multiplies what goes into the neurons; `w`
    is what a PLIF layer learns.
    """

    norm: nn.BatchNorm2d
    bias: Tensor | None
    gain: Tensor | None = None
    w: Tensor | None = None


@dataclass(frozen=True, kw_only=True)
class Setting:
    """`steps`: rows of the output for each row of a constant input. `neuron`: None for a ReLU, and for counts, which
    go up to `levels`. `v_start`: V before the first step, None for the neuron's own.

    Where `maps` is a list, the number of non-zero channels of each pixel, [T x N, H x W] int32, is appended for
    each part: counted while the values are at hand, it costs next to nothing.
    """

    parts: tuple[Part, ...]
    steps: int
    constant: bool
    training: bool
    neuron: NeuronConfig | None
    levels: int = 0
    v_start: float | None = None
    maps: list[Tensor] | None = None

    def membrane(self, real: Any, w: Tensor | None) -> Membrane | None:
        return None if self.neuron is None else Membrane.of(self.neuron, real, w, self.v_start)


@dataclass(frozen=True, kw_only=True)
class _Affine:
    """y = x scale + shift of one part, with the statistics it came from. [C] arrays of the tensor's type."""

    mean: np.ndarray
    invstd: np.ndarray
    weight: np.ndarray
    scale: np.ndarray
    shift: np.ndarray


def as_rows(x: Tensor, steps: int) -> np.ndarray:
    """The memory of a channels_last tensor [T x N, C, H, W] as [T, R, C], without a copy."""
    channels = x.shape[1]
    rows = x.numel() // (steps * channels)
    return x.detach().as_strided((steps, rows, channels), (rows * channels, channels, 1)).numpy()


def _moments(x_RC: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Mean and biased variance of each channel, float64, merged over blocks (Chan et al. 1979)."""
    total, channels = x_RC.shape
    blocks = -(-total // _ROWS)
    mean_BC, away_BC = np.empty((blocks, channels)), np.empty((blocks, channels))
    spread(lambda a, b: kernels.moments(x_RC, mean_BC, away_BC, _ROWS, a, b), blocks, _ROWS * channels)
    sizes = np.full((blocks, 1), _ROWS, np.float64)
    sizes[-1] = total - _ROWS * (blocks - 1)
    mean = (mean_BC * sizes).sum(0) / total
    return mean, (away_BC + sizes * (mean_BC - mean) ** 2).sum(0) / total


def _affine(x_RC: np.ndarray, weight: Tensor, shift: Tensor, part: Part, setting: Setting) -> _Affine:
    """Statistics of the batch in training, with the running ones brought up to date; else the running ones."""
    norm, real = part.norm, x_RC.dtype
    bias = 0.0 if part.bias is None else part.bias.detach().double().numpy()
    if setting.training:
        mean, variance = _moments(x_RC)
        n = x_RC.shape[0] * (setting.steps if setting.constant else 1)
        norm.num_batches_tracked.add_(1)
        for running, value in ((norm.running_mean, mean + bias), (norm.running_var, variance * n / (n - 1))):
            running.lerp_(torch.from_numpy(value).to(running.dtype), norm.momentum)
    else:
        mean, variance = _running(part)
    return _as_affine(mean, variance, norm.eps, weight, shift, real)


def _as_affine(mean: np.ndarray, variance: np.ndarray, eps: float, weight: Tensor, shift: Tensor, real: Any) -> _Affine:
    invstd = (1 / np.sqrt(variance + eps)).astype(real)
    mean, w = mean.astype(real), weight.detach().numpy()
    scale = invstd * w
    return _Affine(mean=mean, invstd=invstd, weight=w, scale=scale, shift=shift.detach().numpy() - mean * scale)


def folded(part: Part, real: Any) -> tuple[np.ndarray, np.ndarray]:
    """Scale and shift [C] of a part in evaluation, in the type `real`: the very ones that `norm_act` works with."""
    mean, variance = _running(part)
    affine = _as_affine(mean, variance, part.norm.eps, *_gained(part), real)
    return affine.scale, affine.shift


def _running(part: Part) -> tuple[np.ndarray, np.ndarray]:
    """Mean and variance of the values without bias, float64, as training left them."""
    bias = 0.0 if part.bias is None else part.bias.detach().double().numpy()
    return part.norm.running_mean.double().numpy() - bias, part.norm.running_var.double().numpy()


def _gained(part: Part) -> tuple[Tensor, Tensor]:
    """The normalisation's weight and shift: it is linear in them, so its gain costs nothing."""
    affine = part.norm.weight, part.norm.bias
    return affine if part.gain is None else (affine[0] * part.gain, affine[1] * part.gain)


class NormAct(torch.autograd.Function):
    """Inputs: a setting, then x, weight, shift, bias, w of each part. Output: the parts' activations, concatenated."""

    @staticmethod
    def forward(ctx: Any, setting: Setting, *tensors: Tensor) -> Tensor:
        xs = [x.contiguous(memory_format=torch.channels_last) for x in tensors[0::EACH]]
        widths = [x.shape[1] for x in xs]
        repeats = setting.steps if setting.constant else 1
        rows_in, rows_out = (1 if setting.constant else setting.steps), setting.steps
        first = xs[0]
        out = torch.empty(
            (first.shape[0] * repeats, sum(widths), *first.shape[2:]),
            dtype=first.dtype,
            memory_format=torch.channels_last,
        )
        out_TRC = as_rows(out, rows_out)
        affines, membranes, offset = [], [], 0
        for x, weight, shift, part in zip(xs, tensors[1::EACH], tensors[2::EACH], setting.parts, strict=True):
            affine = _affine(as_rows(x, 1)[0], weight, shift, part, setting)
            membrane = setting.membrane(affine.mean.dtype.type, part.w)
            affines.append(affine)
            membranes.append(membrane)
            pixels = None
            if setting.maps is not None:
                setting.maps.append(torch.empty(out.shape[0], out[0, 0].numel(), dtype=torch.int32))
                pixels = setting.maps[-1].view(rows_out, -1).numpy()
            _activate(as_rows(x, rows_in), affine, out_TRC, offset, pixels, membrane, setting.levels)
            offset += x.shape[1]
        ctx.save_for_backward(*xs)
        ctx.setting, ctx.affines, ctx.membranes = setting, affines, membranes
        return out

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        setting = ctx.setting
        grad = grad.contiguous(memory_format=torch.channels_last)
        rows_in = 1 if setting.constant else setting.steps
        grad_TRC = as_rows(grad, setting.steps)
        out: list[Tensor | None] = [None]
        offset = 0
        for x, affine, membrane, part in zip(ctx.saved_tensors, ctx.affines, ctx.membranes, setting.parts, strict=True):
            gx = torch.empty_like(x)
            learns = part.w is not None
            sums, dots, by_q = _activate_backward(
                as_rows(x, rows_in), affine, grad_TRC, offset, as_rows(gx, rows_in), membrane, setting.levels, learns
            )
            _normalise_backward(as_rows(gx, 1)[0], as_rows(x, 1)[0], affine, sums, dots, setting.training)
            weight_grad, shift_grad = (torch.from_numpy(g.astype(affine.mean.dtype)) for g in (dots, sums))
            bias_grad = None
            if part.bias is not None:
                zero = setting.training
                bias_grad = torch.zeros_like(shift_grad) if zero else shift_grad * torch.from_numpy(affine.scale)
            w_grad = torch.full_like(part.w, membrane.slope_of_w(by_q)) if learns else None
            out += [gx, weight_grad, shift_grad, bias_grad, w_grad]
            offset += x.shape[1]
        return tuple(out)


def _activate(
    x_TRC: np.ndarray,
    affine: _Affine,
    out_TRC: np.ndarray,
    offset: int,
    map_TR: np.ndarray | None,
    membrane: Membrane | None,
    levels: int,
) -> None:
    scale, shift = affine.scale, affine.shift
    steps, rows, _ = out_TRC.shape
    weight = steps * x_TRC.shape[2]
    if membrane is None:
        x_RC, out_RC, map_R = x_TRC[0], out_TRC[0], None if map_TR is None else map_TR[0]
        top = x_TRC.dtype.type(levels)
        spread(
            lambda a, b: (
                kernels.bn_count_forward(x_RC, scale, shift, top, out_RC, offset, a, b)
                if levels
                else kernels.bn_relu_forward(x_RC, scale, shift, out_RC, offset, map_R, a, b)
            ),
            rows,
            weight,
        )
        return
    scale_L, shift_L = (_lanes(values) for values in (scale, shift))
    spread(
        lambda a, b: kernels.bn_lif_forward(x_TRC, scale_L, shift_L, out_TRC, offset, map_TR, *membrane.forward, a, b),
        rows,
        weight,
    )


def _activate_backward(
    x_TRC: np.ndarray,
    affine: _Affine,
    grad_TRC: np.ndarray,
    offset: int,
    gy_TRC: np.ndarray,
    membrane: Membrane | None,
    levels: int,
    learns: bool,
) -> tuple[np.ndarray, np.ndarray, float]:
    """Writes dL/dy; returns its sums over rows, plain and times the normalised x: [C] float64; and where the layer
    learns its time constant dL/dq, q = 1 / tau."""
    _, rows, channels = x_TRC.shape
    blocks = -(-rows // _ROWS)
    by_q = None
    if membrane is None:
        mean, scale, shift = affine.mean, affine.scale, affine.shift
        sums, dots = np.empty((blocks, channels)), np.empty((blocks, channels))

        def work(start: int, stop: int) -> None:
            shared = (x_TRC[0], scale, shift, mean, grad_TRC[0], offset, gy_TRC[0], sums, dots, _ROWS, start, stop)
            if levels:
                kernels.bn_count_backward(x_TRC.dtype.type(levels), *shared)
            else:
                kernels.bn_relu_backward(*shared)
    else:
        mean, scale, shift = (_lanes(values) for values in (affine.mean, affine.scale, affine.shift))
        sums, dots = np.empty((blocks, mean.size)), np.empty((blocks, mean.size))
        by_q = np.empty((blocks, mean.size)) if learns else None

        def work(start: int, stop: int) -> None:
            kernels.bn_lif_backward(
                x_TRC, scale, shift, mean, grad_TRC, offset, gy_TRC, sums, dots, by_q,
                *membrane.backward, _ROWS, start, stop,
            )  # fmt: skip

    spread(work, blocks, _ROWS * channels * grad_TRC.shape[0])
    total, dot = (part.sum(0).reshape(-1, channels).sum(0) for part in (sums, dots))
    return total, dot * affine.invstd, 0.0 if by_q is None else float(by_q.sum())


def _lanes(values: np.ndarray) -> np.ndarray:
    """[C] repeated for a group of rows: [L]."""
    return np.tile(values, max(1, kernels.LANES // values.size))


def _normalise_backward(
    g_RC: np.ndarray, x_RC: np.ndarray, affine: _Affine, sums: np.ndarray, dots: np.ndarray, training: bool
) -> None:
    """dL/dx from dL/dy, in place. In evaluation the statistics are constants."""
    real = x_RC.dtype
    n = x_RC.shape[0]
    mean_g = (sums / n if training else np.zeros_like(sums)).astype(real)
    slope_g = (dots / n * affine.invstd if training else np.zeros_like(dots)).astype(real)
    mean, scale = affine.mean, affine.scale
    spread(lambda a, b: kernels.bn_input_gradient(g_RC, x_RC, mean, scale, mean_g, slope_g, a, b), n, x_RC.shape[1])


def norm_act(
    xs: list[Tensor], parts: tuple[Part, ...], *, steps: int, constant: bool, training: bool,
    neuron: NeuronConfig | None, levels: int = 0, v_start: float | None = None, maps: list[Tensor] | None = None,
) -> Tensor:  # fmt: skip
    """Activations of the normalised inputs, concatenated over channels.

    xs: [T x N, C_i, H, W] convolution outputs WITHOUT their bias, or [N, ...] where `constant`; returns
    [T x N, sum C_i, H, W]: spikes in {0, 1}; where `neuron` is None values >= 0 or, with `levels`, counts up to it.
    """
    setting = Setting(
        parts=parts, steps=steps, constant=constant, training=training,
        neuron=neuron, levels=levels, v_start=v_start, maps=maps,
    )  # fmt: skip
    tensors = []
    for x, part in zip(xs, parts, strict=True):
        tensors += [x, *_gained(part), part.bias, part.w]
    return NormAct.apply(setting, *tensors)
