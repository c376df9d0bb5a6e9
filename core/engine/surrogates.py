"""Surrogate gradients: what stands in for the derivative of the spike in the backward pass.

The forward pass is the Heaviside step, S = [u >= 0], u = H - v_threshold. The backward pass uses a
sigma'(u) in its place. Each is even, highest at u = 0, positive and has the area 1, so it is the derivative
of a step that was made smooth; alpha alone says how narrow it is. Written with torch operations only, so
every one can be differentiated again.

All take u: any shape, floating point, and alpha > 0; they return sigma'(u) in the shape of u.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor


def atan(u: Tensor, alpha: float) -> Tensor:
    """sigma'(u) = (alpha / 2) / (1 + (pi alpha u / 2)^2); alpha / 2 at u = 0, area 1.

    Fang et al., ICCV 2021 (arXiv:2007.05785); the surrogate of Kabir et al. (arXiv:2602.09717), alpha = 2.
    """
    scaled = (math.pi * alpha / 2) * u
    return (alpha / 2) / (1 + scaled * scaled)


def sigmoid(u: Tensor, alpha: float) -> Tensor:
    """sigma'(u) = alpha s (1 - s), s = 1 / (1 + exp(-alpha u)); alpha / 4 at u = 0, area 1.

    The derivative of the logistic function, as in Neftci, Mostafa and Zenke, IEEE Signal Process. Mag. 2019
    (arXiv:1901.09948).
    """
    s = torch.sigmoid(alpha * u)
    return alpha * s * (1 - s)


def fast_sigmoid(u: Tensor, alpha: float) -> Tensor:
    """sigma'(u) = (alpha / 2) / (1 + alpha |u|)^2; alpha / 2 at u = 0, area 1.

    The form of SuperSpike (Zenke and Ganguli, Neural Computation 2018, arXiv:1705.11146), 1 / (1 + beta |u|)^2
    with beta = alpha, times alpha / 2, which makes the area 1. sigma'' jumps at u = 0, where it is taken as 0.
    """
    return (alpha / 2) / (1 + alpha * u.abs()).square()


def piecewise_linear(u: Tensor, alpha: float) -> Tensor:
    """sigma'(u) = alpha max(0, 1 - alpha |u|); alpha at u = 0, area 1, exactly 0 beyond |u| = 1 / alpha.

    The triangle of Esser et al., PNAS 2016 (arXiv:1603.08270) and Bellec et al., NeurIPS 2018
    (arXiv:1803.09574), there max(0, 1 - |v|) times a damping factor. sigma'' is -alpha^2 sign(u) inside, 0
    outside, and taken as 0 at the three kinks.
    """
    return alpha * torch.relu(1 - alpha * u.abs())


def exponential(u: Tensor, alpha: float) -> Tensor:
    """sigma'(u) = (alpha / 2) exp(-alpha |u|); alpha / 2 at u = 0, area 1.

    Shrestha and Orchard, SLAYER, NeurIPS 2018 (arXiv:1810.08646), with both of its constants put into alpha so
    that the area is 1. sigma'' jumps at u = 0, where it is taken as 0.
    """
    return (alpha / 2) * torch.exp(-alpha * u.abs())


Derivative = Callable[[Tensor, float], Tensor]

#: Surrogate derivatives sigma'(u, alpha) by the name in NeuronConfig.surrogate.
SURROGATES: dict[str, Derivative] = {
    "atan": atan,
    "sigmoid": sigmoid,
    "fast_sigmoid": fast_sigmoid,
    "piecewise_linear": piecewise_linear,
    "exponential": exponential,
}


class Spike(torch.autograd.Function):
    """S = [u >= 0] forward, dS/du = derivative(u, alpha) backward.

    u: any shape, floating point; returns the same shape with values in {0, 1}.
    """

    @staticmethod
    def forward(ctx: Any, u: Tensor, alpha: float, derivative: Derivative) -> Tensor:
        ctx.save_for_backward(u)
        ctx.alpha, ctx.derivative = alpha, derivative
        return (u >= 0).to(u.dtype)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None, None]:
        (u,) = ctx.saved_tensors
        return grad * ctx.derivative(u, ctx.alpha), None, None
