"""Batch normalisation and LIF neurons of channels-last values as one operation on a GPU, in Triton.

Plain torch writes the normalised values, and four values for each neuron and step, to memory and reads them again. Here the
forward pass reads the convolution's output and writes spikes; the backward pass recomputes the membranes from the same output, so
that nothing else is kept. First derivatives only. K members of a stack are K sets of channels; a network alone is K = 1.

Legend: K members, T steps, I steps of the input (T, or 1 where it is the same at every step), M rows (images x pixels), C channels.

Imported where `triton` is, which CUDA builds of torch bring. On a CPU it runs under TRITON_INTERPRET=1, which is how it is tested;
no GPU has run it yet.
"""

from __future__ import annotations

from typing import Any

import torch
import triton
import triton.language as tl
from torch import Tensor
from torch.autograd.function import once_differentiable

from core.schemas.run import NeuronConfig

MOST_STEPS = 16  # the backward pass goes through the steps before each, so its work grows with their square
ROWS, CHANNELS = 32, 32  # of one program
#: By number: the kernels know them as constants.
SURROGATES = ("atan", "sigmoid", "fast_sigmoid", "piecewise_linear", "exponential")


def knows(neuron: NeuronConfig, steps: int) -> bool:
    """Whether the kernels have this neuron; every other runs in plain torch."""
    return neuron.model in ("lif", "if") and steps <= MOST_STEPS and neuron.surrogate in SURROGATES


@triton.jit
def _charged(x, v, tau, keep, DECAYS: tl.constexpr):
    if DECAYS:
        return v + tl.div_rn(x - v, tau)  # rounded as torch rounds it, since a membrane may lie at its threshold
    return v * keep + x


@triton.jit
def _reset(h, fired, v_threshold, SOFT: tl.constexpr):
    if SOFT:
        return tl.where(fired, h - v_threshold, h)
    return tl.where(fired, 0.0, h)


@triton.jit
def _slope(u, alpha, SURROGATE: tl.constexpr):
    """sigma'(u), as in core.engine.surrogates."""
    if SURROGATE == 0:
        scaled = 1.5707963267948966 * alpha * u
        return (alpha / 2) / (1 + scaled * scaled)
    elif SURROGATE == 1:
        s = 1 / (1 + tl.exp(-alpha * u))
        return alpha * s * (1 - s)
    elif SURROGATE == 2:
        away = 1 + alpha * tl.abs(u)
        return (alpha / 2) / (away * away)
    elif SURROGATE == 3:
        return alpha * tl.maximum(1 - alpha * tl.abs(u), 0.0)
    else:
        return (alpha / 2) * tl.exp(-alpha * tl.abs(u))


@triton.jit(do_not_specialize=["m", "c"])  # a size of 1 would be a constant, which is of no type
def _forward(
    x_ptr, scale_ptr, shift_ptr, out_ptr, m, c, tau, keep, v_threshold, v_start,
    T: tl.constexpr, CONSTANT: tl.constexpr, DECAYS: tl.constexpr, SOFT: tl.constexpr,
    ROWS: tl.constexpr, CHANNELS: tl.constexpr,
):  # fmt: skip
    k = tl.program_id(2)
    rows = tl.program_id(0) * ROWS + tl.arange(0, ROWS)
    channels = tl.program_id(1) * CHANNELS + tl.arange(0, CHANNELS)
    there = channels < c
    inside = (rows < m)[:, None] & there[None, :]
    at = rows[:, None].to(tl.int64) * c + channels[None, :]
    size = m.to(tl.int64) * c
    scale = tl.load(scale_ptr + k * c + channels, mask=there, other=0.0)[None, :]
    shift = tl.load(shift_ptr + k * c + channels, mask=there, other=0.0)[None, :]
    first = k * size if CONSTANT else k * T * size
    v = tl.full((ROWS, CHANNELS), 0.0, tl.float32) + v_start
    for t in tl.static_range(T):
        place = first if CONSTANT else first + t * size
        x = tl.load(x_ptr + place + at, mask=inside, other=0.0) * scale + shift
        h = _charged(x, v, tau, keep, DECAYS)
        fired = h >= v_threshold
        tl.store(out_ptr + (k * T + t) * size + at, tl.where(fired, 1.0, 0.0), mask=inside)
        v = _reset(h, fired, v_threshold, SOFT)


