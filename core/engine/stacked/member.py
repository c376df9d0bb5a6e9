"""One run of a stack: an ordinary trainer whose steps somebody else takes.

Validation, probe, early stopping, checkpoints and the columns of its bundle are those of a run alone, done by the same
code on the member's own network. Its checkpoint is an ordinary one: a stack goes on from it, and so does `spikefront train`.
"""

from __future__ import annotations

import time

import torch
from torch import Tensor

from core.engine.data import TrainBatches
from core.engine.schedules import learning_rate
from core.engine.stacked.network import StackedNetwork
from core.engine.stacked.optimizers import Rows
from core.engine.train import Trainer
from core.errors import Interrupted, SpikefrontError


class Member(Trainer):
    """`failure` is what ended it before its time; the other members go on without it."""

    failure: SpikefrontError | None = None

    @property
    def goes_on(self) -> bool:
        return self.failure is None and not self.is_done

    @property
    def rate(self) -> float:
        """The learning rate of its next step."""
        return learning_rate(self.config.training, self.epoch, self.step, self.steps)

    @property
    def batches(self) -> TrainBatches:
        return self._batches

    def draw(self) -> Tensor:
        """What is random of its next batch, [DRAWN, N] on the CPU: the member's own order and augmentation."""
        return self._batches.draw(self.epoch, self.step)

    def scaled(self, images: Tensor) -> Tensor:
        """[N, H, W, 3] uint8 to float32 of the same shape, as a run alone scales it."""
        return self._normalise(images).permute(0, 2, 3, 1)

    def begin_epoch(self) -> None:
        self._pace.epoch_begins()

    def took(self, told: dict[str, Tensor], *, images: int, spent_s: float) -> None:
        """Note the last S steps, which `step` counts already: `loss` and `hits` [S], `norms` [S, L], each `term ...` [S],
        and this member's images and share of the seconds. Raises NonFiniteLoss."""
        steps = slice(self.step - len(told["loss"]), self.step)
        self._loss_S[steps], self._hits_S[steps], self._norm_SL[steps] = told["loss"], told["hits"], told["norms"]
        for name, values in told.items():
            if name.startswith("term "):
                term = self._terms_S.setdefault(name.removeprefix("term "), torch.zeros_like(self._loss_S))
                term[steps] = values
        self.train_steps_s += spent_s
        self._epoch_wall_s += spent_s
        self.images_trained += images
        self._pace.took("training", images, spent_s, self.epoch)
        self._look()

    def report(self) -> None:
        """Say where it stands, at most a few times a second."""
        left = round(len(self.splits.train) * (1 - self.step / self.steps))
        self._pace.report(
            "training", epoch=self.epoch, step=self.step, steps=self.steps, images_left=left, loss=self._recent_loss
        )

    def finish_epoch(self) -> None:
        """Validate, probe, keep and save, as at the end of an epoch of a run alone. Raises Interrupted (saved)."""
        began = time.monotonic() - self._epoch_wall_s
        found = self._evaluate(began) if self.config.training.validates(self.epoch) else None
        self._end_epoch(found, wall_s=time.monotonic() - began)
        self._pace.epoch_ends()

    def interrupted(self) -> Interrupted:
        return Interrupted(epoch=self.epoch, step=self.step)

    def optimizer_rows(self, network: StackedNetwork) -> tuple[Tensor, Tensor]:
        """Weight decay and factor of the learning rate of each value of its row: [P] each."""
        decay, factor = {}, {}
        names = {id(parameter): name for name, parameter in self.network.named_parameters()}
        for group in self._optimizer.param_groups:
            for parameter in group["params"]:
                name = names[id(parameter)]
                decay[name] = torch.tensor(group["weight_decay"])
                factor[name] = torch.tensor(group["lr_factor"])
        return network.row_of(self.network, decay), network.row_of(self.network, factor)

    def moments_into(self, rows: Rows, k: int, network: StackedNetwork) -> None:
        """Copy its optimiser's moments, from a checkpoint or none, into row k."""
        states = {name: self._optimizer.state[value] for name, value in self.network.named_parameters()}
        for moment, values_KP in rows.moments.items():
            held = {name: state[moment] for name, state in states.items() if state.get(moment) is not None}
            values_KP[k] = network.row_of(self.network, held)
        taken = [float(state["step"]) for state in states.values() if "step" in state]
        rows.step_K[k] = taken[0] if taken else 0.0

    def moments_from(self, rows: Rows, k: int, network: StackedNetwork) -> None:
        """Copy row k back into its optimiser."""
        counts_steps = rows.counts_steps
        for name, value in self.network.named_parameters():
            state = {
                moment: network.part_of(self.network, values_KP[k], name).clone()
                for moment, values_KP in rows.moments.items()
            }
            self._optimizer.state[value] = state | ({"step": rows.step_K[k, 0].clone()} if counts_steps else {})
