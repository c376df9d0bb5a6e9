"""What each member of a stack minimises: the terms of `core.engine.losses` that a stack can compute, K at a time."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional as F

from core.backbones.plan import SYNAPTIC
from core.engine.stacked.network import StackedNetwork
from core.schemas.run import RunConfig

Terms = dict[str, Tensor]


class StackedObjective:
    """L of each member, of its own outputs and weights alone, so that the gradient of their sum is each one's own.

    The cross-entropies (`loss` mean, tet or probability, smoothed) and the gradient-aware term.
    """

    def __init__(self, network: StackedNetwork, configs: Sequence[RunConfig]) -> None:
        device = network.values_KP.device
        self._loss = configs[0].training.loss if network.spiking else "mean"
        training = configs[0].training
        self._share = training.tet_lambda
        self._phi = configs[0].neuron.v_threshold if training.tet_phi is None else training.tet_phi
        self._smoothing_K, self._aware_K, self._eps_K = (
            torch.tensor([getattr(config.training, name) for config in configs], device=device)
            for name in ("label_smoothing", "gradient_aware", "gradient_aware_eps")
        )
        self._differentiates_twice = any(config.training.gradient_aware for config in configs)
        self._weights = [network.weight(f"{node.name}.weight") for node in network.plan.nodes if node.op in SYNAPTIC]
        kept = [{node.name for node in plan.nodes} for plan in network.plans]
        self._has_KL = torch.tensor(
            [[node.name in names for node in network.plan.nodes if node.op in SYNAPTIC] for names in kept],
            device=device,
        )

    def __call__(self, outputs_TKNC: Tensor, labels_KN: Tensor) -> Terms:
        """Each term, weighed: [K]. labels_KN: int64."""
        cross_entropy_K = self._cross_entropy(outputs_TKNC, labels_KN)
        terms = {"tet" if self._loss == "tet" else "cross_entropy": cross_entropy_K}
        if self._differentiates_twice:
            gradients = torch.autograd.grad(cross_entropy_K.sum(), self._weights, create_graph=True)
            norms_KL = torch.stack([torch.linalg.vector_norm(each.flatten(1), dim=1) for each in gradients], 1)
            eps_K1 = self._eps_K.unsqueeze(1)
            vanished_K = (self._has_KL * (eps_K1 / (norms_KL + eps_K1))).sum(1)
            terms["gradient_aware"] = self._aware_K * vanished_K
        return terms

    def _cross_entropy(self, outputs_TKNC: Tensor, labels_KN: Tensor) -> Tensor:
        if self._loss == "mean":
            return self._smoothed(outputs_TKNC.mean(0).log_softmax(2), labels_KN)
        if self._loss == "probability":
            log_p_KNC = outputs_TKNC.log_softmax(3).logsumexp(0) - math.log(len(outputs_TKNC))
            return self._smoothed(log_p_KNC, labels_KN)
        steps = [self._smoothed(each, labels_KN) for each in outputs_TKNC.log_softmax(3)]
        away_K = (outputs_TKNC - self._phi).square().mean((0, 2, 3))
        return (1 - self._share) * torch.stack(steps).mean(0) + self._share * away_K

    def _smoothed(self, log_p_KNC: Tensor, labels_KN: Tensor) -> Tensor:
        """(1 - s) (-log p_y) + s / C sum_c (-log p_c), mean over the batch, s of each member: [K]."""
        true_K = F.nll_loss(log_p_KNC.transpose(1, 2), labels_KN, reduction="none").mean(1)
        return (1 - self._smoothing_K) * true_K - self._smoothing_K * log_p_KNC.mean((1, 2))
