"""A trainer that gets little of the machine is waited for; one that hangs is not."""

from __future__ import annotations

import sys

import pytest

from core.host.child_env import child_env
from core.host.usage import ProcessUsage
from worker.start import LEAST_CPU_S, MOST_CPU_S, STILL_S, Start
from worker.trainer_process import Trainer


class Machine:
    """A watch and what one process has computed."""

    def __init__(self) -> None:
        self.now, self.cpu_s = 0.0, 0.0

    def start(self) -> Start:
        return Start(cpu_s=lambda: self.cpu_s, clock=lambda: self.now)


@pytest.fixture
def machine() -> Machine:
    return Machine()


def test_one_that_computes_a_little_now_and_then_may_take_an_hour(machine):
    start = machine.start()
    while machine.now < 3600:
        machine.now += STILL_S - 1
        machine.cpu_s += LEAST_CPU_S
        assert start.hung() is None


def test_one_that_waits_for_something_is_given_up(machine):
    start = machine.start()
    machine.now, machine.cpu_s = 60.0, 3.0
    assert start.hung() is None
    machine.now = 60.0 + STILL_S
    assert start.hung() is None
    machine.now += 1
    assert "for 300 s it did nothing" in start.hung()


def test_one_that_computes_without_end_is_given_up(machine):
    start = machine.start()
    machine.now = machine.cpu_s = MOST_CPU_S + 1
    assert "computed for 301 s" in start.hung()


def test_where_the_system_does_not_tell_the_time_that_passes_counts(machine):
    machine.cpu_s = None
    start = machine.start()
    machine.now = STILL_S
    assert start.hung() is None
    machine.now += 1
    assert "did not start" in start.hung()


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="asks /proc")
def test_what_a_trainer_computes_is_known_from_its_first_moment():
    spin = "t = 0\nwhile t < 10**9: t += 1"
    trainer = Trainer(env=child_env(threads=1, device=None), argv=[sys.executable, "-S", "-c", spin])
    try:
        usage = ProcessUsage(trainer.pid)
        while (usage.cpu_s() or 0.0) < 3 * LEAST_CPU_S:
            assert trainer.exit_status is None
    finally:
        trainer.end(grace_s=0.0)
