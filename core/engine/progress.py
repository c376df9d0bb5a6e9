"""How far a run is and how long it will still take."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Literal

from core.schemas.results import Event, Progress

INTERVAL_S = 0.25  # at most four progress events a second
FORWARD_SHARE = 1 / 3  # of a training step's time per image, until a validation was timed


class Pace:
    """Emits Progress events, thinned, with speed and time left.

    Time left assumes that the run uses all its epochs.
    """

    def __init__(
        self,
        emit: Callable[[Event], None],
        *,
        max_epochs: int,
        n_train: int,
        n_validation: int,
        n_test: int,
        validate_every: int = 1,
    ) -> None:
        self._emit = emit
        self._max_epochs, self._validate_every = max_epochs, validate_every
        self._n_train, self._n_validation, self._n_test = n_train, n_validation, n_test
        self._last = 0.0
        self._warm = False
        self._trained: tuple[int, float] = (0, 0.0)  # images, seconds
        self._evaluated: tuple[int, float] = (0, 0.0)

    def trained(self, images: int, seconds: float) -> None:
        """Note one training step. The first of a process also loads kernels, so it says nothing of the pace."""
        if not self._warm:
            self._warm = True
            return
        self._trained = (self._trained[0] + images, self._trained[1] + seconds)

    def evaluated(self, images: int, seconds: float) -> None:
        """Note one validation batch."""
        self._evaluated = (self._evaluated[0] + images, self._evaluated[1] + seconds)

    @property
    def images_per_s(self) -> float | None:
        """Training images a second in this process."""
        images, seconds = self._trained
        return images / seconds if seconds > 0 else None

    def _eta_s(self, epoch: int, images_left: int) -> float | None:
        images, seconds = self._trained
        if not images:
            return None
        per_image = seconds / images
        checked, spent = self._evaluated
        per_check = spent / checked if checked else per_image * FORWARD_SHARE
        epochs_left = self._max_epochs - epoch
        train = images_left + epochs_left * self._n_train
        every = self._validate_every
        checks = -(-self._max_epochs // every) - (epoch - 1) // every  # of this epoch and those after it
        check = checks * self._n_validation + self._n_test
        return train * per_image + check * per_check

    def report(
        self,
        phase: Literal["training", "validating", "testing"],
        *,
        epoch: int,
        step: int,
        steps: int,
        images_left: int = 0,
        loss: Callable[[], float] | None = None,
    ) -> None:
        """Emit where the run stands, unless the last event was a moment ago.

        `loss` is only called, and the device only waited for, when an event is due.
        """
        now = time.monotonic()
        if now - self._last < INTERVAL_S:
            return
        self._last = now
        self._emit(
            Progress(
                phase=phase,
                epoch=epoch,
                max_epochs=self._max_epochs,
                step=step,
                steps=steps,
                loss=loss() if loss else None,
                images_per_s=self.images_per_s,
                eta_s=self._eta_s(epoch, images_left) if phase != "testing" else None,
            )
        )
