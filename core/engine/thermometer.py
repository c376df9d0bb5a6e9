"""Activations as counts, and the same counts as spikes: the code of `neuron.model = "count"`.

    count      C = floor(clip(X / theta, 0, D) + 1/2) in 0..D, D = T; its gradient passes straight through where
               0 <= X / theta <= D and is 0 elsewhere
    spikes     S[t] = [t <= C], t = 1..D: a thermometer, its ones on the left; sum_t S[t] = C

C is what an integrate-and-fire neuron with threshold theta, soft reset and V[0] = theta / 2 has fired once all of its
input X has come, when it may fire once a step for D steps (QCFS: Bu et al., ICLR 2022, arXiv:2303.04347). Trained as
integers, run as spikes: Luo et al., ECCV 2024 (arXiv:2407.20708), whose I-LIF rounds halves to even.

The network is layer-synchronous: a layer sums the spikes of its input over all D steps, adds its bias once, and then
fires. So what it computes from spikes is what it computes from counts:

    sum_t (W S[t]) = W sum_t S[t] = W C,    max over a window of C = sum_t OR over the window of S[t]

and both forms give the same integers in every layer. That holds bit for bit, since here the sum over steps is taken of
the spikes, where it is exact, and the convolution sees the same counts in both forms. Values that are not spikes
(projections, averages, gates, sums of branches) are computed once, from the sums. Behind the last neurons, in the
readout, every step has an output of its own, and the answer is their mean.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from core.backbones.plan import Node, Plan
from core.backbones.readout import readout
from core.engine.neurons import Learned
from core.errors import BadValue
from core.schemas.run import NeuronConfig


def counted(u: Tensor, levels: int) -> Tensor:
    """floor(clip(u, 0, levels) + 1/2), straight through; differentiable any number of times. A NaN passes."""
    inside = u.clamp(0, levels)
    return inside + ((inside + 0.5).floor() - inside).detach()


def gain(learned: Learned, neuron: NeuronConfig, places: int) -> Tensor:
    """1 / theta = exp(-log_threshold) / v_threshold, [].

    The gradient of log_threshold is divided by sqrt(places), places = neurons x D, so that the step that suits
    weights suits it too (Esser et al., ICLR 2020, arXiv:1902.08153, section 2.2): it sums over all of them.
    """
    share = places**-0.5
    log = learned.log_threshold
    return (log * share + log.detach() * (1 - share)).neg().exp() / neuron.v_threshold


class Unroll(torch.autograd.Function):
    """Counts [N, ...] in 0..D -> spikes [D x N, ...], S[t] = [t <= C], step 1 first.

    Backward dL/dC = 1/D sum_t dL/dS[t]: where only sum_t S[t] = C matters, all of them are dL/dC.
    """

    @staticmethod
    def forward(ctx: Any, counts: Tensor, steps: int) -> Tensor:
        ctx.steps = steps
        layout = torch.contiguous_format
        if counts.dim() == 4 and counts.is_contiguous(memory_format=torch.channels_last):
            layout = torch.channels_last
        shape = (steps * counts.shape[0], *counts.shape[1:])
        out = torch.empty(shape, dtype=counts.dtype, device=counts.device, memory_format=layout)
        for t, spikes in enumerate(out.chunk(steps), 1):
            spikes.copy_(counts >= t)
        return out

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None]:
        return grad.unflatten(0, (ctx.steps, -1)).mean(0), None


def unrolled(counts: Tensor, steps: int) -> Tensor:
    """Unroll with names."""
    return Unroll.apply(counts, steps)


def summed(spikes: Tensor, steps: int) -> Tensor:
    """Spikes [D x N, ...] -> counts [N, ...]: exact, whatever the order."""
    return spikes.unflatten(0, (steps, -1)).sum(0)


class Code:
    """Which values of a plan have a row for every step, in either form of the network; others have one for all steps.

    `spikes`: names of nodes with T x N rows where activations are unrolled; `counts`: where they are not.
    Raises BadValue where the readout takes a real value that neurons lead to: it has no share of a single step.
    """

    def __init__(self, plan: Plan) -> None:
        self._nodes = {node.name: node for node in plan.nodes}
        behind = readout(plan)
        self.spikes = behind | {node.name for node in plan.nodes if node.spikes}
        self.counts = set(behind)
        for node in plan.nodes:
            moved = node.op != "act" and node.spikes  # spikes that come by step, from the input
            if moved and (not node.inputs or self.counts.intersection(node.inputs)):
                self.counts.add(node.name)
        for name in behind:
            for parent in self._nodes[name].inputs:
                if not (parent in self.spikes or self._nodes[parent].constant):
                    raise BadValue(
                        field="neuron.model", value="count", expected=f"another: {name} reads {parent}, no spikes"
                    )

    def fitted(self, node: Node, values: tuple[Tensor, ...], stepped: set[str], steps: int) -> tuple[Tensor, ...]:
        """The inputs of `node` with as many rows as it works on. `stepped`: the form's set of this class."""
        by_step = node.op != "act" and node.name in stepped
        return tuple(
            self._fit(self._nodes[name], value, name in stepped, by_step, steps)
            for name, value in zip(node.inputs, values, strict=True)
        )

    def _fit(self, parent: Node, value: Tensor, has_steps: bool, wants_steps: bool, steps: int) -> Tensor:
        if has_steps and not wants_steps:
            value = summed(value, steps)
        elif wants_steps and not has_steps:
            value = value.repeat(steps, 1, 1, 1) if parent.constant else unrolled(value, steps)
        return laid_out(value)


def laid_out(value: Tensor) -> Tensor:
    """The value in the one layout that both forms use: in another, a convolution adds up in another order."""
    _, c, h, w = value.shape
    if value.device.type == "cpu":
        wanted, strides = torch.channels_last, (c * h * w, 1, w * c, c)
    else:
        wanted, strides = torch.contiguous_format, (c * h * w, h * w, w, 1)
    return value if value.stride() == strides else value.clone(memory_format=wanted)
