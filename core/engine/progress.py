"""How far a run is and how long it will still take: what each phase costs, at the machine's pace of just now.

What an image of a phase costs is learned from the first epoch on, in training images: a machine's load changes, and then
all phases change alike. So the seconds that a training image takes follow what the last batches took, of any phase, over
a time that is short against what is left. What lies between the phases (batches put together, a checkpoint written) is
learned per epoch. What comes only once, after training, costs as much as it did elsewhere until it begins (`GUESSES`).
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Literal

from core.schemas.results import Event, Phase, Progress

INTERVAL_S = 0.25  # at most four progress events a second
KEPT = 0.5  # of what was learned of costs, at the end of each epoch
#: The pace is that of as much work as lies in this share of the time left, or in so many seconds where that is more
#: or less: a moment's load says little of hours.
RECENT_SHARE, RECENT_LEAST_S, RECENT_MOST_S = 0.05, 3.0, 300.0

InEpoch = Literal["training", "averaging", "validating", "probing"]
#: The cost of an image of a phase that was not timed yet, in those of the first of these that was. Measured on the CPU with
#: SqueezeNet Ref-1, T = 4, on digits and on images of 60 x 60.
GUESSES: dict[Phase, tuple[tuple[Phase, float], ...]] = {
    "averaging": (("validating", 1.0), ("training", 1 / 3)),
    "validating": (("training", 1 / 3),),
    "probing": (("training", 1.5),),
    "testing": (("validating", 1.0), ("training", 1 / 3)),
    "measuring": (("validating", 0.1), ("training", 1 / 30)),
    "recounting": (("validating", 20.0), ("training", 7.0)),
}
#: A recount sees one batch in any case, and more while it stays within a share of the run's time: `core.oracles.recount`.
RECOUNT_LEAST, RECOUNT_MOST, RECOUNT_SHARE = 8, 64, 0.015


@dataclass
class _Mean:
    """What so many things took together: seconds, or training images."""

    n: float = 0.0
    total: float = 0.0

    def add(self, n: float, total: float, *, kept: float = 1.0) -> None:
        """With `kept` of what was there before."""
        self.n, self.total = kept * self.n + n, kept * self.total + total

    @property
    def each(self) -> float:
        return self.total / self.n if self.n > 0 else 0.0


class Pace:
    """Emits Progress events, thinned, with the phase, speed, share done and time left.

    Time left assumes that the run uses all its epochs, and that an image takes time in proportion to the time steps of
    its epoch: `steps_of` gives those from an epoch on, where they are not all alike. The probe takes all T in every epoch.
    """

    def __init__(
        self,
        emit: Callable[[Event], None],
        *,
        max_epochs: int,
        n_train: int,
        n_validation: int,
        n_test: int,
        n_averaging: int = 0,
        n_probe: int = 0,
        validate_every: int = 1,
        steps_of: Mapping[int, int] | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._emit, self._clock = emit, clock
        self._max_epochs, self._validate_every = max_epochs, validate_every
        self._n: dict[InEpoch, int] = {
            "training": n_train, "averaging": n_averaging, "validating": n_validation, "probing": n_probe,
        }  # fmt: skip
        self._n_test, self._recounts = n_test, False
        self._steps_of = steps_of or {1: 1}
        self._last_steps = self._steps_of[max(self._steps_of)]
        self._costs: dict[Phase, _Mean] = {}  # images, weighted by the time steps of their epoch; training images
        self._between = _Mean()  # epochs; training images
        self._pace = _Mean()  # training images; seconds
        self._trained_at = 0.0  # seconds of a training image when this epoch's were done
        self._left_s = 0.0
        self._done: dict[InEpoch, float] = dict.fromkeys(self._n, 0.0)  # images of the epoch under way
        self._tested = 0
        self._warm = False
        self._epoch_from: float | None = None
        self._told_s = 0.0  # seconds of this epoch that a phase was told for
        self._trained: tuple[int, float] = (0, 0.0)
        self._last, self._last_phase = -INTERVAL_S, ""

    def expect_recount(self) -> None:
        """The run will be counted again at its end."""
        self._recounts = True

    def epoch_begins(self) -> None:
        """Before the first step that this process takes of an epoch."""
        self._epoch_from, self._told_s = self._clock(), 0.0
        self._done = dict.fromkeys(self._n, 0.0)

    def epoch_ends(self) -> None:
        """After all of an epoch, its checkpoint included."""
        if self._epoch_from is not None and self._trained_at:
            self._between.add(1, max(self._clock() - self._epoch_from - self._told_s, 0.0) / self._trained_at)
        for mean in (*self._costs.values(), self._between):
            mean.add(0.0, 0.0, kept=KEPT)
        self._epoch_from = None

    def took(self, phase: Phase, images: int, wall_s: float, epoch: int = 1) -> None:
        """Note what a batch took. The first training step of a process also loads kernels, so it says nothing of the pace."""
        self._told_s += wall_s
        if phase in self._done:
            self._done[phase] += images
        elif phase == "testing":
            self._tested += images
        weight = 1.0 if phase not in ("training", "averaging", "validating") else self._weight(epoch)
        if phase == "training":
            if not self._warm:
                self._warm = True
                return
            self._trained = (self._trained[0] + images, self._trained[1] + wall_s)
            self._follow(images * weight, wall_s)
            self._trained_at = self._pace.each
            return
        if self._trained_at:
            if phase in self._costs:
                self._follow(images * weight * self._cost(phase), wall_s)
            self._costs.setdefault(phase, _Mean()).add(images * weight, wall_s / self._trained_at)
        else:  # a process that came for the end alone
            self._follow(images * weight * self._cost(phase), wall_s)

    def _follow(self, images: float, wall_s: float) -> None:
        """Training images, or what cost as much, took these seconds just now."""
        recent_s = min(max(RECENT_SHARE * self._left_s, RECENT_LEAST_S), RECENT_MOST_S)
        expected_s = images * self._pace.each  # by work, not by time: it follows a machine that got faster as soon
        self._pace.add(images, wall_s, kept=math.exp(-expected_s / recent_s))

    @property
    def images_per_s(self) -> float | None:
        """Training images a second in this process."""
        images, wall_s = self._trained
        return images / wall_s if wall_s > 0 else None

    def _weight(self, epoch: int) -> float:
        """What an image costs in that epoch, in images of the last."""
        return self._steps_of[max(first for first in self._steps_of if first <= max(epoch, 1))] / self._last_steps

    def _cost(self, phase: Phase) -> float:
        """Of an image of this phase, in training images."""
        if phase == "training":
            return 1.0
        known = self._costs.get(phase)
        if known is not None and known.n > 0:
            return known.each
        other, factor = next(pair for pair in GUESSES[phase] if pair[0] == "training" or pair[0] in self._costs)
        return factor * self._cost(other)

    def _per_image_s(self, phase: Phase) -> float:
        """0 where no pace is known yet."""
        return self._cost(phase) * self._pace.each

    def _epoch_s(self, epoch: int, done: Mapping[InEpoch, float] | None = None) -> float:
        """What an epoch takes, or what is left of it once so many images of each phase are done."""
        validated = epoch % self._validate_every == 0 or epoch == self._max_epochs
        between = self._between.each * self._pace.each
        total = 0.0
        for phase, n in self._n.items():
            if phase == "training" or validated:
                left = max(n - done[phase], 0.0) if done else n
                total += left * self._per_image_s(phase) * (1.0 if phase == "probing" else self._weight(epoch))
        return total + between

    def _after_s(self, phase: str, training_s: float) -> float:
        """What follows the epochs: the test, the figures' writing, the recount."""
        testing = max(self._n_test - self._tested, 0) * self._per_image_s("testing")
        measuring = self._n_test * self._per_image_s("measuring")
        recounting = 0.0
        if self._recounts:
            each = self._per_image_s("recounting")
            recounting = min(max(RECOUNT_SHARE * training_s, RECOUNT_LEAST * each), RECOUNT_MOST * each)
        left = {"testing": testing, "measuring": measuring, "recounting": recounting}
        names = list(left)
        return sum(left[name] for name in names[names.index(phase) if phase in names else 0 :])

    def _eta_s(self, phase: str, epoch: int) -> tuple[float | None, float | None]:
        """Seconds left, and the share of the run that lies behind; None where no pace is known."""
        if not self._pace.n:
            return None, None
        epochs = [self._epoch_s(one) for one in range(1, self._max_epochs + 1)]
        whole = sum(epochs)
        left = self._after_s(phase, whole)
        if phase in self._done:
            trained = self._done if phase == "training" else {**self._done, "training": float(self._n["training"])}
            left += self._epoch_s(epoch, trained) + sum(epochs[epoch:])
        total = whole + self._after_s("", whole)
        return left, min(max(1 - left / total, 0.0), 0.99) if total > 0 else None

    def report(
        self,
        phase: Phase,
        *,
        epoch: int,
        step: int,
        steps: int,
        images_left: int | None = None,
        loss: Callable[[], float] | None = None,
    ) -> None:
        """Emit where the run stands, unless the last event was a moment ago and of this phase.

        `images_left`: of training in this epoch, a part of which an earlier process may have done.
        `loss` is only called, and the device only waited for, when an event is due.
        """
        if images_left is not None:
            self._done["training"] = self._n["training"] - images_left
        now = self._clock()
        if phase == self._last_phase and now - self._last < INTERVAL_S:
            return
        self._last, self._last_phase = now, phase
        eta_s, share = self._eta_s(phase, epoch)
        self._left_s = eta_s or 0.0
        self._emit(
            Progress(
                phase=phase,
                epoch=epoch,
                max_epochs=self._max_epochs,
                step=step,
                steps=steps,
                loss=loss() if loss else None,
                images_per_s=self.images_per_s,
                eta_s=eta_s,
                share=share,
            )
        )
