"""What a worker notes beside a run's bundle: bounded, gone on with after a loss, and never worth a run."""

from __future__ import annotations

import json
import os
from itertools import pairwise
from types import SimpleNamespace

import pytest

from core.host.usage import ProcessUsage, Sample, gpu_load
from core.run_folder import HISTORY, LOG
from core.schemas.results import Progress, Started
from worker import diary as diaries
from worker.diary import Diary, RunLog, Thinned, read

STARTED = {"device": "cpu", "n_train": 1, "n_validation": 1, "n_test": 1, "steps_per_epoch": 10, "max_epochs": 3}


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


def diary(folder, clock, *samples: Sample) -> Diary:
    left = list(samples)
    usage = SimpleNamespace(sample=lambda: left.pop(0) if left else sample(clock.now), close=lambda: None)
    return Diary(folder, usage=usage, clock=clock)


def sample(at_s: float) -> Sample:
    return Sample(at_s=at_s, cpu_cores=0.5, machine_busy=0.25, memory_bytes=1000)


def step(epoch: int, step: int, loss: float = 1.0, part: str = "run") -> Progress:
    return Progress(epoch=epoch, max_epochs=3, step=step, steps=10, loss=loss, part=part)


def test_moments_and_samples_are_there_after_it_is_closed(tmp_path, clock):
    kept = diary(tmp_path, clock)
    kept.hear(Started(**STARTED))
    kept.hear(step(1, 1, 2.5))
    kept.hear(step(1, 2, float("nan")))
    kept.hear(Progress(phase="validating", epoch=1, max_epochs=3, step=1, steps=1, loss=9.0))  # no step of training
    clock.now = 5.0
    kept.look()
    kept.close()
    found = read(tmp_path / HISTORY)
    assert (found.steps.epoch, found.steps.step, found.steps.loss[0]) == ([1, 1], [1, 2], 2.5)
    assert found.usage.at_s == [5.0] and found.usage.memory_bytes == [1000] and found.usage.gpu_busy == [None]


def test_a_run_however_long_keeps_a_bounded_number_at_even_distances():
    rows = Thinned([], most=100)
    for number in range(10_000):
        rows.add((number,))
    kept = [row[0] for row in rows.rows]
    assert 50 <= len(kept) <= 100
    gaps = {later - earlier for earlier, later in pairwise(kept)}
    assert max(gaps) <= 2 * rows.every and kept[-1] > 10_000 - 2 * rows.every


def test_an_attempt_that_goes_on_forgets_what_it_trains_anew_and_a_fresh_one_all(tmp_path, clock):
    first = diary(tmp_path, clock)
    for epoch in (1, 2):
        for one in (4, 8):
            first.hear(step(epoch, one))
    first.hear(step(1, 3, part="teacher"))
    first.close()
    second = diary(tmp_path, clock)
    second.hear(Started(**STARTED, resumed_epoch=2, resumed_step=5))
    second.close()
    found = read(tmp_path / HISTORY).steps
    assert list(zip(found.part, found.epoch, found.step, strict=True)) == [
        ("run", 1, 4), ("run", 1, 8), ("run", 2, 4), ("teacher", 1, 3),
    ]  # fmt: skip
    third = diary(tmp_path, clock)
    third.hear(Started(**STARTED))
    third.close()
    assert read(tmp_path / HISTORY).steps.part == ["teacher"]


def test_it_writes_now_and_then_and_not_at_each_moment(tmp_path, clock, monkeypatch):
    written = []
    monkeypatch.setattr(
        Diary, "write", lambda self: written.append(clock.now) or setattr(self, "_next_write", clock.now + 2)
    )
    kept = diary(tmp_path, clock)
    for tick in range(100):
        clock.now = tick / 10
        kept.hear(step(1, tick + 1))
        kept.look()
    assert len(written) == 5


@pytest.mark.parametrize("content", [b"", b"{", b'{"steps": {"part": ["x"]}}', b"\xff"])
def test_a_history_that_cannot_be_read_is_an_empty_one(tmp_path, clock, content):
    (tmp_path / HISTORY).write_bytes(content)
    assert not diary(tmp_path, clock)._steps.rows


def test_a_folder_that_is_gone_is_neither_an_error_nor_made_again(tmp_path, clock):
    kept = diary(tmp_path / "gone", clock)
    kept.hear(step(1, 1))
    kept.close()
    RunLog(tmp_path / "gone").write("words")
    assert not (tmp_path / "gone").exists()


def test_a_log_keeps_its_newest_lines_and_no_folders_or_secrets(tmp_path):
    log = RunLog(tmp_path, limit=2_000)
    log.write("loaded /home/ada/secret/net.py with token=abcdef123456")
    assert (tmp_path / LOG).read_text() == "loaded net.py with token=***\n"
    for number in range(500):
        log.write(f"line {number}")
    lines = (tmp_path / LOG).read_text().splitlines()
    assert (tmp_path / LOG).stat().st_size <= 2_000
    assert lines[-1] == "line 499" and lines[0].startswith("line ")


def test_a_process_is_sampled_from_proc(tmp_path, clock):
    tick = os.sysconf("SC_CLK_TCK")
    own = tmp_path / "7"
    own.mkdir()
    (own / "statm").write_text("100 25 3 1 0 9 0")

    def at(*, user: int, idle: int, busy: int) -> None:
        (own / "stat").write_text(f"7 (a ) b) S {' '.join(['1'] * 10)} {user} 0 0 0 20 0")
        (tmp_path / "stat").write_text(f"cpu {busy} 0 0 {idle} 0 0 0 0 0 0\ncpu0 1\n")

    at(user=0, idle=0, busy=0)
    usage = ProcessUsage(7, proc=tmp_path, clock=clock)
    clock.now = 2.0
    at(user=3 * tick, idle=300, busy=100)
    found = usage.sample()
    assert found.cpu_cores == pytest.approx(3 / 2)  # three seconds of work in two
    assert found.machine_busy == pytest.approx(100 / 400)
    assert found.memory_bytes == 25 * os.sysconf("SC_PAGE_SIZE")
    (own / "stat").unlink()
    (own / "statm").unlink()
    gone = usage.sample()
    assert gone.cpu_cores is None and gone.memory_bytes is None


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        ("37, 2048\n", (0.37, 2048 * 2**20)),
        ("[N/A], 12", (None, 12 * 2**20)),
        ("", (None, None)),
        ("x\ny", (None, None)),
    ],
)
def test_a_gpu_s_load_is_read_as_far_as_it_is_told(answer, expected):
    assert gpu_load(answer) == expected


def test_a_history_is_strict_json(tmp_path, clock):
    kept = diary(tmp_path, clock)
    kept.hear(step(1, 1, float("inf")))
    kept.close()
    json.loads((tmp_path / HISTORY).read_text(), parse_constant=lambda name: pytest.fail(name))


def test_the_bound_is_the_one_that_is_promised():
    assert diaries.MOST == 2_000
