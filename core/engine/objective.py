"""What a training step minimises: the terms of `core.engine.losses` that a config asks for, weighed and added."""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import dataclass

from torch import Tensor

from core.backbones.plan import SYNAPTIC, Node, Plan
from core.engine.losses import (
    cross_entropy_of_mean,
    distillation,
    firing_rate_penalty,
    grad_cam_aware,
    gradient_aware,
    temporal_efficient,
)
from core.engine.network import Network, observe
from core.schemas.run import RunConfig


@dataclass(frozen=True, kw_only=True)
class Step:
    """One forward pass of training. `loss` is the sum of `terms`, each weighed already."""

    outputs_TNC: Tensor
    loss: Tensor
    terms: dict[str, Tensor]


class Objective:
    """L = (1 - a) L_CE + a L_KD + rate_penalty L_rate + gradient_aware L_GA + grad_cam_aware L_GC.

    L_CE is the cross-entropy of the mean output, or with `loss = tet` the temporal efficient one; a = `distillation`.
    A term whose weight is 0 is not computed. A CNN has one step, no spikes and no teacher: it takes L_CE of its
    output, L_GA and L_GC.
    """

    def __init__(self, network: Network, config: RunConfig) -> None:
        self._network = network
        self._config = config
        self._training = training = config.training
        spiking = network.spiking
        self.needs_teacher = spiking and training.distillation > 0
        self._counts_spikes = spiking and training.rate_penalty > 0
        self._sees = cam_node(network.plan) if training.grad_cam_aware else None
        self._weights = [
            network.get_parameter(f"{node.name}.weight") for node in network.plan.nodes if node.op in SYNAPTIC
        ]
        self._tet = spiking and training.loss == "tet"

    def __call__(self, x: Tensor, labels_N: Tensor, teacher_NC: Tensor | None = None) -> Step:
        """x: [N, 3, H, W] normalised; teacher_NC: the teacher's raw outputs where `needs_teacher`."""
        training, terms = self._training, {}
        spikes_L: list[Tensor] = []
        seen: list[Tensor] = []

        def keep(node: Node, inputs: tuple[Tensor, ...], output: Tensor | None) -> None:
            if node.op == "act" and self._counts_spikes:
                levels = self._network.levels  # a count of T is a rate of 1
                spikes_L.append(output if levels == 1 else output / levels)
            if node is self._sees:
                seen.append(output)

        with ExitStack() as watching:
            if self._counts_spikes or self._sees:
                watching.enter_context(observe(self._network, keep))
            outputs_TNC = self._network(x)
        loss_ce = self._cross_entropy(outputs_TNC, labels_N)
        terms["tet" if self._tet else "cross_entropy"] = loss_ce
        if self.needs_teacher:
            share = training.distillation
            terms = {name: (1 - share) * value for name, value in terms.items()}
            terms["distillation"] = share * distillation(outputs_TNC, teacher_NC, training.distillation_temperature)
        if self._counts_spikes:
            terms["rate_penalty"] = training.rate_penalty * firing_rate_penalty(spikes_L, training.rate_target)
        if training.gradient_aware:
            terms["gradient_aware"] = training.gradient_aware * gradient_aware(
                loss_ce, self._weights, training.gradient_aware_eps
            )
        if self._sees:
            terms["grad_cam_aware"] = training.grad_cam_aware * grad_cam_aware(seen[0], outputs_TNC, labels_N)
        loss, *others = terms.values()
        for other in others:
            loss = loss + other
        return Step(outputs_TNC=outputs_TNC, loss=loss, terms=terms)

    def _cross_entropy(self, outputs_TNC: Tensor, labels_N: Tensor) -> Tensor:
        smoothing = self._training.label_smoothing
        if not self._tet:
            return cross_entropy_of_mean(outputs_TNC, labels_N, smoothing)
        return temporal_efficient(
            outputs_TNC,
            labels_N,
            share=self._training.tet_lambda,
            v_threshold=self._config.neuron.v_threshold,
            label_smoothing=smoothing,
        )


def cam_node(plan: Plan) -> Node:
    """Where Grad-CAM looks: the last activation with more than one position, or the concatenation it is part of."""
    act = next(node for node in reversed(plan.nodes) if node.op == "act" and node.shape[1] * node.shape[2] > 1)
    return next((node for node in plan.nodes if node.op == "concat" and act.name in node.inputs), act)
