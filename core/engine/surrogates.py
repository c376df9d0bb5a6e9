"""Surrogate gradients: what stands in for the derivative of the spike in the backward pass.

The forward pass is the Heaviside step, S = [u >= 0], u = H - v_threshold. The backward pass uses a
smooth sigma'(u). Written with torch operations only, so it can be differentiated a second time.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor


class ATan(torch.autograd.Function):
    """S = [u >= 0] with sigma'(u) = (alpha / 2) / (1 + (pi alpha u / 2)^2).

    u: any shape, floating point; returns the same shape with values in {0, 1}.
    """

    @staticmethod
    def forward(ctx: Any, u: Tensor, alpha: float) -> Tensor:
        ctx.save_for_backward(u)
        ctx.alpha = alpha
        return (u >= 0).to(u.dtype)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None]:
        (u,) = ctx.saved_tensors
        scaled = (math.pi * ctx.alpha / 2) * u
        return grad * ((ctx.alpha / 2) / (1 + scaled * scaled)), None


#: Surrogates by the name in NeuronConfig.surrogate: (u, alpha) -> spikes.
SURROGATES: dict[str, Callable[[Tensor, float], Tensor]] = {"atan": ATan.apply}
