"""Spiking neurons: pure step functions (state in, state out) and their run over T steps.

A step charges, fires and resets. With input X, membrane V and V_reset = 0:

    charge  H = V + X (if);  V + (X - (V - V_reset)) / tau (lif);  the same with a learned tau (plif)
            lif and plif with decay_input false: H = (1 - 1 / tau) V + X, so that tau is the leak alone
    fire    S = [H >= v_threshold]
    reset   V' = H (1 - S) + V_reset S (hard);  V' = H - v_threshold S (soft)

All are H = a V + b X. Both resets carry the gradient of S, or with detach_reset none. These functions, and their
gradients, are SpikingJelly's. A new neuron is one step function in STEPS; a fused kernel for it is optional and must
agree with it. Counts (`model = "count"`) are no steps: `core.engine.thermometer`.

A learned threshold v divides: X v_threshold / v goes into a neuron whose threshold stays v_threshold, and V is
measured in units of v / v_threshold. Everything above is linear in X, V and v together, so the spikes are those
of the threshold v; the surrogate's width grows with v.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor, nn

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
    # detached, the reset is a fact of the forward pass that the backward pass does not explain by S
    resetting = s.detach() if neuron.detach_reset else s
    return s, RESETS[neuron.reset](h, resetting, neuron.v_threshold)


def _if_charge(x: Tensor, v: Tensor, neuron: NeuronConfig, w: Tensor | None = None) -> Tensor:
    return v + x


def _lif_charge(x: Tensor, v: Tensor, neuron: NeuronConfig, w: Tensor | None = None) -> Tensor:
    return v + (x - v) / neuron.tau if neuron.decay_input else v * (1.0 - 1.0 / neuron.tau) + x


def _plif_charge(x: Tensor, v: Tensor, neuron: NeuronConfig, w: Tensor) -> Tensor:
    return v + (x - v) * w.sigmoid() if neuron.decay_input else v * (1.0 - w.sigmoid()) + x


def if_step(x: Tensor, v: Tensor, neuron: NeuronConfig, w: Tensor | None = None) -> tuple[Tensor, Tensor]:
    """One step of the integrate-and-fire neuron: H = V + X. No leak; tau is not used.

    x, v: [...] real; returns S: [...] in {0, 1} and V': [...].
    """
    return _fire(_if_charge(x, v, neuron), neuron)


def lif_step(x: Tensor, v: Tensor, neuron: NeuronConfig, w: Tensor | None = None) -> tuple[Tensor, Tensor]:
    """One step of the leaky integrate-and-fire neuron: H = V + (X - (V - V_reset)) / tau.

    tau dV/dt = -(V - V_rest) + R I at dt = 1, R = 1 (Kabir et al., arXiv:2602.09717): the input decays too, as in
    SpikingJelly's LIFNode(decay_input=True), whose outputs this function equals bit for bit. With decay_input false
    H = (1 - 1 / tau) V + X, its LIFNode(decay_input=False).
    x, v: [...] real; returns S: [...] in {0, 1} and V': [...].
    """
    return _fire(_lif_charge(x, v, neuron), neuron)


def plif_step(x: Tensor, v: Tensor, neuron: NeuronConfig, w: Tensor) -> tuple[Tensor, Tensor]:
    """One step of the parametric LIF neuron: lif_step with 1 / tau = sigmoid(w), so that tau stays above 1.

    Fang et al., ICCV 2021 (arXiv:2007.05785). w: [] real, learned, one for all neurons of a layer.
    x, v: [...] real; returns S: [...] in {0, 1} and V': [...].
    """
    return _fire(_plif_charge(x, v, neuron, w), neuron)


Step = Callable[[Tensor, Tensor, NeuronConfig, Tensor | None], tuple[Tensor, Tensor]]

#: Step functions by the name in NeuronConfig.model.
STEPS: dict[str, Step] = {"lif": lif_step, "if": if_step, "plif": plif_step}


#: H of the same neurons: (X, V, neuron, w) -> H.
CHARGES: dict[str, Callable[..., Tensor]] = {"lif": _lif_charge, "if": _if_charge, "plif": _plif_charge}


class Learned(nn.Module):
    """What the neurons of one layer learn, by the names in the weights; either may be absent.

    w              [] real: 1 / tau = sigmoid(w) (plif)
    log_threshold  [] real: the threshold is v_threshold exp(log_threshold), so it stays above 0 (`learn_threshold`,
                   and theta of `count`)
    """

    def __init__(self, neuron: NeuronConfig) -> None:
        super().__init__()
        self.w = nn.Parameter(torch.empty(())) if neuron.model == "plif" else None
        learns = neuron.learn_threshold or neuron.model == "count"
        self.log_threshold = nn.Parameter(torch.empty(())) if learns else None

    @torch.no_grad()
    def start(self, neuron: NeuronConfig) -> None:
        """The config's own values."""
        if self.w is not None:
            self.w.fill_(initial_w(neuron))
        if self.log_threshold is not None:
            self.log_threshold.zero_()


def initial_w(neuron: NeuronConfig) -> float:
    """The w of a PLIF layer at which its tau is the config's: sigmoid(w) = 1 / tau."""
    return -math.log(neuron.tau - 1.0)


def first_potential(neuron: NeuronConfig) -> float:
    """V before the first step."""
    return neuron.v_threshold / 2 if neuron.v_start == "half" else V_RESET


def run_steps(
    x: Tensor, steps: int, neuron: NeuronConfig, w: Tensor | None = None, v_start: float | None = None
) -> Tensor:
    """The reference: all steps in plain torch, differentiable any number of times.

    x: [T, ...] real, or [1, ...] for the same input at every step; w: [] for plif, else None; v_start: V before the
    first step where it is not the config's. Returns spikes [T, ...] in {0, 1}.
    """
    step = STEPS[neuron.model]
    v = torch.full_like(x[0], first_potential(neuron) if v_start is None else v_start)
    spikes = []
    for t in range(steps):
        s, v = step(x[t if x.shape[0] > 1 else 0], v, neuron, w)
        spikes.append(s)
    return torch.stack(spikes)


def trace_steps(
    x: Tensor, steps: int, neuron: NeuronConfig, w: Tensor | None = None, v_start: float | None = None
) -> tuple[Tensor, Tensor, Tensor]:
    """The same steps with what happens within them: H, V' and S, each [T, ...]; arguments as of `run_steps`."""
    charge, step = CHARGES[neuron.model], STEPS[neuron.model]
    v = torch.full_like(x[0], first_potential(neuron) if v_start is None else v_start)
    found = []
    for t in range(steps):
        given = x[t if x.shape[0] > 1 else 0]
        h = charge(given, v, neuron, w)
        s, v = step(given, v, neuron, w)
        found.append((h, v, s))
    before, after, spikes = (torch.stack(each) for each in zip(*found, strict=True))
    return before, after, spikes
