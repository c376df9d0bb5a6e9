"""Spiking neurons: pure step functions (state in, state out) and their run over T steps.

A new neuron is one step function in STEPS; a fused kernel for it is optional and must agree with it.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from core.engine.surrogates import SURROGATES
from core.schemas.run import NeuronConfig

V_RESET = 0.0


def lif_step(x: Tensor, v: Tensor, neuron: NeuronConfig) -> tuple[Tensor, Tensor]:
    """One step of the leaky integrate-and-fire neuron, input decayed, hard reset to V_reset = 0.

    H = V + (X - (V - V_reset)) / tau;  S = [H >= v_threshold];  V' = H (1 - S) + V_reset S.

    x, v: [...] real; returns S: [...] in {0, 1} and V': [...]. The reset carries its gradient, as in
    SpikingJelly's LIFNode(detach_reset=False), whose outputs this function equals bit for bit.
    """
    h = v + (x - v) / neuron.tau
    s = SURROGATES[neuron.surrogate](h - neuron.v_threshold, neuron.alpha)
    return s, h * (1.0 - s)


#: Step functions by the name in NeuronConfig.model.
STEPS: dict[str, Callable[[Tensor, Tensor, NeuronConfig], tuple[Tensor, Tensor]]] = {"lif": lif_step}


def run_steps(x: Tensor, steps: int, neuron: NeuronConfig) -> Tensor:
    """The reference: all steps in plain torch, differentiable any number of times.

    x: [T, ...] real, or [1, ...] for the same input at every step; returns spikes [T, ...] in {0, 1}.
    """
    step = STEPS[neuron.model]
    v = torch.full_like(x[0], V_RESET)
    spikes = []
    for t in range(steps):
        s, v = step(x[t if x.shape[0] > 1 else 0], v, neuron)
        spikes.append(s)
    return torch.stack(spikes)
