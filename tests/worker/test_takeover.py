"""A worker that stands still loses its run to another one, and the run loses nothing."""

from __future__ import annotations

import os
import signal
import time

import pytest
from sqlalchemy import select

from backend.store.models import RunEventRow, RunRow
from core.schemas.run import RunState


def resumed(site, run_id: str) -> dict[str, int]:
    """Where the newest trainer of the run began."""
    with site.context.database.read() as session:
        started = select(RunEventRow.payload).where(RunEventRow.run_id == run_id, RunEventRow.type == "started")
        (payload,) = session.scalars(started)
        return {name: payload[name] for name in ("resumed_epoch", "resumed_step")}


def epochs(site, run_id: str) -> list[int]:
    with site.context.database.read() as session:
        return list(
            session.scalars(
                select(RunEventRow.epoch)
                .where(RunEventRow.run_id == run_id, RunEventRow.type == "epoch")
                .order_by(RunEventRow.epoch)
            )
        )


def losses(site, run_id: str) -> int:
    with site.context.database.read() as session:
        return session.get_one(RunRow, run_id).losses


@pytest.mark.parametrize("whole", [False, True], ids=["worker", "worker-and-trainer"])
def test_a_run_of_a_worker_that_stands_still_goes_on_with_another(site, tools, whole):
    first = site.start_worker()
    run_id = site.submit(**tools.long)
    site.wait_epoch(run_id, 3)
    stopped = [first.pid, *([site.trainer_pid(run_id)] if whole else [])]
    for pid in stopped:
        os.kill(pid, signal.SIGSTOP)
    site.start_worker()
    tools.until("the second has it", lambda: site.run(run_id).attempt == 2, timeout_s=40)
    if whole:  # a trainer that stands still holds the folder: it cannot be asked
        assert site.run(run_id).state is RunState.RUNNING
        for pid in stopped:
            os.kill(pid, signal.SIGCONT)
    tools.until("its trainer runs", lambda: "run.trainer" in site.log(1), timeout_s=40)
    before = site.run(run_id).progress.epoch
    tools.until("it trains on", lambda: site.run(run_id).progress.epoch > before, timeout_s=40)
    assert resumed(site, run_id)["resumed_epoch"] >= 3
    if not whole:
        os.kill(first.pid, signal.SIGCONT)
    tools.until("the first has noticed", lambda: "run.lease_lost" in site.log(0), timeout_s=20)
    run = site.run(run_id)
    assert (run.state, run.attempt, run.error) == (RunState.RUNNING, 2, None)
    assert losses(site, run_id) == 1
    # also those that the trainer told to a worker that did not listen
    tools.until("readers have every epoch", lambda: epochs(site, run_id)[:5] == [1, 2, 3, 4, 5], timeout_s=30)
    site.context.lifecycle.cancel(run_id)
    site.wait(run_id, RunState.CANCELLED)


def test_a_worker_that_stood_still_alone_keeps_its_run(site, tools):
    worker = site.start_worker()
    run_id = site.submit(**tools.long)
    site.wait_epoch(run_id, 2)
    os.kill(worker.pid, signal.SIGSTOP)
    time.sleep(6 * tools.lease_s)  # longer than a reaper that looks may be away
    os.kill(worker.pid, signal.SIGCONT)
    epoch = site.run(run_id).progress.epoch
    tools.until("it trains on", lambda: site.run(run_id).progress.epoch > epoch, timeout_s=40)
    assert (site.run(run_id).attempt, losses(site, run_id)) == (1, 0)
    assert resumed(site, run_id)["resumed_epoch"] is None
