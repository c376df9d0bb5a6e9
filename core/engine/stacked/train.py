"""The training loop of a stack: one batched step for all members that go on, then each one's own end of the epoch."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from core.backbones.plan import SYNAPTIC
from core.engine.graphs import CudaRecorder, Tape, can_record
from core.engine.stacked.member import Member
from core.engine.stacked.network import StackedNetwork
from core.engine.stacked.objective import StackedObjective
from core.engine.stacked.optimizers import rows_for
from core.engine.train import CHECKPOINT_EVERY_S, LOOK_EVERY
from core.errors import Interrupted, NonFiniteLoss
from core.schemas.on_gpu import PLAIN, OnGpu

log = logging.getLogger(__name__)


class Stack:
    """Some members as one network, from the weights and moments that they have, while they take steps together.

    The members must have the same number of images in each step; whoever ends, ends with `give_back`.
    """

    def __init__(self, members: Sequence[Member], device: torch.device, *, on_gpu: OnGpu = PLAIN) -> None:
        self.members, self._device = list(members), device
        self._untold: list[dict[str, Tensor]] = []
        self._images, self._began = 0, 0.0  # of one member since it was told; when the first of these steps began
        recorded = can_record(members[0].network.plan, members[0].config, device, wanted=on_gpu.graphs)
        self._tape = Tape(self.learn, CudaRecorder()) if recorded else None
        networks = [member.network for member in members]
        self.network = StackedNetwork(networks, device, triton=on_gpu.triton)
        self.network.take(networks)
        decay, factor = zip(*(member.optimizer_rows(self.network) for member in members), strict=True)
        self._rows = rows_for(
            members[0].config.training,
            self.network.values_KP,
            self.network.gradients_KP,
            torch.stack(decay),
            torch.stack(factor),
        )
        for k, member in enumerate(members):
            member.moments_into(self._rows, k, self.network)
        self._objective = StackedObjective(self.network, [member.config for member in members])
        layers = [node.name for node in self.network.plan.nodes if node.op in SYNAPTIC]
        self._gradients = [self.network.gradient(f"{name}.weight") for name in layers]
        self._own_layers = [
            torch.tensor([layers.index(name) for name in member.gradients.layers], device=device) for member in members
        ]

    def step(self) -> None:
        """The next step of every member."""
        if not self._untold:
            self._began = time.monotonic()
        drawn = torch.stack([member.draw() for member in self.members], 1).to(self._device)
        rates = torch.tensor([[member.rate] for member in self.members], device=self._device)
        learnt = (self._tape or self.learn)(drawn, rates)
        self._untold.append({name: values.clone() for name, values in learnt.items()})  # the tape writes there again
        self._images += drawn.shape[2]
        for member in self.members:
            member.step += 1
        first = self.members[0]
        if self._device.type == "cpu" or len(self._untold) == LOOK_EVERY or first.step == first.steps:
            self.tell()

    def tell(self) -> None:
        """Tell the members of the steps that they took since they were told last: seldom, since each look waits."""
        if not self._untold:
            return
        rows = {name: torch.stack([each[name] for each in self._untold]) for name in self._untold[0]}
        if self._device.type == "cuda":
            torch.cuda.synchronize(self._device)  # what was asked for has been done: its time is known
        spent_s = (time.monotonic() - self._began) / len(self.members)
        for k, member in enumerate(self.members):
            if member.failure is not None:  # its row is not a number; it is left out from the next epoch on
                continue
            own = {name: values[:, k] for name, values in rows.items()}
            own["norms"] = own["norms"][:, self._own_layers[k]]
            try:
                member.took(own, images=self._images, spent_s=spent_s)
            except NonFiniteLoss as error:
                log.warning("stack.member_failed", extra={"config_hash": member.config.config_hash})
                member.failure = error
        self._untold, self._images = [], 0

    def learn(self, drawn: Tensor, rates_K: Tensor) -> dict[str, Tensor]:
        """A whole step: the batches are made, passed forward and backward, and the weights moved.

        drawn: [DRAWN, K, N] int64, rates_K: [K, 1]; returns `loss` [K], `hits` (right answers) [K], the gradient `norms` of
        the layers [K, L], and each term of the loss, [K], after `term `.
        """
        members = self.members
        crops, cuts = (any(getattr(m.batches, name) for m in members) for name in ("crops", "cuts"))
        batch = members[0].batches.made_of(drawn.flatten(1), crops=crops, cuts=cuts)
        x, labels_KN = (each.unflatten(0, drawn.shape[1:]) for each in (members[0].scaled(batch.images), batch.labels))
        self._rows.rate_K.copy_(rates_K)
        outputs_TKNC = self.network(x)
        terms = self._objective(outputs_TKNC, labels_KN)
        loss_K = torch.stack(list(terms.values())).sum(0)
        self.network.differentiate(loss_K.sum())
        hits_K = (outputs_TKNC.detach().mean(0).argmax(2) == labels_KN).sum(1)
        norms_KL = torch.stack([torch.linalg.vector_norm(each.flatten(1), dim=1) for each in self._gradients], 1)
        self._rows.step()
        told = {f"term {name}": value.detach() for name, value in terms.items()}
        return {"loss": loss_K.detach(), "hits": hits_K, "norms": norms_KL, **told}

    def give_back(self) -> None:
        """Weights, statistics and moments to the members."""
        self.tell()
        self.network.give([member.network for member in self.members])
        for k, member in enumerate(self.members):
            member.moments_from(self._rows, k, self.network)


def train(
    members: Sequence[Member], device: torch.device, should_stop: Callable[[], bool], *, on_gpu: OnGpu = PLAIN
) -> None:
    """Train every member to its own end. Raises Interrupted, with a checkpoint of each, when `should_stop()` turns true.

    A member that has ended, by its epochs or its patience, is left out of the stack, so its weights stay as they are. One
    whose loss leaves the finite ends with `failure`.
    """
    stack: Stack | None = None
    while going := [member for member in members if member.goes_on]:
        step = max(member.step for member in going)  # who was stopped inside an epoch ends it first
        group = [member for member in going if member.step == step]
        if stack is None or stack.members != group:
            stack = Stack(group, device, on_gpu=on_gpu)
        _epoch(stack, should_stop)


def _epoch(stack: Stack, should_stop: Callable[[], bool]) -> None:
    """The rest of an epoch of members that stand at the same step."""
    members = stack.members
    saved_at = time.monotonic()
    for member in members:
        member.network.train()
        member.begin_epoch()
    for _ in range(members[0].step, members[0].steps):
        stack.step()
        for member in members:
            if member.failure is None:
                member.report()
        stopping = should_stop()
        if stopping or time.monotonic() - saved_at >= CHECKPOINT_EVERY_S:
            stack.give_back()
            _save(members)
            saved_at = time.monotonic()
        if stopping:
            raise members[0].interrupted()
    stack.give_back()
    waiting = [member for member in members if member.failure is None]
    try:
        while waiting:
            waiting[0].finish_epoch()
            waiting.pop(0)
    except Interrupted:
        _save(waiting[1:])  # the first has saved itself
        raise


def _save(members: Sequence[Member]) -> None:
    for member in members:
        if member.failure is None:
            member.save()
