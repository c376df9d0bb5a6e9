"""One run from claim to end: start its trainer, relay its events, keep its lease, stop it when asked.

The supervisor is a thread that waits; all work is in the trainer's process. A run's end is written
only when that process and its group are gone.
"""

from __future__ import annotations

import logging
import threading
import time
from pathlib import Path

from backend.store.artifacts import Sends
from backend.store.lifecycle import Claim, Lifecycle
from core.errors import (
    ArtifactsDown,
    BundleBusy,
    BundleCorrupt,
    DatabaseDown,
    HomeUnusable,
    LeaseLost,
    RunFolderGone,
    SpikefrontError,
    StorageFull,
)
from core.host.usage import ProcessUsage
from core.run_folder import is_held, take_over
from core.schemas.results import Event, Failed, Finished, RunError
from core.schemas.run import RunState
from core.schemas.training import EXIT_INTERRUPTED, TrainRequest
from worker.ability import Ability
from worker.diary import Diary
from worker.ending import TRAINER_REFUSED, TRAINER_SILENT, End, Ending, died, failed
from worker.options import Options
from worker.reporter import Reporter
from worker.room import Room
from worker.standby import Standby
from worker.start import Start
from worker.trainer_process import Trainer
from worker.uploads import Uploads, meanwhile

log = logging.getLogger("spikefront.supervisor")

LOOK_S = 0.2  # how long one wait for an event lasts
BEAT_S = 0.7  # lease and cancel are one statement, so both are looked after this often
GRACE_S = 10.0  # from SIGTERM to SIGKILL: the time for one step and a checkpoint
BUSY_LIMIT_S = 60.0  # of waiting for a former owner's trainer; then the slot is for another run
BUSY_PAUSE_S = 2.0  # between two looks at its folder
AWAY = Ending(end=End.RELEASED, error=RunError(code=BundleBusy.code, message="Its folder stayed busy."), pause_s=30.0)
#: Faults of the place that runs are written to, or of this one's folder.
STORAGE = (StorageFull.code, HomeUnusable.code, RunFolderGone.code, ArtifactsDown.code)
OVER = (End.SUCCEEDED, End.FAILED, End.CANCELLED)  # nobody goes on with it here
ROOM_LOOK_S = 2.0
WRITE_LIMIT_S, WRITE_LIMIT_STOPPING_S = 120.0, 3.0
UNSTORED = Ending(
    end=End.RELEASED, error=RunError(code=ArtifactsDown.code, message="Its bundle could not be stored."), pause_s=5.0
)


