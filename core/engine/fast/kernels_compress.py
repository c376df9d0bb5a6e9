"""Compiled loops over the weights of a compressed convolution: one pass forward, one backward.

Each gives the numbers of the torch operations in `core.engine.compress`. M elements in memory order; `half`, `step` and `most`
are of the weights' type: half a step, a step, and the outermost level in halves, 0 for weights that are not quantised.
"""

from __future__ import annotations

import numpy as np

from core.engine.fast.kernels import compiled


@compiled
def level(w, half, step, most):
    """The nearest level of one weight; the weight itself where `most` is 0."""
    if most == 0:
        return w
    one = step / step  # of the weights' type
    code = np.floor(w / step)
    code = code + code + one
    return min(max(code, -most), most) * half


@compiled
def kept_of(size_M, least, kept_M):
    """Writes which elements are at least `least`, as 1 and 0; returns how many are."""
    n = np.int32(0)  # 32 bits wide: twice the lanes of the default 64
    for i in range(size_M.shape[0]):
        keeps = np.uint8(size_M[i] >= least)
        kept_M[i] = keeps
        n = np.int32(n + np.int32(keeps))
    return n


@compiled
def compress_forward(w_M, kept_M, half, step, most, out_M):
    """Writes the kernel: the level of a kept weight, 0 for the others."""
    zero = w_M.dtype.type(0)
    for i in range(w_M.shape[0]):
        out_M[i] = level(w_M[i], half, step, most) if kept_M[i] else zero


@compiled
def compress_backward(grad_M, w_M, kept_M, score_M, half, step, most, grad_w_M, grad_score_M):
    """Writes the gradients of the weights and of the scores, straight through; no scores where they have no elements."""
    zero = w_M.dtype.type(0)
    for i in range(grad_M.shape[0]):
        grad_w_M[i] = grad_M[i] if kept_M[i] else zero
    for i in range(score_M.shape[0]):
        slope = grad_M[i] * level(w_M[i], half, step, most)
        grad_score_M[i] = slope * np.sign(score_M[i])