@triton.jit(do_not_specialize=["m", "c"])
def _backward(
    x_ptr, scale_ptr, shift_ptr, mean_ptr, invstd_ptr, grad_ptr, gy_ptr, sums_ptr, dots_ptr, m, c,
    tau, keep, v_threshold, v_start, alpha,
    T: tl.constexpr, CONSTANT: tl.constexpr, DECAYS: tl.constexpr, SOFT: tl.constexpr, DETACHED: tl.constexpr,
    SURROGATE: tl.constexpr, ROWS: tl.constexpr, CHANNELS: tl.constexpr,
):  # fmt: skip
    """Writes dL/dy, and of each block of rows the sums of dL/dy and of dL/dy times the normalised x, [K, blocks, C]."""
    k = tl.program_id(2)
    block = tl.program_id(0)
    rows = block * ROWS + tl.arange(0, ROWS)
    channels = tl.program_id(1) * CHANNELS + tl.arange(0, CHANNELS)
    there = channels < c
    inside = (rows < m)[:, None] & there[None, :]
    at = rows[:, None].to(tl.int64) * c + channels[None, :]
    size = m.to(tl.int64) * c
    scale = tl.load(scale_ptr + k * c + channels, mask=there, other=0.0)[None, :]
    shift = tl.load(shift_ptr + k * c + channels, mask=there, other=0.0)[None, :]
    mean = tl.load(mean_ptr + k * c + channels, mask=there, other=0.0)[None, :]
    invstd = tl.load(invstd_ptr + k * c + channels, mask=there, other=0.0)[None, :]
    first = k * size if CONSTANT else k * T * size
    gv = tl.zeros((ROWS, CHANNELS), tl.float32)
    joined = tl.zeros((ROWS, CHANNELS), tl.float32)
    sums = tl.zeros((ROWS, CHANNELS), tl.float32)
    dots = tl.zeros((ROWS, CHANNELS), tl.float32)
    for back in tl.static_range(T):
        v = tl.full((ROWS, CHANNELS), 0.0, tl.float32) + v_start
        h = v
        raw = v
        for t in tl.static_range(T - back):  # the membrane of step T - 1 - back, recomputed
            place = first if CONSTANT else first + t * size
            raw = tl.load(x_ptr + place + at, mask=inside, other=0.0)
            h = _charged(raw * scale + shift, v, tau, keep, DECAYS)
            v = _reset(h, h >= v_threshold, v_threshold, SOFT)
        step = T - 1 - back
        gs = tl.load(grad_ptr + (k * T + step) * size + at, mask=inside, other=0.0)
        slope = _slope(h - v_threshold, alpha, SURROGATE)
        by_h = tl.where(h >= v_threshold, 0.0, 1.0)
        if SOFT:
            by_h = tl.full((ROWS, CHANNELS), 1.0, tl.float32)
        if not DETACHED:
            by_h = by_h - (v_threshold if SOFT else h) * slope
        gh = gs * slope + gv * by_h
        gx = gh / tau if DECAYS else gh
        gv = gh - gh / tau if DECAYS else gh * keep
        if CONSTANT:
            joined += gx
        else:
            tl.store(gy_ptr + first + step * size + at, gx, mask=inside)
            sums += tl.where(inside, gx, 0.0)
            dots += tl.where(inside, gx * (raw - mean) * invstd, 0.0)
    if CONSTANT:
        raw = tl.load(x_ptr + first + at, mask=inside, other=0.0)
        tl.store(gy_ptr + first + at, joined, mask=inside)
        sums += tl.where(inside, joined, 0.0)
        dots += tl.where(inside, joined * (raw - mean) * invstd, 0.0)
    place = (k * tl.num_programs(0) + block) * c + channels
    tl.store(sums_ptr + place, tl.sum(sums, 0), mask=there)
    tl.store(dots_ptr + place, tl.sum(dots, 0), mask=there)


