"""Many workers at one queue: how fast runs go through the database, and whether each goes through once.

64 workers of one slot each over 10,000 queued runs of one person, and one of another, which comes once all are at work.
The workers' own supervisors claim, keep leases, relay events and write the ends; in the place of trainers stand objects
that only keep the protocol: a start, three moments of progress, and that the run failed, since a success would need a
bundle. So this is the cost of the queue alone. Several workers share a process, and its connections to the database.

    python -m benchmarks.crowd [--small] [--json] [--runs N] [--workers N] [--processes N] [--database URL]
"""

from __future__ import annotations

import argparse
import json
import logging
import multiprocessing
import os
import tempfile
import threading
import time
from collections import Counter
from datetime import timedelta
from pathlib import Path
from typing import Any

from sqlalchemy import func, select

from backend.runs.new_runs import Wish, queued_row
from backend.store.db import Database, migrate, opened, utc_now
from backend.store.lifecycle import Lifecycle
from backend.store.models import RunEventRow, RunRow
from benchmarks.harness import machine
from core.host.usage import cpu_s
from core.recipes.build import build_config
from core.schemas.request import RunRequest
from core.schemas.results import Event, Failed, Progress, Started
from core.schemas.run import RunState
from core.schemas.training import TrainRequest
from core.settings import Settings, prepare_home
from worker.options import Options
from worker.standby import Standby
from worker.supervisor import Supervisor

LEASE_S = 60.0
AT_ONCE = 500
MANY, ONE = "ada", "grace"
MOMENTS: tuple[Event, ...] = (
    Started(device="cpu", n_train=1, n_validation=1, n_test=1, steps_per_epoch=3, max_epochs=1),
    *(Progress(epoch=1, step=step) for step in (1, 2, 3)),
    Failed(code="no-trainer", message="Only the protocol was kept."),
)


class Protocol:
    """What a supervisor asks of a trainer, without a process."""

    pid, is_ready = os.getpid(), True

    def __init__(self) -> None:
        self.started = time.monotonic()
        self.exit_status: int | None = None
        self._moments = list(MOMENTS)

    def begin(self, request: TrainRequest) -> None:
        request.out.mkdir(parents=True, exist_ok=True)

    def next_event(self, *, timeout_s: float) -> Event | None:
        event = self._moments.pop(0)
        if not self._moments:
            self.exit_status = 1
        return event

    def ask_to_stop(self) -> None:
        self.exit_status = 0

    def end(self, *, grace_s: float) -> int:
        return self.exit_status or 0

    def remaining_events(self) -> list[Event]:
        return []

    def last_words(self) -> list[str]:
        return []


def _workers(home: Path, url: str | None, names: list[str], begin: Any, end: Any) -> None:
    """One process: a supervisor and a thread a worker, until `end`."""
    logging.disable(logging.CRITICAL)
    settings = Settings(home=home, database_url_override=url)
    lifecycle, stopping = Lifecycle(settings), threading.Event()
    options = Options(queue="cpu", threads=1, devices=(None,), lease_s=LEASE_S, standby=False)
    workers = [
        Supervisor(
            lifecycle,
            name=name,
            options=options,
            standby=Standby(lambda _: Protocol(), devices=()),  # type: ignore[arg-type, return-value]
            data=settings.data,
            stopping=stopping,
        )
        for name in names
    ]
    for name, worker in zip(names, workers, strict=True):
        lifecycle.worker_seen(name, queue="cpu", slots=1, busy=0, offer=worker.ability.offer())
    begin.wait()
    for worker in workers:
        worker.start()
    while not end.wait(0.5):
        for worker in workers:
            worker.wake()  # the bell
    stopping.set()
    for worker in workers:
        worker.join()


def _queue(database: Database, n: int, person: str) -> list[str]:
    config, now = build_config(RunRequest(mask=["F9"], dataset="digits", recipe="smoke")), utc_now()
    ids: list[str] = []
    for first in range(0, n, AT_ONCE):
        with database.write() as session:
            for place in range(first, min(n, first + AT_ONCE)):
                one = config.model_copy(update={"seed": place})
                row = queued_row(one, Wish(submitter=person), now=now + timedelta(microseconds=place), place=place)
                session.add(row)
                ids.append(row.id)
    return ids


