"""What a training step minimises: the terms of `core.engine.losses` that a config asks for, weighed and added."""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import dataclass

from torch import Tensor

from core.backbones.plan import SYNAPTIC, Node, Plan
from core.engine.count import reached_outputs
from core.engine.losses import (
    accumulates,
    accumulates_penalty,
    cross_entropy_of_mean,
    cross_entropy_of_prefixes,
    cross_entropy_of_probability,
    distillation,
    distillation_per_step,
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
    """L = (1 - a) L_CE + a L_KD + rate_penalty L_rate + r ac_penalty L_AC + gradient_aware L_GA + grad_cam_aware L_GC.

    L_CE is the cross-entropy of the mean output, with `loss = tet` the temporal efficient one, with
    `loss = probability` that of the mean probability, where T is searched that of every prefix, weighed; a = `distillation`; r rises from 0 to 1 over `ac_ramp`.
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
        self._loss = training.loss if spiking else "mean"
        self._reached = _reached_by_value(network) if spiking and training.ac_penalty > 0 else {}
        self._prunes = config.compression.keep < 1

    def __call__(self, x: Tensor, labels_N: Tensor, teacher_NC: Tensor | None = None, progress: float = 1.0) -> Step:
        """x: [N, 3, H, W] normalised; teacher_NC: the teacher's raw outputs where `needs_teacher`.

        progress: the share of the training that is done, in [0, 1].
        """
        training, terms = self._training, {}
        ac_share = ramp(training.ac_ramp, progress) if self._reached else 0.0
        if ac_share and self._prunes:  # which weights are kept may have changed
            self._reached = _reached_by_value(self._network)
        spikes_L: list[Tensor] = []
        read: dict[str, Tensor] = {}
        seen: list[Tensor] = []

        def keep(node: Node, inputs: tuple[Tensor, ...], output: Tensor | None) -> None:
            if node.op == "act" and self._counts_spikes:
                levels = self._network.levels  # a count of T is a rate of 1
                spikes_L.append(output if levels == 1 else output / levels)
            if ac_share and node.op in SYNAPTIC and node.inputs[0] in self._reached:
                read[node.inputs[0]] = inputs[0]
            if node is self._sees:
                seen.append(output)

        with ExitStack() as watching:
            if self._counts_spikes or ac_share or self._sees:
                watching.enter_context(observe(self._network, keep))
            outputs_TNC = self._network(x)
        loss_ce = self._cross_entropy(outputs_TNC, labels_N)
        terms["tet" if self._loss == "tet" else "cross_entropy"] = loss_ce
        if self.needs_teacher:
            share = training.distillation
            terms = {name: (1 - share) * value for name, value in terms.items()}
            divergence = distillation_per_step if training.distillation_per_step else distillation
            terms["distillation"] = share * divergence(outputs_TNC, teacher_NC, training.distillation_temperature)
        if self._counts_spikes:
            terms["rate_penalty"] = training.rate_penalty * firing_rate_penalty(spikes_L, training.rate_target)
        if ac_share:
            acs = self._acs(read, len(labels_N))
            terms["ac_penalty"] = training.ac_penalty * ac_share * accumulates_penalty(acs, training.ac_target).float()
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

    def _acs(self, read: dict[str, Tensor], n: int) -> Tensor:
        """Accumulates per image, all steps: spikes are never constant, so a value has them all."""
        for name, value in read.items():
            self._reached[name] = self._reached[name].to(value.device)
        return accumulates(list(read.values()), [self._reached[name] for name in read]) / n

    def _cross_entropy(self, outputs_TNC: Tensor, labels_N: Tensor) -> Tensor:
        training, smoothing = self._training, self._training.label_smoothing
        if self._network.searched is not None and (q_T := self._network.searched.steps()) is not None:
            return q_T.detach() @ cross_entropy_of_prefixes(outputs_TNC, labels_N, smoothing)
        if self._loss == "probability":
            return cross_entropy_of_probability(outputs_TNC, labels_N, smoothing)
        if self._loss == "mean":
            return cross_entropy_of_mean(outputs_TNC, labels_N, smoothing)
        phi = self._config.neuron.v_threshold if training.tet_phi is None else training.tet_phi
        return temporal_efficient(outputs_TNC, labels_N, share=training.tet_lambda, phi=phi, label_smoothing=smoothing)


def ramp(ends: tuple[float, float], progress: float) -> float:
    """0 up to the first end, 1 from the second on, a straight line between."""
    low, high = ends
    if low < progress < high:
        return (progress - low) / (high - low)
    return float(progress >= high)


def _reached_by_value(network: Network) -> dict[str, Tensor]:
    """F of every pixel of each value of spikes, [H x W] float64, summed over the layers whose synapses read it.

    Where weights are pruned of every channel too, [H x W, C].
    """
    nodes = {node.name: node for node in network.plan.nodes}
    reached: dict[str, Tensor] = {}
    for node in network.plan.nodes:
        if node.op in SYNAPTIC and nodes[node.inputs[0]].spikes:
            own = reached_outputs(node, network.mask(node.name))
            if network.config.compression.keep < 1 and own.dim() == 1:  # too few weights to prune
                own = own[:, None].expand(-1, node.in_shape[0])
            reached[node.inputs[0]] = reached[node.inputs[0]] + own if node.inputs[0] in reached else own
    return reached


def cam_node(plan: Plan) -> Node:
    """Where Grad-CAM looks: the last activation with more than one position, or the concatenation it is part of."""
    act = next(node for node in reversed(plan.nodes) if node.op == "act" and node.shape[1] * node.shape[2] > 1)
    return next((node for node in plan.nodes if node.op == "concat" and act.name in node.inputs), act)
