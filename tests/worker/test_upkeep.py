"""Rounds of upkeep, packing, and what the reporter lets through; clocks and queue lengths are set by hand."""

from __future__ import annotations

import os
import re
import threading
from types import SimpleNamespace

import pytest

from core.errors import BadValue, DatabaseDown, ServiceFailed
from core.host.machine import Gpu
from core.schemas.results import EpochDone, Progress
from core.settings import Settings
from worker import options
from worker.__main__ import _parse
from worker.ending import scrub
from worker.reporter import Reporter
from worker.upkeep import DEAF_ROUNDS, Upkeep


class Lifecycle:
    """Remembers what it is told."""

    def __init__(self) -> None:
        self.events: list[object] = []
        self.lost: list[str] = []
        self.down = False
        self.purges = 0

    def queues(self) -> dict[str, int]:
        return {"cpu": 2, "gpu": 1}

    def record(self, claim: object, event: object) -> None:
        if self.down:
            raise DatabaseDown(why="it is busy.")
        self.events.append(event)

    def worker_seen(self, *_: object, **__: object) -> None:
        pass

    def reap(self) -> SimpleNamespace:
        return SimpleNamespace(requeued=self.lost)

    def purge(self) -> list[str]:
        self.purges += 1
        return []


class Slots:
    """Stands in for the supervisor."""

    busy, bells = 0, 7
    room = SimpleNamespace(paused=None)
    ability = SimpleNamespace(offer=lambda: None)

    def __init__(self) -> None:
        self.woken = 0

    def wake(self) -> None:
        self.woken += 1


def upkeep(lifecycle: Lifecycle, *, length: int, deaf: list[int], rung: list[object] | None = None) -> Upkeep:
    hearing = threading.Event()
    hearing.set()
    return Upkeep(
        lifecycle=lifecycle,
        queue=SimpleNamespace(ring=lambda queue, times: [] if rung is None else rung.append((queue, times))),
        queue_length=lambda: length,
        supervisor=Slots(),
        standby=None,
        options=options.Options(queue="cpu", threads=1, devices=(None, None)),
        name="w",
        hearing=hearing,
        stopping=threading.Event(),
        on_deaf=lambda: deaf.append(1),
    )


def test_every_round_looks_for_runs_that_no_bell_told_of_and_rings_for_what_was_lost():
    lifecycle, rung = Lifecycle(), []
    keeper = upkeep(lifecycle, length=0, deaf=[], rung=rung)
    keeper.round()
    assert (keeper._supervisor.woken, rung) == (1, [])
    lifecycle.lost = ["a", "b"]
    keeper.round()
    assert (keeper._supervisor.woken, rung) == (2, [("cpu", 2), ("gpu", 1)])


def test_every_round_empties_the_bin_of_what_is_due():
    lifecycle = Lifecycle()
    keeper = upkeep(lifecycle, length=0, deaf=[])
    keeper.round()
    keeper.round()
    assert lifecycle.purges == 2


def test_a_worker_is_deaf_when_bells_wait_and_none_is_taken():
    deaf: list[int] = []
    keeper = upkeep(Lifecycle(), length=1, deaf=deaf)
    for _ in range(DEAF_ROUNDS):
        keeper.round()
    assert deaf == []  # the first round only learned how many had been taken before
    keeper.round()
    assert deaf == [1]


@pytest.mark.parametrize(("length", "taken"), [(0, 0), (5, 1)])
def test_an_empty_queue_or_one_that_moves_is_not_deafness(length, taken):
    deaf: list[int] = []
    keeper = upkeep(Lifecycle(), length=length, deaf=deaf)
    for _ in range(3 * DEAF_ROUNDS):
        keeper._supervisor.bells += taken
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


def test_an_outage_is_told_once_a_minute(caplog):
    lifecycle, now = Lifecycle(), [0.0]
    reporter = Reporter(lifecycle, SimpleNamespace(run_id="a"), clock=lambda: now[0])
    lifecycle.down = True
    for _ in range(600):  # two minutes, a step each 200 ms
        reporter.report(progress(1))
        now[0] += 0.2
    assert [record.message for record in caplog.records] == ["report.delayed"] * 2


@pytest.mark.parametrize(
    ("n_cores", "gib", "slots", "threads"),
    [
        (1, 8, 1, 1),
        (2, 8, 2, 1),
        (4, 8, 4, 1),
        (8, 64, 4, 2),
        (16, 64, 8, 2),
        (64, 256, 16, 4),
        (64, 6, 4, 16),
        (2, 1, 1, 2),
    ],
)
def test_runs_are_packed_by_cores_and_memory(n_cores, gib, slots, threads):
    assert options.packing(n_cores, gib << 30) == (slots, threads)
    assert options.packing(n_cores, None, 3) == (3, max(1, n_cores // 3))


def test_each_gpu_gets_one_run_and_two_that_share_one_half_its_memory(monkeypatch):
    monkeypatch.setattr(options, "cores", lambda: 16)
    cards = [Gpu(index=index, name="Some GPU", memory_mib=8192, driver="1") for index in ("0", "GPU-ab")]
    monkeypatch.setattr(options, "gpus", lambda: cards)
    chosen = options.choose(queue="gpu", cuda=lambda: None)
    assert (chosen.devices, chosen.threads, chosen.device_kind) == (("0", "GPU-ab"), 8, "cuda")
    assert chosen.memory_bytes == 8 << 30
    assert options.choose(slots=4, cuda=lambda: None).memory_bytes == 4 << 30
    with pytest.raises(BadValue, match="slots"):
        options.choose(slots=0)


def test_a_gpu_that_torch_cannot_use_is_no_gpu(monkeypatch):
    monkeypatch.setattr(options, "gpus", lambda: [Gpu(index="0", name="Some GPU", memory_mib=8192, driver="1")])
    assert options.choose(cuda=lambda: "torch 2 here is for the CPU alone.").queue == "cpu"
    with pytest.raises(ServiceFailed, match="for the CPU alone"):
        options.choose(queue="gpu", cuda=lambda: "torch 2 here is for the CPU alone.")
    monkeypatch.setattr(options, "gpus", list)
    with pytest.raises(ServiceFailed, match="nvidia-smi shows no GPU"):
        options.choose(queue="gpu")


def test_the_lease_is_that_of_the_setting_unless_the_command_line_has_another():
    settings = Settings(lease_s=7.5)
    assert _parse(["-Q", "cpu"], settings).lease_s == 7.5
    assert _parse(["-Q", "cpu", "--lease", "4"], settings).lease_s == 4.0
    assert Settings.model_fields["lease_s"].default == options.LEASE_S


def test_no_two_workers_have_one_name():
    names = {options.name_of(None, taken=lambda _: False) for _ in range(20)}
    assert len(names) == 20 and all(f":{os.getpid()}-" in name for name in names)
    assert options.name_of("gpu1", taken=lambda _: False) == "gpu1"
    assert re.fullmatch(r"gpu1-[0-9a-f]{6}", options.name_of("gpu1", taken=lambda name: name == "gpu1"))


def test_scrubbing_keeps_the_file_and_drops_the_way_to_it():
    assert scrub('File "/srv/data/a b.py", line 3') == 'File "/srv/data/a b.py", line 3'.replace("/srv/data/", "")
    assert scrub("token=abcdefgh12345 at C:\\Users\\ada\\x.py") == "token=*** at x.py"
    assert scrub("1/2 of 3 and/or 4") == "1/2 of 3 and/or 4"
