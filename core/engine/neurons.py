"""Spiking neurons: pure step functions (state in, state out) and their run over T steps.

A step charges, fires and resets. With input X, membrane V and V_reset = 0:

    charge  H = V + X (if);  V + (X - (V - V_reset)) / tau (lif);  the same with a learned tau (plif)
    fire    S = [H >= v_threshold]
    reset   V' = H (1 - S) + V_reset S (hard);  V' = H - v_threshold S (soft)

Both resets carry the gradient of S, as SpikingJelly's neurons do with detach_reset=False. A new neuron is one
step function in STEPS; a fused kernel for it is optional and must agree with it.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor

from core.engine.surrogates import SURROGATES, Spike
from core.schemas.run import NeuronConfig

V_RESET = 0.0


def hard_reset(h: Tensor, s: Tensor, v_threshold: float) -> Tensor:
    """V' = H (1 - S) + V_reset S with V_reset = 0: what is above the threshold is lost."""
    return h * (1.0 - s)


def soft_reset(h: Tensor, s: Tensor, v_threshold: float) -> Tensor:
    """V' = H - v_threshold S: what is above the threshold stays (reset by subtraction).

    Rueckauer et al., Frontiers in Neuroscience 11:682, 2017: the rate then counts the whole input.
    """
    return h - v_threshold * s


#: Resets by the name in NeuronConfig.reset: (H, S, v_threshold) -> V'.
RESETS: dict[str, Callable[[Tensor, Tensor, float], Tensor]] = {"hard": hard_reset, "soft": soft_reset}


def _fire(h: Tensor, neuron: NeuronConfig) -> tuple[Tensor, Tensor]:
    """S and V' of a charged membrane."""
    s = Spike.apply(h - neuron.v_threshold, neuron.alpha, SURROGATES[neuron.surrogate])
    return s, RESETS[neuron.reset](h, s, neuron.v_threshold)


def if_step(x: Tensor, v: Tensor, neuron: NeuronConfig, w: Tensor | None = None) -> tuple[Tensor, Tensor]:
    """One step of the integrate-and-fire neuron: H = V + X. No leak; tau is not used.

    x, v: [...] real; returns S: [...] in {0, 1} and V': [...].
    """
    return _fire(v + x, neuron)


def lif_step(x: Tensor, v: Tensor, neuron: NeuronConfig, w: Tensor | None = None) -> tuple[Tensor, Tensor]:
    """One step of the leaky integrate-and-fire neuron: H = V + (X - (V - V_reset)) / tau.

    tau dV/dt = -(V - V_rest) + R I at dt = 1, R = 1 (Kabir et al., arXiv:2602.09717): the input decays too, as in
    SpikingJelly's LIFNode(decay_input=True), whose outputs this function equals bit for bit.
    x, v: [...] real; returns S: [...] in {0, 1} and V': [...].
    """
    return _fire(v + (x - v) / neuron.tau, neuron)


def plif_step(x: Tensor, v: Tensor, neuron: NeuronConfig, w: Tensor) -> tuple[Tensor, Tensor]:
    """One step of the parametric LIF neuron: lif_step with 1 / tau = sigmoid(w), so that tau stays above 1.

    Fang et al., ICCV 2021 (arXiv:2007.05785). w: [] real, learned, one for all neurons of a layer.
    x, v: [...] real; returns S: [...] in {0, 1} and V': [...].
    """
    return _fire(v + (x - v) * w.sigmoid(), neuron)


Step = Callable[[Tensor, Tensor, NeuronConfig, Tensor | None], tuple[Tensor, Tensor]]

#: Step functions by the name in NeuronConfig.model.
STEPS: dict[str, Step] = {"lif": lif_step, "if": if_step, "plif": plif_step}


def initial_w(neuron: NeuronConfig) -> float:
    """The w of a PLIF layer at which its tau is the config's: sigmoid(w) = 1 / tau."""
    return -math.log(neuron.tau - 1.0)


def is_compiled(neuron: NeuronConfig) -> bool:
    """Whether the CPU kernels (`core.engine.fast.kernels`) know this neuron; every other runs in plain torch."""
    return (neuron.model, neuron.reset, neuron.surrogate) == ("lif", "hard", "atan")


def run_steps(x: Tensor, steps: int, neuron: NeuronConfig, w: Tensor | None = None, v_start: float = V_RESET) -> Tensor:
    """The reference: all steps in plain torch from V = v_start, differentiable any number of times.

    x: [T, ...] real, or [1, ...] for the same input at every step; w: [] for plif, else None. Returns spikes
    [T, ...] in {0, 1}.
    """
    step = STEPS[neuron.model]
    v = torch.full_like(x[0], v_start)
    spikes = []
    for t in range(steps):
        s, v = step(x[t if x.shape[0] > 1 else 0], v, neuron, w)
        spikes.append(s)
    return torch.stack(spikes)
