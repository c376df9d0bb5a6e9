"""Time left, against a machine whose every phase has a known pace, and a clock that only it moves."""

from __future__ import annotations

from dataclasses import dataclass, field

import pytest

from core.engine.progress import INTERVAL_S, Pace
from core.schemas.results import Progress

BATCH = 8


@dataclass
class Machine:
    """A run that takes exactly these seconds; `load` stretches all of them from an epoch on."""

    n: dict[str, int]
    per_image_s: dict[str, float]
    epochs: int = 4
    between_s: float = 0.0
    measuring_s: float = 0.0
    recounting_s: float = 0.0
    recounts: bool = False
    first_step_s: float = 0.0
    load: dict[int, float] = field(default_factory=dict)
    tested_load: float = 1.0
    jitter: float = 0.0  # of a batch's time: one takes so much more, the next so much less
    every: int = 1
    now: float = 100.0
    seen: list[tuple[float, Progress]] = field(default_factory=list)

    def run(self) -> None:
        pace = Pace(
            lambda event: self.seen.append((self.now, event)), max_epochs=self.epochs, n_train=self.n["training"],
            n_validation=self.n["validating"], n_probe=self.n["probing"], n_averaging=self.n.get("averaging", 0),
            n_test=self.n["testing"], validate_every=self.every, clock=lambda: self.now,
        )  # fmt: skip
        if self.recounts:
            pace.expect_recount()
        self.now += self.first_step_s
        for epoch in range(1, self.epochs + 1):
            slow = self.load.get(epoch, 1.0)
            pace.epoch_begins()
            validated = epoch % self.every == 0 or epoch == self.epochs
            for phase in ("training", "averaging", "validating", "probing")[: 4 if validated else 1]:
                self._phase(pace, phase, epoch, slow)
            self.now += slow * self.between_s
            pace.epoch_ends()
        self._phase(pace, "testing", self.epochs, self.tested_load)
        for phase, wall_s in (("measuring", self.measuring_s), ("recounting", self.recounting_s)):
            if phase == "measuring" or self.recounts:
                pace.report(phase, epoch=self.epochs, step=0, steps=1)
            self.now += self.tested_load * wall_s

    def _phase(self, pace: Pace, phase: str, epoch: int, slow: float) -> None:
        n = self.n.get(phase, 0)
        for low in range(0, n, BATCH):
            images = min(BATCH, n - low)
            uneven = 1 + (self.jitter if low // BATCH % 2 else -self.jitter)
            spent = slow * images * self.per_image_s[phase] * uneven
            self.now += spent
            pace.took(phase, images, spent, epoch)
            left = n - low - images if phase == "training" else None
            pace.report(phase, epoch=epoch, step=low + images, steps=n, images_left=left)

    def off_by(self, epoch: int, phase: str = "training") -> float:
        """Predicted seconds by true ones, at the first event of that phase and epoch."""
        at, event = next(pair for pair in self.seen if (pair[1].epoch, pair[1].phase) == (epoch, phase))
        return event.eta_s / (self.now - at)


def shapes(**changes) -> Machine:
    """A small set of one's own: validation and probe together take longer than training."""
    n = {"training": 154, "validating": 38, "probing": 64, "testing": 48}
    paces = {"training": 0.18, "validating": 0.25, "probing": 0.5, "testing": 0.25}
    return Machine(**{"n": n, "per_image_s": paces, "between_s": 1.0, "measuring_s": 1.2, **changes})


def test_after_the_first_epoch_every_phase_is_in_the_time_left():
    machine = shapes()
    machine.run()
    assert machine.off_by(2) == pytest.approx(1.0, abs=0.03)
    assert machine.off_by(4) == pytest.approx(1.0, abs=0.05)


def test_the_probe_alone_makes_up_what_was_missing():
    """Three epochs of a probe that takes as long as training: without it the estimate would be a third short."""
    machine = shapes(per_image_s={"training": 0.1, "validating": 0.1, "probing": 0.3, "testing": 0.1}, between_s=0.0)
    machine.run()
    left = 3 * (154 * 0.1 + 38 * 0.1 + 64 * 0.3) + 48 * 0.1
    _, event = next(pair for pair in machine.seen if pair[1].epoch == 2)
    assert event.eta_s == pytest.approx(left - BATCH * 0.1 + 48 * 0.01, rel=0.01)  # 0.01: a tenth of validation's pace


def test_validation_every_second_epoch_is_counted_as_often():
    machine = shapes(every=2, epochs=6)
    machine.run()
    assert machine.off_by(3) == pytest.approx(1.0, abs=0.05)


@pytest.mark.parametrize("factor", [3.0, 1 / 3])
def test_the_time_left_follows_the_load_within_an_epoch(factor):
    """Another program starts, or ends, when two epochs of eight are done."""
    machine = shapes(epochs=8, load=dict.fromkeys(range(3, 9), factor), tested_load=factor)
    machine.run()
    first = machine.off_by(3) * factor
    assert first == pytest.approx(1.0, abs=0.25)  # nobody could have known: as if all went on as before
    assert machine.off_by(3, "validating") < 1.6 if factor < 1 else machine.off_by(3, "validating") > 0.75
    for epoch in range(4, 9):
        assert machine.off_by(epoch) == pytest.approx(1.0, abs=0.1)


def test_batches_that_take_turns_at_being_slow_do_not_shake_the_time_left():
    machine = shapes(epochs=8, jitter=0.6)
    machine.run()
    for epoch in range(2, 9):
        assert machine.off_by(epoch) == pytest.approx(1.0, abs=0.2)


def test_a_process_that_has_only_the_test_to_do_learns_its_pace_there():
    events: list[Progress] = []
    now = [0.0]
    pace = Pace(events.append, max_epochs=1, n_train=80, n_validation=8, n_test=32, clock=lambda: now[0])
    for step in (1, 2):
        now[0] += 2.0
        pace.took("testing", BATCH, 2.0)
        pace.report("testing", epoch=1, step=step, steps=4)
    assert events[-1].eta_s == pytest.approx((32 - 16) * 0.25 + 32 * 0.25 * 0.1, rel=0.01)


def test_the_recount_of_a_short_run_is_one_batch_and_of_a_long_one_a_share_of_it():
    short = shapes(recounts=True, recounting_s=8 * 20 * 0.25)
    short.run()
    assert short.off_by(2) == pytest.approx(1.0, abs=0.05)
    assert short.off_by(4, "testing") == pytest.approx(1.0, abs=0.05)
    paces = {"training": 0.2, "validating": 0.1, "probing": 0.3, "testing": 0.1}
    n = {"training": 4000, "validating": 400, "probing": 64, "testing": 400}
    training_s = 4 * (4000 * 0.2 + 400 * 0.1 + 64 * 0.3)
    long = Machine(n=n, per_image_s=paces, recounts=True, recounting_s=0.015 * training_s, measuring_s=4.0)
    long.run()
    assert long.off_by(2) == pytest.approx(1.0, abs=0.03)


def test_steps_that_load_kernels_say_nothing_of_the_pace():
    events: list[Progress] = []
    now = [0.0]
    pace = Pace(events.append, max_epochs=2, n_train=80, n_validation=8, n_test=8, clock=lambda: now[0])
    pace.epoch_begins()
    for step, spent in enumerate((30.0, 1.0), start=1):
        now[0] += spent
        pace.took("training", BATCH, spent)
        pace.report("training", epoch=1, step=step, steps=10, images_left=80 - BATCH * step)
    assert events[0].eta_s is None and events[0].share is None
    # 64 images of this epoch and 80 of the next at 1/8 s; 2 x 8 validated and 8 tested at a third of it; figures
    assert events[1].eta_s == pytest.approx(144 / 8 + 16 / 24 + 8 / 24 + 8 / 240)


def test_each_phase_is_told_of_at_its_start_however_short_the_last_event_is_ago():
    events: list[Progress] = []
    now = [0.0]
    pace = Pace(events.append, max_epochs=2, n_train=80, n_validation=8, n_test=8, clock=lambda: now[0])
    for phase in ("training", "training", "validating", "probing", "probing", "testing"):
        pace.report(phase, epoch=1, step=1, steps=2)
        now[0] += INTERVAL_S / 4
    assert [event.phase for event in events] == ["training", "validating", "probing", "testing"]


def test_the_share_done_never_falls_while_nothing_unforeseen_happens_and_ends_below_one():
    machine = shapes(epochs=5)
    machine.run()
    shares = [event.share for at, event in machine.seen if event.epoch > 1]
    assert shares == sorted(shares) and shares[-1] < 1
    halfway = next(event for at, event in machine.seen if event.share and event.share >= 0.5)
    assert halfway.epoch == 3


def test_a_run_that_goes_on_in_the_middle_of_an_epoch_counts_what_was_done_before():
    events: list[Progress] = []
    now = [0.0]
    pace = Pace(events.append, max_epochs=1, n_train=80, n_validation=8, n_test=8, clock=lambda: now[0])
    pace.epoch_begins()
    for step in (8, 9):
        now[0] += 1.0
        pace.took("training", BATCH, 1.0)
        pace.report("training", epoch=1, step=step, steps=10, images_left=80 - BATCH * step)
    assert events[-1].eta_s == pytest.approx(8 / 8 + 8 / 24 + 8 / 24 + 8 / 240)
