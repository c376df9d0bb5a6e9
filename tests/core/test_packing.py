"""What more threads and more runs bring is timed and said."""

from __future__ import annotations

import json

import pytest
from commands import called

from core.cli.commands import speed
from core.engine import packing
from core.errors import ServiceFailed
from core.schemas.workers import Offer, SpeedPoint


def test_each_number_up_to_four_is_tried_then_powers_of_two_and_the_last():
    assert packing.spread(1) == [1]
    assert packing.spread(3) == [1, 2, 3]
    assert packing.spread(12) == [1, 2, 3, 4, 8, 12]


def test_one_run_gets_all_threads_and_more_runs_the_threads_of_a_slot():
    assert packing.points(cores=2, slots=2, threads=1) == [(1, 1), (1, 2), (2, 1)]
    assert packing.points(cores=8, slots=2, threads=4) == [(1, 1), (1, 2), (1, 3), (1, 4), (1, 8), (2, 4)]


def test_the_command_times_runs_side_by_side(monkeypatch):
    monkeypatch.setattr(speed, "step_back", lambda: None)  # this process has other tests to run
    monkeypatch.setattr(
        packing, "points", lambda **_: [(1, 1), (2, 1)]
    )  # one run of two threads is timed as one of one
    said = called("speed", "--threads", "1", "--slots", "2", "--seconds", "0")
    assert said.returncode == 0, said.stderr
    found = json.loads(said.stdout)
    speeds = [SpeedPoint.model_validate(one) for one in found["speeds"]]
    assert (1, 1) in [(one.runs, one.threads) for one in speeds] and speeds[-1].runs == 2
    assert found["images_per_s"] == speeds[0].images_per_s > 0 and speeds[-1].images_per_s > 0


def test_a_run_that_does_not_come_up_beside_others_is_an_error(monkeypatch):
    monkeypatch.setattr(packing, "READY_S", 0.0)
    with pytest.raises(ServiceFailed, match="did not come up"):
        packing.measure("cpu", [(2, 1)], limit_s=0)


def test_the_sentence_names_threads_runs_and_what_packing_brings():
    def said(*points: tuple[int, int, float]) -> str | None:
        speeds = [SpeedPoint(runs=runs, threads=threads, images_per_s=rate) for runs, threads, rate in points]
        return Offer(device="cpu", threads=1, speeds=speeds).packing

    assert said() is None
    assert said((1, 1, 310.4)) == "One run: 310 images/s with 1 thread."
    assert said((1, 1, 300), (1, 2, 400), (2, 1, 600)) == (
        "One run: 300 images/s with 1 thread, 400 with 2. 2 runs of 1 thread: 600 together, 1.50 times the most of one run."
    )
