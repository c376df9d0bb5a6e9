"""The optimisers of `core.engine.optimizers` over K networks at once, each with its own rate, decay and step number.

All parameters lie in one matrix [K, P], a row a member, so that a step is a handful of element-wise operations whatever the
number of layers. Rates and step numbers are tensors, so that a step can be recorded once and played again (CUDA graphs).
"""

from __future__ import annotations

from abc import ABC, abstractmethod

import torch
from torch import Tensor

from core.schemas.run import TrainingConfig

BETA1, BETA2, EPS = 0.9, 0.999, 1e-8  # torch's defaults, which a run alone takes


class Rows(ABC):
    """Moves `values_KP` by `gradients_KP`. decay_KP: the weight decay of each value; factor_KP: of the learning rate.

    rate_K: [K, 1], the schedule's rate of the next step, to be set before each. `moments`: [K, P] tensors under the names
    that torch's optimiser gives them; step_K: [K, 1] float32, steps taken.
    """

    names: tuple[str, ...]
    counts_steps = True  # whether torch's optimiser keeps their number

    def __init__(self, values_KP: Tensor, gradients_KP: Tensor, decay_KP: Tensor, factor_KP: Tensor) -> None:
        self._values, self._gradients, self._decay, self._factor = values_KP, gradients_KP, decay_KP, factor_KP
        self.moments = {name: torch.zeros_like(values_KP) for name in self.names}
        self.step_K = torch.zeros(len(values_KP), 1, device=values_KP.device)
        self.rate_K = torch.zeros(len(values_KP), 1, device=values_KP.device)

    @abstractmethod
    @torch.no_grad()
    def step(self) -> None:
        """One step of every row."""


class AdamRows(Rows):
    """Adam with L2 decay in the gradient (Kingma & Ba 2015), or with the decay apart (AdamW, Loshchilov & Hutter 2019)."""

    names = ("exp_avg", "exp_avg_sq")

    def __init__(self, *rows: Tensor, decay_apart: bool) -> None:
        super().__init__(*rows)
        self._apart = decay_apart

    @torch.no_grad()
    def step(self) -> None:
        rate = self.rate_K * self._factor
        gradient = self._gradients
        if self._apart:
            self._values.mul_(1 - rate * self._decay)
        else:
            gradient = torch.addcmul(gradient, self._values, self._decay)
        self.step_K += 1
        first, second = (self.moments[name] for name in self.names)
        first.lerp_(gradient, 1 - BETA1)
        second.mul_(BETA2).addcmul_(gradient, gradient, value=1 - BETA2)
        unbiased1, unbiased2 = (1 - torch.pow(beta, self.step_K.double()) for beta in (BETA1, BETA2))
        away = (second.sqrt() / unbiased2.sqrt().float()).add_(EPS)
        self._values.sub_((rate / unbiased1.float()) * (first / away))


class SgdRows(Rows):
    """SGD with (Nesterov's) momentum; without momentum there is nothing to remember."""

    names = ("momentum_buffer",)
    counts_steps = False

    def __init__(self, *rows: Tensor, momentum: float, nesterov: bool) -> None:
        super().__init__(*rows)
        self._momentum, self._nesterov = momentum, nesterov

    @torch.no_grad()
    def step(self) -> None:
        gradient = torch.addcmul(self._gradients, self._values, self._decay)
        self.step_K += 1
        buffer = self.moments["momentum_buffer"]
        buffer.mul_(self._momentum).add_(gradient)
        ahead = torch.add(gradient, buffer, alpha=self._momentum) if self._nesterov else buffer
        self._values.sub_(self.rate_K * self._factor * ahead)


def rows_for(training: TrainingConfig, *rows: Tensor) -> Rows:
    """The optimiser of a config; the tensors are those of `Rows`."""
    if training.optimizer == "sgd":
        return SgdRows(*rows, momentum=training.momentum, nesterov=training.nesterov)
    return AdamRows(*rows, decay_apart=training.optimizer == "adamw")
