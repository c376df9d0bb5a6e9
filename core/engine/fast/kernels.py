"""Compiled CPU loops for neurons: one pass over memory per direction, all T steps inside.

Legend of shape suffixes: T time steps, M elements of one step (in either memory layout), R rows =
N x H x W, C channels. An input with one row of T stands for the same input at every step.

Each kernel works on `start:stop` of its last axis, writes nothing else and holds no Python lock, so
that chunks may run in threads. Elements are independent, so results do not depend on the chunks. The
membrane is recomputed in the backward pass instead of stored. No fast-math: a spike is a comparison,
and its value must not hang on how a compiler reorders a sum.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
from numba import njit

BLOCK = 512  # elements whose state stays in the first-level cache
PI = math.pi
#: The surrogates that `slopes` knows, by their place. The first, atan, is computed where it is used instead, as None.
SURROGATES = ("atan", "sigmoid", "fast_sigmoid", "piecewise_linear", "exponential")


def compiled(function: Callable) -> Callable:
    """Compile at the first call for the types then seen; keep the result on disk where a folder can be written."""
    options = {"nogil": True, "error_model": "numpy"}
    try:
        return njit(cache=True, **options)(function)
    except RuntimeError:  # neither this folder nor the user's cache folder is writable
        return njit(**options)(function)


@compiled
def charged(x, v, tau, inverse, keep):
    """H of one element: keep V + X where `keep` is given (if; leak and gain apart), else V + (X - V) / tau; tau is None
    where multiplying by `inverse` is the division itself, or where 1 / tau is what the layer learned."""
    if keep is not None:
        return v * keep + x
    if tau is None:
        return v + (x - v) * inverse
    return v + (x - v) / tau


@compiled
def slopes(surrogate, h, v_threshold, alpha, sigma):
    """Writes sigma'(H - v_threshold) of each element, by the formula of `core.engine.surrogates`; `surrogate` is a
    place in SURROGATES, above 0."""
    kind = h.dtype.type
    one, zero = kind(1), kind(0)
    half = alpha * kind(0.5)
    if surrogate == 1:  # sigmoid
        for i in range(h.shape[0]):
            s = one / (one + np.exp(-alpha * (h[i] - v_threshold)))
            sigma[i] = alpha * s * (one - s)
    elif surrogate == 2:  # fast_sigmoid
        for i in range(h.shape[0]):
            scaled = one + alpha * abs(h[i] - v_threshold)
            sigma[i] = half / (scaled * scaled)
    elif surrogate == 3:  # piecewise_linear
        for i in range(h.shape[0]):
            left = one - alpha * abs(h[i] - v_threshold)
            sigma[i] = alpha * (left if left > zero else zero)  # noqa: FURB136 - vectorises, max() does not
    else:  # exponential
        for i in range(h.shape[0]):
            sigma[i] = half * np.exp(-alpha * abs(h[i] - v_threshold))


@compiled
def lif_forward(x_TM, s_TM, tau, inverse, keep, v_threshold, v_start, soft, start, stop):
    """H as `charged`; S = [H >= v_threshold]; V = H (1 - S), or H - v_threshold S where `soft`. Writes S."""
    steps = s_TM.shape[0]
    moving = x_TM.shape[0] > 1
    one = x_TM.dtype.type(1)
    zero = x_TM.dtype.type(0)
    v = np.empty(BLOCK, x_TM.dtype)
    for low in range(start, stop, BLOCK):
        size = min(BLOCK, stop - low)
        v[:] = v_start
        for t in range(steps):
            x = x_TM[t if moving else 0, low : low + size]
            s = s_TM[t, low : low + size]
            for i in range(size):
                h = charged(x[i], v[i], tau, inverse, keep)
                fired = h >= v_threshold
                s[i] = one if fired else zero
                left = h - v_threshold if soft else zero
                v[i] = left if fired else h


@compiled
def lif_backward(
    x_TM, gs_TM, gx_TM, gq_M, tau, inverse, keep, v_threshold, v_start, soft, detach, surrogate, alpha, start, stop
):
    """Writes dL/dX from dL/dS; where the input is constant, the sum over T. With gq_M (else None) also each element's
    dL/dq, q = 1 / tau.

    gH = gS sigma'(u) + gV dV/dH; dV/dH = 1 - S - H sigma'(u), or 1 - v_threshold sigma'(u) where `soft`: the reset
    carries its gradient, unless `detach` leaves out its sigma'. gX = gH / tau, and the membrane before it receives
    gH - gX; with `keep` gX = gH, and it receives keep gH. dH/dq = X - V, with `keep` -V.
    """
    steps = gs_TM.shape[0]
    moving = x_TM.shape[0] > 1
    kind = x_TM.dtype.type
    one, zero = kind(1), kind(0)
    half = alpha * kind(0.5)
    slope = half * kind(PI)
    h_TB = np.empty((steps, BLOCK), x_TM.dtype)
    v_TB = np.empty((1 if gq_M is None else steps, BLOCK), x_TM.dtype)
    v, sigma = np.empty(BLOCK, x_TM.dtype), np.empty(BLOCK, x_TM.dtype)
    for low in range(start, stop, BLOCK):
        size = min(BLOCK, stop - low)
        v[:] = v_start
        for t in range(steps):
            x = x_TM[t if moving else 0, low : low + size]
            h_now, v_now = h_TB[t], v_TB[0 if gq_M is None else t]
            for i in range(size):
                h = charged(x[i], v[i], tau, inverse, keep)
                h_now[i] = h
                if gq_M is not None:
                    v_now[i] = v[i]
                left = h - v_threshold if soft else zero
                v[i] = left if h >= v_threshold else h
        v[:] = zero  # from here on dL/dV
        if not moving:
            gx_TM[0, low : low + size] = zero
        if gq_M is not None:
            gq_M[low : low + size] = zero
        for back in range(steps):
            t = steps - 1 - back
            gs = gs_TM[t, low : low + size]
            gx = gx_TM[t if moving else 0, low : low + size]
            h_now, v_now = h_TB[t], v_TB[0 if gq_M is None else t]
            if surrogate is not None:
                slopes(surrogate, h_now[:size], v_threshold, alpha, sigma)
            if gq_M is not None:
                x, gq = x_TM[t if moving else 0, low : low + size], gq_M[low : low + size]
            for i in range(size):
                h = h_now[i]
                if surrogate is None:
                    scaled = slope * (h - v_threshold)
                    sloped = half / (one + scaled * scaled)
                else:
                    sloped = sigma[i]
                kept = zero if h >= v_threshold and not soft else one
                pull = zero if detach else (v_threshold if soft else h)
                gh = gs[i] * sloped + v[i] * (kept - pull * sloped)
                if gq_M is not None:
                    gq[i] += gh * (-v_now[i] if keep is not None else x[i] - v_now[i])
                if keep is not None:
                    g = gh
                    v[i] = gh * keep
                else:
                    g = gh * inverse if tau is None else gh / tau
                    v[i] = gh - g
                gx[i] = g if moving else gx[i] + g


@compiled
def maxpool_forward(x_NHWC, out_NHWC, tap_NHWC, kernel, stride, start, stop):
    """The maximum of each window and the first tap that holds it, row by row. Windows may overhang the end."""
    _, height, width, channels = x_NHWC.shape
    # Taps as wide as the values: one loop over bytes and floats is not vectorised where the CPU lacks AVX-512.
    first = np.empty(channels, x_NHWC.dtype)
    for n in range(start, stop):
        for i in range(out_NHWC.shape[1]):
            for j in range(out_NHWC.shape[2]):
                out, tap = out_NHWC[n, i, j], tap_NHWC[n, i, j]
                x = x_NHWC[n, i * stride, j * stride]
                for c in range(channels):  # one array assigned to another compiles Numba's words on shapes: seconds
                    out[c] = x[c]
                    first[c] = 0
                for di in range(min(kernel, height - i * stride)):
                    for dj in range(min(kernel, width - j * stride)):
                        x = x_NHWC[n, i * stride + di, j * stride + dj]
                        number = first.dtype.type(di * kernel + dj)
                        for c in range(channels):
                            more = (x[c] > out[c]) | (x[c] != x[c])  # a NaN passes
                            out[c] = x[c] if more else out[c]
                            first[c] = number if more else first[c]
                for c in range(channels):
                    tap[c] = np.uint8(first[c])


@compiled
def maxpool_backward(g_NHWC, tap_NHWC, gx_NHWC, kernel, stride, start, stop):
    """Each window's gradient goes to its tap. Writes all of gx for images start:stop."""
    _, height, width, channels = gx_NHWC.shape
    zero = gx_NHWC.dtype.type(0)
    for n in range(start, stop):
        gx_NHWC[n] = zero
        for i in range(g_NHWC.shape[1]):
            for j in range(g_NHWC.shape[2]):
                g, tap = g_NHWC[n, i, j], tap_NHWC[n, i, j]
                for di in range(min(kernel, height - i * stride)):
                    for dj in range(min(kernel, width - j * stride)):
                        gx = gx_NHWC[n, i * stride + di, j * stride + dj]
                        number = np.uint8(di * kernel + dj)
                        for c in range(channels):
                            gx[c] += g[c] if tap[c] == number else zero


@compiled
def reached_per_row(x_RC, offset, reached_PC, out_R, start, stop):
    """Writes the sum of reached_PC over the non-zero channels of each row; row r is the pixel r % P."""
    kind = x_RC.dtype.type
    zero = kind(0)
    pixels, channels = reached_PC.shape
    for r in range(start, stop):
        row = x_RC[r, offset : offset + channels]
        reached = reached_PC[r % pixels]
        total = np.int32(0)
        for c in range(channels):
            total = np.int32(total + (reached[c] if row[c] != zero else np.int32(0)))
        out_R[r] = total


@compiled
def nonzero_per_row(x_RC, offset, channels, out_R, start, stop):
    """Writes the number of non-zero ones among channels offset: of each row; returns whether one is neither 0 nor 1."""
    kind = x_RC.dtype.type
    zero, one = kind(0), kind(1)
    odd = False
    for r in range(start, stop):
        row = x_RC[r, offset : offset + channels]
        filled, ones = np.int32(0), np.int32(0)  # 32 bits wide: twice the lanes of the default 64
        for c in range(channels):
            filled = np.int32(filled + np.int32(row[c] != zero))
            ones = np.int32(ones + np.int32(row[c] == one))
        out_R[r] = filled
        odd |= filled != ones
    return odd
