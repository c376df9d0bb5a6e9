"""One run from claim to end: start its trainer, relay its events, keep its lease, stop it when asked.

The supervisor is a thread that waits; all work is in the trainer's process. A run's end is written
only when that process and its group are gone.
"""

from __future__ import annotations

import logging
import queue
import threading
import time
from pathlib import Path

from backend.store.lifecycle import Claim, Lifecycle
from core.errors import (
    BundleBusy,
    BundleCorrupt,
    DatabaseDown,
    HomeUnusable,
    LeaseLost,
    RunFolderGone,
    SpikefrontError,
    StorageFull,
)
from core.run_folder import is_held, take_over
from core.schemas.results import Event, Failed, Finished
from core.schemas.run import RunState
from worker.ending import TRAINER_REFUSED, TRAINER_SILENT, End, Ending, died, failed
from worker.options import Options
from worker.reporter import Reporter
from worker.room import Room
from worker.standby import Standby
from worker.trainer_process import Trainer

log = logging.getLogger("spikefront.supervisor")

EXIT_INTERRUPTED = 75  # the trainer's own: stopped on request, a checkpoint is kept
LOOK_S = 0.2  # how long one wait for an event lasts
BEAT_S = 0.7  # lease and cancel are one statement, so both are looked after this often
GRACE_S = 10.0  # from SIGTERM to SIGKILL: the time for one step and a checkpoint
START_LIMIT_S = 300.0  # for loading the engine, on a machine that is swapping
BUSY_LIMIT_S = 60.0  # of waiting for a former owner's trainer; then the slot is for another run
BUSY_PAUSE_S = 2.0  # between two looks at its folder
AWAY = Ending(end=End.RELEASED, code=BundleBusy.code, pause_s=30.0)  # its folder stayed busy
#: Faults of the place that runs are written to, or of this one's folder.
STORAGE = (StorageFull.code, HomeUnusable.code, RunFolderGone.code)
WRITE_LIMIT_S, WRITE_LIMIT_STOPPING_S = 120.0, 3.0