class Supervisor:
    """Holds up to `options.slots` runs, each in a thread of its own that claims one after the other."""

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
        self._artifacts = lifecycle.artifacts
        self.room = Room(lifecycle, data=data)
        self.ability = Ability(lifecycle, options=options, data=data)
        self._grace_s = grace_s
        self._slots: list[threading.Thread] = []
        self._claiming = threading.Lock()  # one slot at a time: the memory in use is counted in between
        self._bell = threading.Condition()
        self._rung = 0
        self._held: dict[str, Claim] = {}
        self._unsent: set[str] = set()  # of which the store has not all
        self.bells = 0  # from the broker so far

    @property
    def busy(self) -> int:
        """Slots in use."""
        return len(self._held)

    def start(self) -> None:
        """One thread a slot, until the worker stops."""
        for number, device in enumerate(self._options.devices, start=1):
            thread = threading.Thread(target=self._work, args=(device,), name=f"slot-{number}", daemon=True)
            self._slots.append(thread)
            thread.start()

    def join(self) -> None:
        """Until each slot has given its run back or come to its end; after the worker was told to stop."""
        for thread in self._slots:
            thread.join()

    def ring(self) -> None:
        """A bell from the broker."""
        self.bells += 1
        self.wake()

    def wake(self) -> None:
        """Something may wait: have a slot look that is free. While none is, each looks by itself when its run has ended."""
        with self._bell:
            self._rung = min(self._rung + 1, self._options.slots)
            self._bell.notify()

    def _work(self, device: str | None) -> None:
        while not self._stopping.is_set():
            if not self.run_next(device):
                self._wait()

    def _wait(self) -> None:
        """For a bell; while this worker is short of room it looks again by itself."""
        until = time.monotonic() + ROOM_LOOK_S if self.room.paused else float("inf")
        with self._bell:
            while not self._rung and not self._stopping.is_set() and time.monotonic() < until:
                self._bell.wait(LOOK_S)
            self._rung = max(0, self._rung - 1)

    def run_next(self, device: str | None = None) -> bool:
        """Claim the run whose turn it is and train it; False when there was none. Raises nothing that a run can cause."""
        try:
            with self._claiming:
                claim = None if self._stopping.is_set() else self._claim()
                if claim is None:
                    return False
                self._held[claim.run_id] = claim
        except SpikefrontError as error:  # asked again at the next bell, or at the next look of the upkeep
            log.error("run.not_claimed", extra={"why": error.message})
            return False
        self.wake()  # where one waited more may: a chain that wakes the other slots
        try:
            ending = self._weigh(claim, self._supervise(claim, device))
            extra = {"run_id": claim.run_id, "attempt": claim.attempt, "end": ending.end, "code": ending.code}
            log.info("run.ended", extra=extra)
            self._settle(claim, ending)
            if ending.end in OVER and claim.run_id not in self._unsent:
                self._artifacts.leave(claim.run_id)
        finally:
            self._unsent.discard(claim.run_id)
            del self._held[claim.run_id]
        return True

    def _claim(self) -> Claim | None:
        able = self.ability.able()
        found = self._lifecycle.next_run(able)
        if not self.room.holds(found):
            return None
        claim = self._lifecycle.claim(
            worker=self._name, lease_s=self._options.lease_s, able=able, free_bytes=self._free_bytes(), known=found
        )
        if claim is not None and claim.run_id != found[0] and (why := self.room.lack(claim.config)) is not None:
            self._lifecycle.release(claim)  # another worker was quicker, and for this one there is no room
            log.warning("run.waits", extra={"run_id": claim.run_id, "why": why})
            return None
        return claim

    def _free_bytes(self) -> int | None:
        """Memory that the runs here leave by their forecasts; a GPU is one run's, or was divided already."""
        if self._options.memory_bytes is None or self._options.device_kind == "cuda" or not self._held:
            return None
        held = list(self._held.values())  # a copy: another slot's run may end meanwhile
        return self._options.memory_bytes - sum(claim.memory_bytes for claim in held)

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
            return failed(RunError.of(error))
        except Exception as error:  # our own fault; the run must not stay `running` for it
            log.exception("supervisor.broken", extra={"run_id": claim.run_id})
            message = f"The worker failed on this run ({type(error).__name__})."
            return failed(RunError(code="internal", message=message))

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
            self.room.trouble(ending.error.message)
        elif ending.end is End.FAILED and ending.code in STORAGE:
            why = self.room.lack(claim.config)
            if why is not None or ending.code in (StorageFull.code, ArtifactsDown.code):
                self.room.trouble(why or ending.error.message)
                return Ending(end=End.RELEASED, error=ending.error)
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
        artifacts, config = self._artifacts, claim.config

        def bring() -> tuple[Sends | None, list[Path | None]]:
            sends = artifacts.bring(claim.run_id, claim.attempt)
            self.ability.fetch(config.dataset)
            named = (None if given is None else artifacts.whole(given.name) for given in (claim.teacher, claim.start))
            return sends, list(named)

        sends, wanted = meanwhile(bring, beat=lambda: self._beat(claim)) if artifacts.remote else bring()
        uploads = None if sends is None else Uploads(sends, run_id=claim.run_id)
        try:
            ending = self._train(claim, device, *wanted)
            return ending if uploads is None else self._send(claim, ending, uploads)
        finally:
            if uploads is not None:
                uploads.stop()

    def _send(self, claim: Claim, ending: Ending, uploads: Uploads) -> Ending:
        """Have in the store what the trainer has left. A run that has finished waits for a store that is away, as long as
        this worker lives; another is not held up for its last checkpoint."""
        self._unsent.add(claim.run_id)
        finished = ending.end is End.SUCCEEDED
        if uploads.finish(beat=lambda: self._beat(claim), stopping=self._stopping, patient=finished):
            self._unsent.discard(claim.run_id)
            return ending
        return UNSTORED if finished else ending

    def _train(self, claim: Claim, device: str | None, teacher: Path | None, start: Path | None) -> Ending:
        try:
            trainer = self._standby.take(device)
        except OSError as error:
            message = f"A trainer could not be started: {error.strerror}."
            return Ending(end=End.RELEASED, error=RunError(code=TRAINER_REFUSED, message=message))
        log.info("run.trainer", extra={"run_id": claim.run_id, "pid": trainer.pid, "was_ready": trainer.is_ready})
        try:
            trainer.begin(
                TrainRequest(
                    config=claim.stored,
                    out=claim.out,
                    data=self._data,
                    threads=self._options.threads,
                    device=self._options.device_kind,
                    teacher=teacher,
                    attempt=claim.attempt,
                    start=start,
                )
            )
            diary = Diary(claim.out, usage=ProcessUsage(trainer.pid, gpu=device))
            try:
                return _Watch(self, claim, trainer, diary).until_gone()
            finally:
                diary.close()
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
                ending = failed(RunError.of(error))
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
            self._lifecycle.fail(claim, ending.error)
        elif ending.end is End.CANCELLED:
            self._lifecycle.cancelled(claim)
        elif ending.end is End.RELEASED:
            self._lifecycle.release(claim, pause_s=ending.pause_s)
        elif ending.end is End.LOST:
            self._lifecycle.lose(claim, ending.error)
        else:
            raise LeaseLost(run_id=claim.run_id, attempt=claim.attempt)


class _Watch:
    """What is known of one trainer while it runs."""

    def __init__(self, supervisor: Supervisor, claim: Claim, trainer: Trainer, diary: Diary) -> None:
        self._supervisor = supervisor
        self._claim = claim
        self._trainer = trainer
        self._reporter = Reporter(supervisor._lifecycle, claim)
        self._diary = diary
        self._start = Start(cpu_s=ProcessUsage(trainer.pid).cpu_s)
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
            self._diary.look()
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
            if not self._heard and not trainer.is_ready and (why := self._start.hung()) is not None:
                trainer.end(grace_s=0.0)
                return Ending(end=End.LOST, error=RunError(code=TRAINER_SILENT, message=why))
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
            self._diary.hear(event)
            self._reporter.report(event)

    def _judge(self, status: int) -> Ending:
        """A run that ended before a stop reached it keeps its own end."""
        if self._finished is not None:
            if status != 0:  # the bundle was complete before the event was printed
                log.warning("trainer.bad_exit", extra={"run_id": self._claim.run_id, "status": status})
            return Ending(end=End.SUCCEEDED, summary=self._finished.summary)
        if self._failed is not None:
            return failed(self._failed.error)
        if self._asked is not None:
            return Ending(end=self._asked)
        if status == EXIT_INTERRUPTED:  # somebody else's SIGTERM, as when the machine shuts down
            return Ending(end=End.RELEASED)
        return died(status, self._trainer.last_words(), while_starting=not self._heard)