class NormFire(torch.autograd.Function):
    """Spikes [K, T, M, C] of x [K, I, M, C], normalised by its own mean and variance, then weight and shift [K, C].

    mean, variance: [K, C], of x over I and M; their derivative is part of x's.
    """

    @staticmethod
    def forward(
        ctx: Any, x: Tensor, weight: Tensor, shift: Tensor, mean: Tensor, variance: Tensor,
        eps: float, steps: int, neuron: NeuronConfig, v_start: float,
    ) -> Tensor:  # fmt: skip
        x = x.contiguous()
        members, given, m, c = x.shape
        invstd = torch.rsqrt(variance + eps)
        scale = (weight * invstd).contiguous()
        offset = (shift - mean * scale).contiguous()
        out = x.new_empty(members, steps, m, c)
        _forward[_grid(members, m, c)](
            x, scale, offset, out, m, c, *_charge(neuron), neuron.v_threshold, v_start,
            T=steps, CONSTANT=given < steps, **_kind(neuron), ROWS=ROWS, CHANNELS=CHANNELS,
        )  # fmt: skip
        ctx.save_for_backward(x, scale, offset, mean.contiguous(), invstd)
        ctx.steps, ctx.neuron, ctx.v_start = steps, neuron, v_start
        return out

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        x, scale, offset, mean, invstd = ctx.saved_tensors
        members, given, m, c = x.shape
        grid, neuron = _grid(members, m, c), ctx.neuron
        gy = torch.empty_like(x)
        sums, dots = (x.new_empty(members, grid[0], c) for _ in range(2))
        _backward[grid](
            x, scale, offset, mean, invstd, grad.contiguous(), gy, sums, dots, m, c,
            *_charge(neuron), neuron.v_threshold, ctx.v_start, neuron.alpha,
            T=ctx.steps, CONSTANT=given < ctx.steps, **_kind(neuron), DETACHED=neuron.detach_reset,
            SURROGATE=SURROGATES.index(neuron.surrogate), ROWS=ROWS, CHANNELS=CHANNELS,
        )  # fmt: skip
        total, dot = sums.sum(1), dots.sum(1)
        n = given * m
        # dL/dx = scale (dL/dy - mean(dL/dy) - x^ mean(dL/dy x^)), x^ = (x - mean) invstd
        by_x = -scale * invstd * dot / n
        rest = -scale * total / n - by_x * mean
        gx = gy.mul_(_over(scale)).addcmul_(x, _over(by_x)).add_(_over(rest))
        return gx, dot, total, None, None, None, None, None, None


def _over(values_KC: Tensor) -> Tensor:
    return values_KC[:, None, None, :]


def _grid(members: int, m: int, c: int) -> tuple[int, int, int]:
    return triton.cdiv(m, ROWS), triton.cdiv(c, CHANNELS), members


def _charge(neuron: NeuronConfig) -> tuple[float, float]:
    """tau, and what is kept of V where the input does not decay."""
    return neuron.tau, 1.0 if neuron.model == "if" else 1.0 - 1.0 / neuron.tau


def _kind(neuron: NeuronConfig) -> dict[str, bool]:
    return {"DECAYS": neuron.model == "lif" and neuron.decay_input, "SOFT": neuron.reset == "soft"}


def norm_fire(
    x: Tensor, weight: Tensor, shift: Tensor, mean: Tensor, variance: Tensor, *,
    eps: float, steps: int, constant: bool, neuron: NeuronConfig, v_start: float,
) -> Tensor:  # fmt: skip
    """`NormFire` of x [K, T x N, H, W, C], or [K, N, H, W, C] where it is `constant`: spikes [K, T x N, H, W, C]."""
    members, rows, *image, channels = x.shape
    folded = x.reshape(members, 1 if constant else steps, -1, channels)
    out = NormFire.apply(folded, weight, shift, mean, variance, eps, steps, neuron, v_start)
    return out.reshape(members, rows * steps if constant else rows, *image, channels)
