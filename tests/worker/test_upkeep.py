"""Rounds of upkeep, packing, and what the reporter lets through; clocks and queue lengths are set by hand."""

from __future__ import annotations

import threading
from types import SimpleNamespace

import pytest

from core.errors import BadValue, DatabaseDown
from core.schemas.results import EpochDone, Progress
from worker import options
from worker.ending import scrub
from worker.reporter import Reporter
from worker.upkeep import DEAF_ROUNDS, Upkeep


class Lifecycle:
    """Remembers what it is told."""

    def __init__(self) -> None:
        self.events: list[object] = []
        self.sent: list[str] = []
        self.waiting: list[str] = []
        self.down = False
        self.gpu_is_there = False
        self.purges = 0

    def preferred_queue(self) -> str:
        return "gpu" if self.gpu_is_there else "cpu"

    def record(self, claim: object, event: object) -> None:
        if self.down:
            raise DatabaseDown(why="it is busy.")
        self.events.append(event)

    def worker_seen(self, *_: object, **__: object) -> None:
        pass

    def reap(self) -> SimpleNamespace:
        return SimpleNamespace(requeued=[])

    def purge(self) -> list[str]:
        self.purges += 1
        return []

    def stranded(self, *, older_than_s: float) -> list[str]:
        return self.waiting

    def mark_sent(self, run_id: str) -> None:
        self.waiting = [waiting for waiting in self.waiting if waiting != run_id]


def upkeep(lifecycle: Lifecycle, *, length: int, busy: int, deaf: list[int]) -> Upkeep:
    hearing = threading.Event()
    hearing.set()
    return Upkeep(
        lifecycle=lifecycle,
        queue=SimpleNamespace(send=lambda run_id, queue: lifecycle.sent.append(run_id)),
        queue_length=lambda: length,
        supervisor=SimpleNamespace(busy=busy, messages=7),
        standby=None,
        options=options.Options(queue="cpu", threads=1, devices=(None, None)),
        name="w",
        hearing=hearing,
        stopping=threading.Event(),
        on_deaf=lambda: deaf.append(1),
    )


def test_a_forgotten_run_is_sent_again_once_and_only_when_the_queue_is_empty():
    lifecycle = Lifecycle()
    lifecycle.waiting = ["a"]
    upkeep(lifecycle, length=3, busy=2, deaf=[]).round()
    assert lifecycle.sent == []
    keeper = upkeep(lifecycle, length=0, busy=0, deaf=[])
    keeper.round()
    keeper.round()
    assert lifecycle.sent == ["a"]


def test_every_round_empties_the_bin_of_what_is_due():
    lifecycle = Lifecycle()
    keeper = upkeep(lifecycle, length=0, busy=0, deaf=[])
    keeper.round()
    keeper.round()
    assert lifecycle.purges == 2


def test_a_cpu_worker_leaves_waiting_runs_to_the_gpu_worker_that_is_there():
    lifecycle = Lifecycle()
    lifecycle.waiting, lifecycle.gpu_is_there = ["a"], True
    keeper = upkeep(lifecycle, length=0, busy=0, deaf=[])
    keeper.round()
    assert lifecycle.sent == []
    lifecycle.gpu_is_there = False
    keeper.round()
    assert lifecycle.sent == ["a"]


def test_a_worker_is_deaf_when_messages_wait_beside_a_free_slot():
    deaf: list[int] = []
    keeper = upkeep(Lifecycle(), length=1, busy=1, deaf=deaf)
    for _ in range(DEAF_ROUNDS):
        keeper.round()
    assert deaf == []  # the first round only learned how many messages had been taken before
    keeper.round()
    assert deaf == [1]


@pytest.mark.parametrize(("length", "busy"), [(0, 0), (5, 2)])
def test_an_empty_queue_or_a_full_worker_is_not_deafness(length, busy):
    deaf: list[int] = []
    keeper = upkeep(Lifecycle(), length=length, busy=busy, deaf=deaf)
    for _ in range(3 * DEAF_ROUNDS):
        keeper.round()
    assert deaf == []


def progress(step: int) -> Progress:
    return Progress(epoch=1, max_epochs=2, step=step, steps=100)


def epoch(n: int) -> EpochDone:
    return EpochDone(epoch=n, lr=0.1, train_loss=1, train_accuracy=0.5, validation_loss=1, validation_accuracy=0.5,
                     firing_rate=None, wall_s=1, is_best=True)  # fmt: skip


def test_progress_is_written_four_times_a_second_and_every_epoch():
    lifecycle, now = Lifecycle(), [0.0]
    reporter = Reporter(lifecycle, SimpleNamespace(run_id="a"), clock=lambda: now[0])
    for step in range(100):  # one second, a step each 10 ms
        reporter.report(progress(step))
        now[0] = round(now[0] + 0.01, 2)
    written = [event.step for event in lifecycle.events]
    assert written == [0, 25, 50, 75]
    reporter.report(epoch(1))
    assert [getattr(event, "step", "epoch") for event in lifecycle.events[4:]] == [99, "epoch"]


def test_epochs_wait_for_a_database_that_is_away_and_keep_their_order():
    lifecycle = Lifecycle()
    reporter = Reporter(lifecycle, SimpleNamespace(run_id="a"), clock=lambda: 0.0)
    lifecycle.down = True
    for n in (1, 2, 3):
        reporter.report(epoch(n))
    lifecycle.down = False
    reporter.flush()
    assert [event.epoch for event in lifecycle.events] == [1, 2, 3]


def test_a_cpu_gets_one_thread_a_run_up_to_four_runs(monkeypatch):
    for n_cores, slots, threads in ((1, 1, 1), (2, 2, 1), (4, 4, 1), (16, 4, 4)):
        monkeypatch.setattr(options, "cores", lambda n=n_cores: n)
        chosen = options.choose()
        assert (chosen.slots, chosen.threads, chosen.devices) == (slots, threads, (None,) * slots)


def test_each_gpu_gets_one_run(monkeypatch):
    monkeypatch.setattr(options, "cores", lambda: 16)
    monkeypatch.setattr(options, "gpus", lambda: [SimpleNamespace(index="0"), SimpleNamespace(index="2")])
    chosen = options.choose(queue="gpu")
    assert (chosen.devices, chosen.threads, chosen.device_kind) == (("0", "2"), 8, "cuda")
    with pytest.raises(BadValue, match="slots"):
        options.choose(slots=0)


def test_scrubbing_keeps_the_file_and_drops_the_way_to_it():
    assert scrub('File "/srv/data/a b.py", line 3') == 'File "/srv/data/a b.py", line 3'.replace("/srv/data/", "")
    assert scrub("token=abcdefgh12345 at C:\\Users\\ada\\x.py") == "token=*** at x.py"
    assert scrub("1/2 of 3 and/or 4") == "1/2 of 3 and/or 4"
