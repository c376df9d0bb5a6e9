"""A run's moves from state to state. The database is the truth; a message on the queue is only a hint.

Every move is one UPDATE that names the state (and, for an owner, the attempt) it starts from; when no
row matches, another process moved first. Only the moves of `core.schemas.run.TRANSITIONS` exist. Every
move writes a `state` event in the same transaction, and always after the run's row was changed: the
row's lock then keeps one run's events in the order of their ids on every database.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from sqlalchemy import delete, func, select, update
from sqlalchemy.orm import Session

from backend.runs.identity import images_now
from backend.store.artifacts import Artifacts
from backend.store.db import Database, migrate, utc_now
from backend.store.models import RunEventRow, RunRow, WorkerRow
from backend.store.outcome import outcome
from core.errors import LeaseLost, NotFound, StateConflict
from core.schemas.base import Frozen
from core.schemas.results import EpochDone, Event, Progress, Started, Summary
from core.schemas.run import TRANSITIONS, RunConfig, RunState
from core.schemas.runs import RunError, RunProgress
from core.settings import Settings

log = logging.getLogger("spikefront.runs")

OWNED = (RunState.RUNNING, RunState.CANCELLING)  # the states in which an attempt holds a lease
WAITING = RunProgress(phase="waiting")
MAX_ATTEMPTS = 3
BIN_S = 24 * 3600.0  # how long a deleted run can be restored
WORKER_LATELY_S = 15.0  # three signs of life


@dataclass(frozen=True, kw_only=True)
class Claim:
    """A worker's hold on a run: `attempt` tells it apart from every other hold on the same run.

    `teacher` is the bundle of a run here that is the CNN twin which this one would train first.
    """

    run_id: str
    attempt: int
    config: RunConfig
    out: Path
    teacher: Path | None = None


@dataclass(frozen=True, kw_only=True)
class Reaped:
    """What one look for stale leases changed."""

    requeued: list[str]
    failed: list[str]
    cancelled: list[str]


def sources(to: RunState) -> list[RunState]:
    """The states from which TRANSITIONS allows a move to `to`."""
    return [state for state, targets in TRANSITIONS.items() if to in targets]


def move(
    session: Session,
    run_id: str,
    to: RunState,
    *,
    now: datetime,
    among: Iterable[RunState] | None = None,
    if_attempt: int | None = None,
    stale_at: datetime | None = None,
    **values: Any,
) -> bool:
    """Compare and swap: True when the run was in a state that may become `to` (and in `among`, if given).

    `if_attempt` asks for the owner's attempt, `stale_at` for a lease that had run out by then.
    """
    allowed = [state for state in sources(to) if among is None or state in among]
    statement = update(RunRow).where(RunRow.id == run_id, RunRow.state.in_(allowed))
    if if_attempt is not None:
        statement = statement.where(RunRow.attempt == if_attempt)
    if stale_at is not None:
        statement = statement.where(RunRow.lease_until < stale_at)
    if to.is_final:
        values |= {"finished_at": now, "lease_until": None}
    done = session.execute(statement.values(state=to, **values)).rowcount == 1
    if done:
        add_state_event(session, run_id, to, now=now)
    return done


def add_state_event(session: Session, run_id: str, state: RunState, *, now: datetime) -> None:
    payload = {"type": "state", "state": str(state)}
    session.add(RunEventRow(run_id=run_id, type="state", payload=payload, created_at=now))
    session.flush()


def plain(model: Frozen) -> dict[str, Any]:
    """A model as strict JSON values: a NaN loss is the word "NaN", which databases and browsers can read."""
    return json.loads(model.model_dump_json())


class Lifecycle:
    """What a worker may do with runs; each method is one short transaction.

    Opens an engine of its own (never carry it over a fork) and brings the schema up to date. A late
    owner gets LeaseLost; a database that fails raises StorageFull or DatabaseDown, and nothing is changed.
    """

    def __init__(
        self, settings: Settings, *, database: Database | None = None, clock: Callable[[], datetime] = utc_now
    ) -> None:
        if database is None:
            migrate(settings)
        self._database = database or Database(settings.database_url)
        self._artifacts = Artifacts(settings)
        self._data = settings.data
        self._clock = clock

    def close(self) -> None:
        self._database.close()

    # An owner's moves

    def claim(self, run_id: str, *, worker: str, lease_s: float) -> Claim | None:
        """queued -> running, as the next attempt. None when the run is not queued, or another was quicker."""
        now = self._clock()
        with self._database.write() as session:
            row = session.get(RunRow, run_id)
            if row is None:
                return None
            attempt = row.attempt + 1
            moved = move(
                session,
                run_id,
                RunState.RUNNING,
                now=now,
                if_attempt=row.attempt,
                attempt=attempt,
                worker=worker,
                lease_until=now + timedelta(seconds=lease_s),
                started_at=row.started_at or now,
                progress=plain(RunProgress(phase="starting")),
            )
            if not moved:
                return None
            config = RunConfig.model_validate(row.config)
            teacher = self._teacher(session, config)
        log.info("run.claimed", extra={"run_id": run_id, "attempt": attempt, "worker": worker})
        return Claim(run_id=run_id, attempt=attempt, config=config, out=self._artifacts.folder(run_id), teacher=teacher)

    def heartbeat(self, claim: Claim, *, lease_s: float) -> RunState:
        """Renew the lease; the answer is `running`, or `cancelling` when the owner shall stop."""
        with self._database.write() as session:
            self._owned(session, claim, lease_until=self._clock() + timedelta(seconds=lease_s))
            return RunState(session.scalars(select(RunRow.state).where(RunRow.id == claim.run_id)).one())

    def record(self, claim: Claim, event: Event) -> None:
        """Keep an event for readers. Of progress only the newest stays; an epoch replaces its older self.

        Epochs of a teacher are no epochs of the run: only its progress is kept.
        Finished and failed events are left to `succeed` and `fail`, which move the run as well.
        """
        if not isinstance(event, Started | Progress | EpochDone):
            return
        if isinstance(event, EpochDone) and event.part == "teacher":
            return
        payload = plain(event)
        progress: RunProgress | None = None
        if isinstance(event, Started):
            progress = RunProgress(
                phase="training",
                epoch=event.resumed_epoch or 1,
                max_epochs=event.max_epochs,
                step=event.resumed_step or 0,
                steps=event.steps_per_epoch,
                part=event.part,
            )
        elif isinstance(event, Progress):
            progress = RunProgress.model_validate(event.model_dump(exclude={"type"}))
        older = delete(RunEventRow).where(RunEventRow.run_id == claim.run_id, RunEventRow.type == event.type)
        epoch = event.epoch if isinstance(event, EpochDone) else None
        if epoch is not None:
            older = older.where(RunEventRow.epoch == epoch)
        with self._database.write() as session:
            self._owned(session, claim, **({"progress": plain(progress)} if progress else {}))
            session.execute(older)
            session.add(
                RunEventRow(
                    run_id=claim.run_id, type=event.type, epoch=epoch, payload=payload, created_at=self._clock()
                )
            )

    def succeed(self, claim: Claim, summary: Summary) -> None:
        """running | cancelling -> succeeded, with the tallies of every accounting mode from the bundle's counts.

        Raises BundleCorrupt, before anything is changed, when the bundle cannot be read.
        """
        values, tallies = outcome(claim.run_id, self._artifacts.bundle(claim.run_id), claim.config, summary)
        with self._database.write() as session:
            done = RunProgress(phase="done", epoch=summary.epochs_run, max_epochs=claim.config.training.max_epochs)
            self._end(session, claim, RunState.SUCCEEDED, progress=plain(done), error=None, **values)
            session.add_all(tallies)
        log.info("run.succeeded", extra={"run_id": claim.run_id, "attempt": claim.attempt})

    def fail(self, claim: Claim, *, code: str, message: str, fields: dict[str, Any] | None = None) -> None:
        """running | cancelling -> failed."""
        error = plain(RunError(code=code, message=message, fields=fields or {}))
        with self._database.write() as session:
            self._end(session, claim, RunState.FAILED, error=error)
        log.info("run.failed", extra={"run_id": claim.run_id, "attempt": claim.attempt, "code": code})

    def cancelled(self, claim: Claim) -> None:
        """cancelling -> cancelled; to be called once the trainer's process is gone."""
        with self._database.write() as session:
            self._end(session, claim, RunState.CANCELLED)
        log.info("run.cancelled", extra={"run_id": claim.run_id, "attempt": claim.attempt})

    def release(self, claim: Claim) -> None:
        """A worker that stops gives its run back: running -> lost -> queued; one being cancelled is cancelled.

        This is no loss: it does not count against the run's attempts.
        """
        with self._database.write() as session:
            now = self._clock()
            if move(
                session, claim.run_id, RunState.LOST, now=now, among=OWNED, if_attempt=claim.attempt, lease_until=None
            ):
                self._requeue(session, claim.run_id, now=now)
            else:
                self._end(session, claim, RunState.CANCELLED)
        log.info("run.released", extra={"run_id": claim.run_id, "attempt": claim.attempt})

    # A reader's move

    def cancel(self, run_id: str) -> RunState:
        """queued | lost -> cancelled at once; running -> cancelling. Raises NotFound or StateConflict.

        Asking again for a cancel that is under way changes nothing.
        """
        now = self._clock()
        with self._database.write() as session:
            if move(session, run_id, RunState.CANCELLED, now=now, among=(RunState.QUEUED, RunState.LOST)) or move(
                session, run_id, RunState.CANCELLING, now=now
            ):
                log.info("run.cancel_asked", extra={"run_id": run_id})
            here = select(RunRow.state).where(RunRow.id == run_id, RunRow.deleted_at.is_(None))
            state = session.scalars(here).one_or_none()
            if state is None:
                raise NotFound(kind="run", id=run_id)
            if state not in (RunState.CANCELLED, RunState.CANCELLING):
                raise StateConflict(run_id=run_id, state=state, wanted="cancelling it")
            return RunState(state)

    # The reaper's moves

    def reap(self, *, max_attempts: int = MAX_ATTEMPTS) -> Reaped:
        """Runs whose lease ran out: cancelling -> cancelled; running -> lost -> queued, or failed at the last loss."""
        now = self._clock()
        reaped = Reaped(requeued=[], failed=[], cancelled=[])
        with self._database.write() as session:
            stale = session.execute(
                select(RunRow.id, RunRow.state, RunRow.attempt, RunRow.losses).where(
                    (RunRow.state.in_(OWNED) & (RunRow.lease_until < now)) | (RunRow.state == RunState.LOST)
                )
            ).all()
            for run_id, state, attempt, losses in stale:
                if state == RunState.CANCELLING:
                    if move(session, run_id, RunState.CANCELLED, now=now, if_attempt=attempt, stale_at=now):
                        reaped.cancelled.append(run_id)
                    continue
                if state == RunState.RUNNING:
                    losses += 1
                    if not move(
                        session, run_id, RunState.LOST, now=now, if_attempt=attempt, stale_at=now, losses=losses
                    ):
                        continue  # its owner came back between the look and the move
                if losses < max_attempts:
                    self._requeue(session, run_id, now=now)
                    reaped.requeued.append(run_id)
                else:
                    error = RunError(
                        code="worker-lost",
                        message=f"Its worker was lost {losses} times, so it is not tried again. Perhaps the machine "
                        "ran out of memory: try a smaller training.batch_size.",
                        fields={"losses": losses},
                    )
                    move(session, run_id, RunState.FAILED, now=now, among=(RunState.LOST,), error=plain(error))
                    reaped.failed.append(run_id)
        for outcome_name, ids in (
            ("requeued", reaped.requeued),
            ("failed", reaped.failed),
            ("cancelled", reaped.cancelled),
        ):
            for run_id in ids:
                log.warning("run.reaped", extra={"run_id": run_id, "outcome": outcome_name})
        return reaped

    def stranded(self, *, older_than_s: float) -> list[str]:
        """Queued runs that were not sent within the last `older_than_s` seconds, oldest first."""
        limit = self._clock() - timedelta(seconds=older_than_s)
        with self._database.read() as session:
            return list(
                session.scalars(
                    select(RunRow.id)
                    .where(RunRow.state == RunState.QUEUED, func.coalesce(RunRow.sent_at, RunRow.created_at) < limit)
                    .order_by(RunRow.created_at, RunRow.id)
                )
            )

    def mark_sent(self, *run_ids: str) -> None:
        """Note that a message for each of these runs was put on the queue now."""
        with self._database.write() as session:
            session.execute(update(RunRow).where(RunRow.id.in_(run_ids)).values(sent_at=self._clock()))

    def purge(self, *, older_than_s: float = BIN_S) -> list[str]:
        """Remove for good what has been in the bin that long, rows and bundles; the ids of these runs."""
        due = RunRow.deleted_at < self._clock() - timedelta(seconds=older_than_s)
        with self._database.read() as session:
            if session.scalars(select(RunRow.id).where(due).limit(1)).first() is None:
                return []  # the usual case takes no turn to write
        with self._database.write() as session:
            gone = list(session.scalars(delete(RunRow).where(due).returning(RunRow.id)))
        for run_id in gone:
            # after the commit: a bundle without a row is only lost space, a row without its bundle a broken run
            self._artifacts.delete(run_id)
            log.info("run.purged", extra={"run_id": run_id})
        return gone

    def worker_seen(self, name: str, *, queue: str, slots: int, busy: int) -> None:
        """A worker's sign of life, for the health page."""
        with self._database.write() as session:
            session.merge(WorkerRow(name=name, queue=queue, slots=slots, busy=busy, seen_at=self._clock()))

    def preferred_queue(self) -> str:
        """Where a run is sent: `gpu` while a worker of that queue gave a sign of life lately, else `cpu`."""
        lately = self._clock() - timedelta(seconds=WORKER_LATELY_S)
        with self._database.read() as session:
            alive = select(WorkerRow.name).where(WorkerRow.queue == "gpu", WorkerRow.seen_at > lately).limit(1)
            return "cpu" if session.scalars(alive).first() is None else "gpu"

    # Parts

    def _teacher(self, session: Session, config: RunConfig) -> Path | None:
        if not config.needs_teacher:
            return None
        twins = select(RunRow.id).where(
            RunRow.config_hash == config.twin().config_hash,
            RunRow.data_digest == images_now(config.dataset, self._data),
            RunRow.state == RunState.SUCCEEDED,
            RunRow.deleted_at.is_(None),
        )
        newest = session.scalars(twins.order_by(RunRow.created_at.desc(), RunRow.id.desc()).limit(1)).first()
        return None if newest is None else self._artifacts.folder(newest)

    def _owned(self, session: Session, claim: Claim, **values: Any) -> None:
        """Change columns of a run that `claim` still owns; else LeaseLost."""
        owned = update(RunRow).where(
            RunRow.id == claim.run_id, RunRow.attempt == claim.attempt, RunRow.state.in_(OWNED)
        )
        # With nothing to change the row is still written, which takes its lock.
        if session.execute(owned.values(**(values or {"attempt": claim.attempt}))).rowcount != 1:
            raise LeaseLost(run_id=claim.run_id, attempt=claim.attempt)

    def _end(self, session: Session, claim: Claim, to: RunState, **values: Any) -> None:
        now = self._clock()
        if not move(session, claim.run_id, to, now=now, among=OWNED, if_attempt=claim.attempt, **values):
            raise LeaseLost(run_id=claim.run_id, attempt=claim.attempt)

    def _requeue(self, session: Session, run_id: str, *, now: datetime) -> None:
        move(
            session,
            run_id,
            RunState.QUEUED,
            now=now,
            worker=None,
            lease_until=None,
            sent_at=None,
            progress=plain(WAITING),
        )
