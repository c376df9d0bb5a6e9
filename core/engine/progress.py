"""How far a run is and how long it will still take."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import Literal

from core.schemas.results import Event, Progress

INTERVAL_S = 0.25  # at most four progress events a second
FORWARD_SHARE = 1 / 3  # of a training step's time per image, until a validation was timed


class Pace:
    """Emits Progress events, thinned, with speed and time left.

    Time left assumes that the run uses all its epochs, and that an image takes time in proportion to the time steps of
    its epoch: `steps_of` gives those from an epoch on, where they are not all alike.
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
        steps_of: Mapping[int, int] | None = None,
    ) -> None:
        self._emit = emit
        self._max_epochs, self._validate_every = max_epochs, validate_every
        self._n_train, self._n_validation, self._n_test = n_train, n_validation, n_test
        self._last = 0.0
        self._warm = False
        self._steps_of = steps_of or {1: 1}
        self._last_steps = self._steps_of[max(self._steps_of)]
        self._images, self._seconds = 0, 0.0  # trained
        self._trained = 0.0  # in images of the last epoch's steps, as are those below
        self._evaluated: tuple[float, float] = (0.0, 0.0)  # and seconds

    def _weight(self, epoch: int) -> float:
        """What an image costs in that epoch, in images of the last."""
        return self._steps_of[max(first for first in self._steps_of if first <= max(epoch, 1))] / self._last_steps

    def trained(self, images: int, seconds: float, epoch: int = 1) -> None:
        """Note one training step. The first of a process also loads kernels, so it says nothing of the pace."""
        if not self._warm:
            self._warm = True
            return
        self._images, self._seconds = self._images + images, self._seconds + seconds
        self._trained += images * self._weight(epoch)

    def evaluated(self, images: int, seconds: float, epoch: int = 1) -> None:
        """Note one validation batch."""
        done, spent = self._evaluated
        self._evaluated = (done + images * self._weight(epoch), spent + seconds)

    @property
    def images_per_s(self) -> float | None:
        """Training images a second in this process."""
        return self._images / self._seconds if self._seconds > 0 else None

    def _eta_s(self, epoch: int, images_left: int) -> float | None:
        if not self._trained:
            return None
        per_image = self._seconds / self._trained
        checked, spent = self._evaluated
        per_check = spent / checked if checked else per_image * FORWARD_SHARE
        later = range(epoch + 1, self._max_epochs + 1)
        train = images_left * self._weight(epoch) + self._n_train * sum(map(self._weight, later))
        last, every = self._max_epochs, self._validate_every
        checks = sum(self._weight(one) for one in (epoch, *later) if one % every == 0 or one == last)
        return train * per_image + (checks * self._n_validation + self._n_test) * per_check

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
