"""The faults themselves. Each is a real one: signals, a file system without room, a server that ends its sessions."""

from __future__ import annotations

import os
import signal
import sqlite3
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field

from celery import Celery
from sqlalchemy import text

from backend.store.queue import FORMER_TASK, TASK, transport_options
from benchmarks.chaos.installation import API, BROKER, MOVED, UP, WORKERS, Installation, Seen
from benchmarks.chaos.machine import holders
from benchmarks.chaos.plan import Fault, Hit

MOST_LOSSES = 2  # a run that lost more is given up, as it should be: the storm spares it instead


@dataclass(kw_only=True)
class Struck:
    """What a fault met. `over` ends what lasts, `until` is when."""

    runs: list[Seen] = field(default_factory=list)
    until: float = 0.0
    over: Callable[[], None] = lambda: None


class Hits:
    """Strikes an installation; None where what a fault needs is not there at this moment."""

    def __init__(self, made: Installation, doomed: Callable[[str], bool]) -> None:
        self._made = made
        self._doomed = doomed  # runs that are meant to fail
        self._locked: sqlite3.Connection | None = None
        self._stopped: set[str] = set()
        self._full = False

    def possible(self) -> tuple[list[Hit], dict[Hit, str]]:
        """Kinds that this installation can be struck by; why not the others."""
        made = self._made
        without: dict[Hit, str] = {}
        if made.disk is None:
            without[Hit.DISK] = "only root can mount a small file system"
        if made.clock is None:
            without[Hit.CLOCK] = "there is no C compiler"
        if not made.own_broker:
            without[Hit.BROKER] = "the broker is not the storm's own"
        if made.as_up:
            without[Hit.CUT] = "SQLite has no connections to cut; it is locked instead"
        else:
            without[Hit.UP] = "its parts are started one by one"
            without[Hit.LOCK] = "PostgreSQL has no lock of the whole database; its connections are cut instead"
        return [hit for hit in Hit if hit not in without], without

    @staticmethod
    def kill(pid: int) -> None:
        """SIGKILL, as the kernel sends it when memory runs out."""
        _send(pid, signal.SIGKILL)

    def strike(self, fault: Fault, runs: dict[str, Seen]) -> Struck | None:
        return getattr(self, f"_{fault.hit.name.lower()}")(fault, runs)

    def _trainer(self, fault: Fault, runs: dict[str, Seen]) -> Struck | None:
        found = holders(self._made.settings.home / "runs")
        there = [runs[run_id] for run_id in sorted(found) if run_id in runs and not self._doomed(run_id)]
        open_to = [run for run in there if self._may_lose(run)]
        if not open_to:
            return None
        run = open_to[int(fault.pick * len(open_to))]
        self.kill(found[run.id])
        return Struck(runs=[run])

    def _worker(self, fault: Fault, runs: dict[str, Seen]) -> Struck | None:
        name, pid = self._a_worker(fault, runs)
        if pid is None or name in self._stopped:
            return None
        hit = self._made.held_by(pid, runs)
        self.kill(pid)
        return Struck(runs=hit)

    def _api(self, fault: Fault, runs: dict[str, Seen]) -> Struck | None:
        return self._kill_part(API)

    def _broker(self, fault: Fault, runs: dict[str, Seen]) -> Struck | None:
        return self._kill_part(BROKER)

    def _up(self, fault: Fault, runs: dict[str, Seen]) -> Struck | None:
        return None if WORKERS[0] in self._stopped else self._kill_part(UP)

    def _kill_part(self, name: str) -> Struck | None:
        pid = self._made.pid(name)
        if pid is None:
            return None
        self.kill(pid)
        return Struck()

    def _cut(self, fault: Fault, runs: dict[str, Seen]) -> Struck | None:
        """By the server, as its administrator or a fail-over does it."""
        end = text(
            "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity "
            "WHERE datname = current_database() AND pid <> pg_backend_pid()"
        )
        with self._made.engine.connect() as connection:
            return Struck(runs=_training(runs)) if connection.execute(end).scalar_one() else None

    def _lock(self, fault: Fault, runs: dict[str, Seen]) -> Struck | None:
        """Somebody else writes to the file, as a backup or a shell does that was left open."""
        if self._locked is not None:
            return None
        connection = sqlite3.connect(self._made.home / "spikefront.db", timeout=0.1, isolation_level=None)
        try:
            connection.execute("BEGIN IMMEDIATE")
        except sqlite3.OperationalError:  # just being written to
            connection.close()
            return None
        self._locked = connection

        def over() -> None:
            connection.rollback()
            connection.close()
            self._locked = None

        return Struck(runs=_training(runs), until=time.monotonic() + fault.hold_s, over=over)

    def _stall(self, fault: Fault, runs: dict[str, Seen]) -> Struck | None:
        """SIGSTOP; the other worker takes over what it held, and it wakes up to find that out."""
        name, pid = self._a_worker(fault, runs)
        if pid is None or self._stopped:  # one of the two has to go on
            return None
        hit = self._made.held_by(pid, runs)
        found = holders(self._made.settings.home / "runs") if fault.whole else {}
        stopped = [pid, *(found[run.id] for run in hit if run.id in found)]
        for one in stopped:
            _send(one, signal.SIGSTOP)
        self._stopped.add(name)

        def over() -> None:
            for one in stopped:
                _send(one, signal.SIGCONT)
            self._stopped.discard(name)

        return Struck(runs=hit, until=time.monotonic() + fault.hold_s, over=over)

    def _disk(self, fault: Fault, runs: dict[str, Seen]) -> Struck | None:
        if self._full or self._made.disk is None:
            return None
        self._full = True
        self._made.disk.fill()

        def over() -> None:
            self._made.disk.empty()
            self._full = False

        return Struck(runs=_training(runs), until=time.monotonic() + fault.hold_s, over=over)

    def _double(self, fault: Fault, runs: dict[str, Seen]) -> Struck | None:
        """Eight bells where one belongs, and a run's id in two messages, as an earlier version sends it."""
        waiting = sorted(run.id for run in runs.values() if run.state in ("queued", "running"))
        if not waiting:
            return None
        settings = self._made.settings
        app = Celery("chaos", broker=settings.broker_url, set_as_current=False)
        app.conf.update(broker_transport_options=transport_options(settings), task_ignore_result=True)
        try:
            for _ in range(8):
                app.send_task(TASK, queue="cpu", retry=False)
            for _ in range(2):
                app.send_task(FORMER_TASK, args=[waiting[int(fault.pick * len(waiting))]], queue="cpu", retry=False)
        except Exception:  # noqa: BLE001  the broker is away just now, in whichever words
            return None
        finally:
            app.close()
        return Struck()

    def _clock(self, fault: Fault, runs: dict[str, Seen]) -> Struck | None:
        """It stays set until the next time."""
        if self._made.clock is None or self._made.pid(MOVED) is None:
            return None
        self._made.clock.set(fault.clock_s)
        return Struck(runs=self._made.held_by(self._made.pid(MOVED), runs))

    # Parts

    def _a_worker(self, fault: Fault, runs: dict[str, Seen]) -> tuple[str, int | None]:
        """One whose runs may all lose an attempt, of those that hold any if there is one."""
        made = self._made
        there = [(name, pid) for name in WORKERS if (pid := made.pid(name)) is not None]
        open_to = [(name, pid) for name, pid in there if all(map(self._may_lose, made.held_by(pid, runs)))]
        busy = [(name, pid) for name, pid in open_to if made.held_by(pid, runs)]
        among = busy or open_to
        return among[int(fault.pick * len(among))] if among else ("", None)

    def _may_lose(self, run: Seen) -> bool:
        return run.losses < MOST_LOSSES or self._doomed(run.id)


def _training(runs: dict[str, Seen]) -> list[Seen]:
    return [run for run in runs.values() if run.trains]


def _send(pid: int, number: signal.Signals) -> None:
    with suppress(ProcessLookupError):
        os.kill(pid, number)