class Supervisor:
    """Holds up to `options.slots` runs, each in the thread that calls `run`."""

    def __init__(
        self,
        lifecycle: Lifecycle,
        *,
        name: str,
        options: Options,
        standby: Standby,
        data: Path,
        stopping: threading.Event,
        grace_s: float = GRACE_S,
    ) -> None:
        self._lifecycle = lifecycle
        self._name = name
        self._options = options
        self._standby = standby
        self._data = data
        self._stopping = stopping
        self.room = Room(lifecycle, data=data, stopping=stopping)
        self._grace_s = grace_s
        self._devices: queue.SimpleQueue[str | None] = queue.SimpleQueue()
        for device in options.devices:
            self._devices.put(device)
        self._lock = threading.Lock()
        self.busy = 0  # slots in use
        self.messages = 0  # messages taken so far, the dropped ones too

    def run(self, run_id: str) -> None:
        """Train the run if it is queued; a message for any other run is dropped. Raises nothing that a run can cause."""
        with self._lock:
            self.messages += 1
            self.busy += 1
        device = self._devices.get()
        try:
            self._run(run_id, device)
        finally:
            self._devices.put(device)
            with self._lock:
                self.busy -= 1

    def _run(self, run_id: str, device: str | None) -> None:
        if self._stopping.is_set():
            return  # still queued: another worker, or this one's successor, takes it
        try:
            if not self.room.wait(run_id):
                return
            claim = self._lifecycle.claim(run_id, worker=self._name, lease_s=self._options.lease_s)
        except SpikefrontError as error:  # the reaper sends it again
            log.error("run.not_claimed", extra={"run_id": run_id, "why": error.message})
            return
        if claim is None:
            log.info("run.dropped", extra={"run_id": run_id})
            return
        ending = self._weigh(claim, self._supervise(claim, device))
        log.info(
            "run.ended", extra={"run_id": run_id, "attempt": claim.attempt, "end": ending.end, "code": ending.code}
        )
        self._settle(claim, ending)

    def _supervise(self, claim: Claim, device: str | None) -> Ending:
        """One trainer, once no former owner's holds the folder; again while there is one after all."""
        until = time.monotonic() + BUSY_LIMIT_S
        try:
            while True:
                ending = self._wait_for_folder(claim, until=until) or self._attempt(claim, device)
                if ending.code != BundleBusy.code or ending.end is End.RELEASED:
                    return ending
                if time.monotonic() > until or not self._pause(claim):
                    return AWAY
        except LeaseLost:
            return Ending(end=End.LEASE_LOST)
        except SpikefrontError as error:
            return failed(code=error.code, message=error.message, fields=error.fields)
        except Exception as error:  # our own fault; the run must not stay `running` for it
            log.exception("supervisor.broken", extra={"run_id": claim.run_id})
            return failed(code="internal", message=f"The worker failed on this run ({type(error).__name__}).")

    def _wait_for_folder(self, claim: Claim, *, until: float) -> Ending | None:
        """None once the folder is ours. A trainer of an earlier attempt, whose worker stands still, is asked to go."""
        take_over(claim.out, claim.attempt)
        while is_held(claim.out):
            if time.monotonic() > until:
                return AWAY
            if not self._pause(claim):
                return Ending(end=End.RELEASED)  # one being cancelled is cancelled by it
        return None

    def _weigh(self, claim: Claim, ending: Ending) -> Ending:
        """A run that failed for want of a place to write is given back, if the next one would fail like it."""
        if ending.code == TRAINER_REFUSED:
            self.room.trouble(ending.message)
        elif ending.end is End.FAILED and ending.code in STORAGE:
            why = self.room.lack(claim.config)
            if why is not None or ending.code == StorageFull.code:
                self.room.trouble(why or ending.message)
                return Ending(end=End.RELEASED, code=ending.code)
        elif ending.end is not End.RELEASED:
            self.room.well()
        return ending

    def _pause(self, claim: Claim) -> bool:
        """Wait with the lease kept; False when the run was cancelled or the worker stops."""
        until = time.monotonic() + BUSY_PAUSE_S
        while time.monotonic() < until:
            if self._stopping.wait(LOOK_S) or self._beat(claim) is RunState.CANCELLING:
                return False
        return True

    def _attempt(self, claim: Claim, device: str | None) -> Ending:
        try:
            trainer = self._standby.take(device)
        except OSError as error:
            message = f"A trainer could not be started: {error.strerror}."
            return Ending(end=End.RELEASED, code=TRAINER_REFUSED, message=message)
        log.info("run.trainer", extra={"run_id": claim.run_id, "pid": trainer.pid, "was_ready": trainer.is_ready})
        try:
            trainer.begin(
                config=claim.config,
                out=claim.out,
                data=self._data,
                threads=self._options.threads,
                device=self._options.device_kind,
                teacher=claim.teacher,
                attempt=claim.attempt,
            )
            return _Watch(self, claim, trainer).until_gone()
        finally:
            trainer.end(grace_s=0.0)  # on every way out; a trainer that has ended does not mind

    def _beat(self, claim: Claim) -> RunState | None:
        """Renew the lease; the run's state, or None while the database is away. Raises LeaseLost."""
        try:
            return self._lifecycle.heartbeat(claim, lease_s=self._options.lease_s)
        except (DatabaseDown, StorageFull) as error:
            # Training goes on: with the database away nobody else can take the run either.
            log.warning("heartbeat.missed", extra={"run_id": claim.run_id, "why": error.code})
            return None

    def _settle(self, claim: Claim, ending: Ending) -> None:
        """Write the end; when the database stays away the lease runs out, and a finished bundle is found again."""
        until = time.monotonic() + WRITE_LIMIT_S
        while True:
            try:
                self._write(claim, ending)
                return
            except LeaseLost:
                log.warning("run.lease_lost", extra={"run_id": claim.run_id, "attempt": claim.attempt})
                return
            except BundleCorrupt as error:
                ending = failed(code=error.code, message=error.message, fields=error.fields)
            except (DatabaseDown, StorageFull) as error:
                if isinstance(error, StorageFull):
                    until = time.monotonic() + WRITE_LIMIT_S  # nobody else could write either: wait for room
                if self._stopping.is_set():
                    until = min(until, time.monotonic() + WRITE_LIMIT_STOPPING_S)
                if time.monotonic() > until:
                    log.error("run.end_unwritten", extra={"run_id": claim.run_id, "why": error.code})
                    return
                time.sleep(1.0)

    def _write(self, claim: Claim, ending: Ending) -> None:
        if ending.end is End.SUCCEEDED:
            self._lifecycle.succeed(claim, ending.summary)
        elif ending.end is End.FAILED:
            self._lifecycle.fail(claim, code=ending.code, message=ending.message, fields=ending.fields)
        elif ending.end is End.CANCELLED:
            self._lifecycle.cancelled(claim)
        elif ending.end is End.RELEASED:
            self._lifecycle.release(claim, pause_s=ending.pause_s)
        elif ending.end is End.LOST:
            self._lifecycle.lose(claim, code=ending.code, message=ending.message, fields=ending.fields)
        else:
            raise LeaseLost(run_id=claim.run_id, attempt=claim.attempt)