def _ended(database: Database) -> int:
    with database.read() as session:
        return session.scalar(select(func.count()).select_from(RunRow).where(RunRow.state == RunState.FAILED)) or 0


def measure(*, runs: int, workers: int, processes: int, database: str | None, limit_s: float) -> dict[str, Any]:
    with tempfile.TemporaryDirectory(prefix="sf-bench-", ignore_cleanup_errors=True) as room:
        settings = Settings(home=Path(room) / "home", database_url_override=database)
        prepare_home(settings)
        migrate(settings)
        store = opened(settings)
        _queue(store, runs, MANY)
        context = multiprocessing.get_context("spawn")
        begin, end = context.Event(), context.Event()
        names = [f"w{number:03}" for number in range(workers)]
        started = [
            context.Process(target=_workers, args=(settings.home, database, names[part::processes], begin, end))
            for part in range(processes)
        ]
        for process in started:
            process.start()
        time.sleep(10)  # they load, and say what they can do
        before = {process.pid: cpu_s(process.pid) or 0.0 for process in started if process.pid is not None}
        begin.set()
        start = time.perf_counter()
        while _ended(store) < min(runs // 10, 10 * workers):
            time.sleep(0.05)
        ahead = _ended(store)
        (other,) = _queue(store, 1, ONE)
        asked = time.perf_counter()
        while _state(store, other) is RunState.QUEUED and time.perf_counter() - start < limit_s:
            time.sleep(0.01)
        waited, passed_by = time.perf_counter() - asked, _ended(store) - ahead
        while (done := _ended(store)) < runs + 1 and time.perf_counter() - start < limit_s:
            time.sleep(0.2)
        wall = time.perf_counter() - start
        spent = sum((cpu_s(pid) or 0.0) - was for pid, was in before.items())
        end.set()
        for process in started:
            process.join(60)
        found = _told(store)
        store.close()
    return {
        "machine": machine(), "store": "SQLite" if database is None else "PostgreSQL", "workers": workers,
        "processes": processes, "runs": runs + 1, "ended": done, "wall_s": round(wall, 1),
        "runs_per_s": round(done / wall, 1), "cpu_ms_of_workers_a_run": round(spent / done * 1e3, 1),
        "another_person_waited_s": round(waited, 2), "runs_that_ended_meanwhile": passed_by, **found,
    }  # fmt: skip


def _state(database: Database, run_id: str) -> RunState:
    with database.read() as session:
        return RunState(session.get_one(RunRow, run_id).state)


def _told(database: Database) -> dict[str, int]:
    """Whether each was claimed and ended once; workers that had a share."""
    with database.read() as session:
        attempts = Counter(session.scalars(select(RunRow.attempt)))
        ends = session.execute(
            select(RunEventRow.run_id, func.count())
            .where(RunEventRow.type == "state", RunEventRow.payload["state"].as_string() == RunState.FAILED)
            .group_by(RunEventRow.run_id)
        ).all()
        had_one = session.scalar(select(func.count(func.distinct(RunRow.worker)))) or 0
    return {
        "without_an_end": attempts.total() - len(ends),
        "claimed_more_than_once": sum(n for attempt, n in attempts.items() if attempt > 1),
        "ended_more_than_once": sum(n > 1 for _, n in ends),
        "workers_that_had_a_run": had_one,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--small", action="store_true", help="8 workers, 200 runs")
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--runs", type=int)
    parser.add_argument("--workers", type=int)
    parser.add_argument("--processes", type=int, default=4)
    parser.add_argument("--database", help="postgresql://... of an empty database [default: SQLite]")
    parser.add_argument(
        "--limit", type=float, default=1800.0, metavar="SECONDS", help="what has not ended by then is told"
    )
    arguments = parser.parse_args()
    result = measure(
        runs=arguments.runs or (200 if arguments.small else 10_000),
        workers=arguments.workers or (8 if arguments.small else 64),
        processes=arguments.processes,
        database=arguments.database,
        limit_s=arguments.limit,
    )
    if arguments.json:
        print(json.dumps(result))
        return
    for name, value in result.items():
        print(f"{name:32} {value}")


if __name__ == "__main__":
    main()
