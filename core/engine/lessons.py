"""What a teacher says of the pictures of a training step: asked at every step, or once and for all."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor

from core.engine.answers import Answers, answers
from core.engine.data import Batch, Normaliser, Splits
from core.engine.network import Network


class Lessons:
    """A teacher in evaluation mode; a spiking one answers with the mean over its steps."""

    def __init__(self, teacher: Network, splits: Splits, device: torch.device) -> None:
        self._teacher, self._splits = teacher.eval(), splits
        self._normalise = Normaliser.of(teacher, splits.spec, device)
        self._stored: Answers | None = None

    @torch.no_grad()
    def of(self, batch: Batch, epoch: int, step: int) -> Tensor:
        """The teacher's outputs, [N, C]: for the very pictures that the network sees, or those that are stored."""
        if self._stored is not None:
            return self._stored.of(batch.chosen, batch.mirrored)
        self._teacher.seed_encoding("lesson", epoch, step)  # a teacher under rate coding draws spikes
        return self._teacher(self._normalise(batch.images)).mean(0)

    def store(
        self, weights: str, folders: tuple[Path, ...], *, batch_size: int, look: Callable[[int, int], None]
    ) -> None:
        """Ask once, or take up what was stored: arguments as for `answers`."""
        self._stored = answers(
            self._teacher,
            self._splits.train,
            self._normalise,
            weights=weights,
            folders=folders,
            batch_size=batch_size,
            look=look,
        )