class _Watch:
    """What is known of one trainer while it runs."""

    def __init__(self, supervisor: Supervisor, claim: Claim, trainer: Trainer) -> None:
        self._supervisor = supervisor
        self._claim = claim
        self._trainer = trainer
        self._reporter = Reporter(supervisor._lifecycle, claim)
        self._finished: Finished | None = None
        self._failed: Failed | None = None
        self._asked: End | None = None  # why we asked it to stop: cancelled or released
        self._heard = False

    def until_gone(self) -> Ending:
        """Relay events until the process has ended, by itself or because it was asked. Raises LeaseLost."""
        supervisor, trainer = self._supervisor, self._trainer
        next_beat, kill_at = 0.0, float("inf")
        while trainer.exit_status is None:
            event = trainer.next_event(timeout_s=LOOK_S)
            if event is not None:
                self._take(event)
            self._reporter.flush()
            now = time.monotonic()
            if now >= next_beat:
                next_beat = now + BEAT_S
                state = supervisor._beat(self._claim)
                if state is RunState.CANCELLING and self._asked is not End.CANCELLED:
                    kill_at = min(kill_at, self._ask(End.CANCELLED))
            if supervisor._stopping.is_set() and self._asked is None:
                kill_at = self._ask(End.RELEASED)
            if now >= kill_at:
                log.warning("trainer.killed", extra={"run_id": self._claim.run_id, "pid": trainer.pid})
                break
            if not self._heard and not trainer.is_ready and now - trainer.started > START_LIMIT_S:
                trainer.end(grace_s=0.0)
                message = f"The trainer did not start within {START_LIMIT_S:.0f} s."
                return Ending(end=End.LOST, code=TRAINER_SILENT, message=message)
        status = trainer.end(grace_s=0.0)
        for event in trainer.remaining_events():
            self._take(event)
        self._reporter.flush()
        return self._judge(status)

    def _ask(self, why: End) -> float:
        """Ask it to stop; the moment at which patience ends."""
        log.info("run.stopping", extra={"run_id": self._claim.run_id, "why": str(why)})
        self._asked = why
        self._trainer.ask_to_stop()
        return time.monotonic() + self._supervisor._grace_s

    def _take(self, event: Event) -> None:
        self._heard = True
        if isinstance(event, Finished):
            self._finished = event
        elif isinstance(event, Failed):
            # After we asked, a failure is only the way in which it stopped.
            self._failed = self._failed or (event if self._asked is None else None)
        else:
            self._reporter.report(event)

    def _judge(self, status: int) -> Ending:
        """A run that ended before a stop reached it keeps its own end."""
        if self._finished is not None:
            if status != 0:  # the bundle was complete before the event was printed
                log.warning("trainer.bad_exit", extra={"run_id": self._claim.run_id, "status": status})
            return Ending(end=End.SUCCEEDED, summary=self._finished.summary)
        if self._failed is not None:
            return failed(code=self._failed.code, message=self._failed.message, fields=self._failed.fields)
        if self._asked is not None:
            return Ending(end=self._asked)
        if status == EXIT_INTERRUPTED:  # somebody else's SIGTERM, as when the machine shuts down
            return Ending(end=End.RELEASED)
        return died(status, self._trainer.last_words(), while_starting=not self._heard)
