"""A run's moves from state to state. The database is the truth; a message on the queue is only a bell.

Every move is one UPDATE that names the state (and, for an owner, the attempt) it starts from; when no
row matches, another process moved first. Only the moves of `core.schemas.run.TRANSITIONS` exist. Every
move writes a `state` event in the same transaction, and always after the run's row was changed: the
row's lock then keeps one run's events in the order of their ids on every database.
"""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from sqlalchemy import delete, select, update
from sqlalchemy.orm import Session

from backend.store.artifacts import artifacts_of
from backend.store.claims import count_turn, take
from backend.store.db import Database, migrate, opened, rows_changed, utc_now
from backend.store.holders import given as given_bundles
from backend.store.identity import images_now, images_of
from backend.store.models import RunEventRow, RunRow, WorkerRow
from backend.store.outcome import outcome
from backend.store.signs import alive
from backend.store.silence import Silence
from backend.store.space import Space
from backend.store.turns import ANYTHING, OWNED, Able, Need, lines
from backend.store.webhook import Webhook
from core import request_ids
from core.bundle import Bundle
from core.errors import LeaseLost, NotFound, StateConflict
from core.schemas.base import Frozen
from core.schemas.results import EpochDone, Event, Progress, RunError, RunProgress, Started, Summary
from core.schemas.run import TRANSITIONS, RunConfig, RunState
from core.schemas.workers import Offer
from core.settings import Settings

log = logging.getLogger("spikefront.runs")

WAITING = RunProgress(phase="waiting")
MAX_ATTEMPTS = 3
LEASE_S = 30.0  # of a run whose owner said none
WORKER_KEPT_S = 7 * 24 * 3600.0  # the row of a worker that is gone: its name does not come back
BIN_S = 24 * 3600.0  # how long a deleted run can be restored


@dataclass(frozen=True, kw_only=True)
class Claim:
    """A worker's hold on a run: `attempt` tells it apart from every other hold on the same run.

    `teacher` is the bundle of a run here that this one names as its teacher, or that is the CNN twin which it would
    train first; `start` the bundle that it starts from.
    """

    run_id: str
    attempt: int
    config: RunConfig
    stored: dict[str, Any]  # the config as its row has it, which goes to the trainer as it is
    out: Path
    memory_bytes: int = 0  # by the forecast; 0 where there is none
    teacher: Path | None = None
    start: Path | None = None


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
    if_lease: datetime | None = None,
    **values: Any,
) -> bool:
    """Compare and swap: True when the run was in a state that may become `to` (and in `among`, if given).

    `if_attempt` asks for the owner's attempt, `if_lease` for a lease that was not renewed since it was seen.
    """
    allowed = [state for state in sources(to) if among is None or state in among]
    statement = update(RunRow).where(RunRow.id == run_id, RunRow.state.in_(allowed))
    if if_attempt is not None:
        statement = statement.where(RunRow.attempt == if_attempt)
    if if_lease is not None:
        statement = statement.where(RunRow.lease_until == if_lease)
    if to.is_final:
        values |= {"finished_at": now, "lease_until": None}
    done = rows_changed(session, statement.values(state=to, **values)) == 1
    if done:
        add_state_event(session, run_id, to, now=now)
    return done


def add_state_event(session: Session, run_id: str, state: RunState, *, now: datetime) -> None:
    payload = {"type": "state", "state": str(state)}
    if (request_id := request_ids.current()) is not None:
        payload["request_id"] = request_id
    session.add(RunEventRow(run_id=run_id, type="state", payload=payload, created_at=now))
    session.flush()


def _asked_by(session: Session, run_id: str) -> str | None:
    """The request that queued a run last; None where none is known, as of a run from before they were kept."""
    told = select(RunEventRow.payload).where(RunEventRow.run_id == run_id, RunEventRow.type == "state")
    found = (
        payload.get("request_id")
        for payload in session.scalars(told.order_by(RunEventRow.id.desc()))
        if payload.get("state") == RunState.QUEUED
    )
    return next((request_id for request_id in found if request_id is not None), None)


def plain(model: Frozen) -> dict[str, Any]:
    """A model as strict JSON values: a NaN loss is the word "NaN", which databases and browsers can read."""
    return json.loads(model.model_dump_json())


class Lifecycle:
    """What a worker may do with runs; each method is one short transaction.

    Opens an engine of its own (never carry it over a fork) and brings the schema up to date. A late
    owner gets LeaseLost; a database that fails raises StorageFull or DatabaseDown, and nothing is changed.
    """

    def __init__(
        self,
        settings: Settings,
        *,
        database: Database | None = None,
        clock: Callable[[], datetime] = utc_now,
        ticks: Callable[[], float] = time.monotonic,
    ) -> None:
        if database is None:
            migrate(settings)
        self._database = database or opened(settings)
        self._webhook = Webhook(settings, self._database)
        self.artifacts = artifacts_of(settings)
        self.runs, self.home = self.artifacts.root, settings.home
        self._data = settings.data
        self._clock = clock
        self.silence = Silence(ticks)
        self.space = Space(self._database, self.artifacts, clock=clock, ticks=ticks)

    def close(self) -> None:
        self._webhook.close()
        self._database.close()

    # An owner's moves

    def next_run(self, able: Able = ANYTHING) -> tuple[str, RunConfig] | None:
        """The run that a worker would claim now, and its config; None where nothing waits that it can do."""
        with self._database.read() as session:
            for line, values in lines(session, able, now=self._clock()):
                found = session.execute(line.add_columns(RunRow.config).limit(1), values).first()
                if found is not None:
                    return found[0], RunConfig.model_validate(found[1])
        return None

    def claim(
        self,
        run_id: str | None = None,
        *,
        worker: str,
        lease_s: float,
        able: Able = ANYTHING,
        free_bytes: int | None = None,
        known: tuple[str, RunConfig] | None = None,
    ) -> Claim | None:
        """queued -> running, as the next attempt: of the run whose turn it is among those that the worker can do.

        None when none waits, or while the one whose turn it is needs more memory than `free_bytes`: others do not pass it
        by, or it would wait for ever. `run_id`: that run or none, whatever it needs and whosever turn it is.
        `known`: what `next_run` gave, so that its config is not read twice.
        """
        now = self._clock()
        with self._database.write() as session:
            row = take(
                session,
                run_id,
                able=able,
                free_bytes=free_bytes,
                now=now,
                worker=worker,
                lease_until=now + timedelta(seconds=lease_s),
                lease_s=lease_s,
                progress=plain(RunProgress(phase="starting")),
            )
            if row is None:
                return None
            add_state_event(session, row.id, RunState.RUNNING, now=now)
            stored, attempt = row.config, row.attempt
            config = known[1] if known and known[0] == row.id else RunConfig.model_validate(stored)
            named = given_bundles(session, self.artifacts, config)
            teacher = named.get("training.teacher") or self._teacher(session, config)
            count_turn(session, row.submitter)
            request_ids.remember(row.id, _asked_by(session, row.id))
        log.info("run.claimed", extra={"run_id": row.id, "attempt": attempt, "worker": worker})
        return Claim(
            run_id=row.id,
            attempt=attempt,
            config=config,
            stored=stored,
            out=self.artifacts.folder(row.id),
            memory_bytes=Need.of(row).memory(able.device) or 0,
            teacher=teacher,
            start=named.get("start_bundle"),
        )

    def heartbeat(self, claim: Claim, *, lease_s: float) -> RunState:
        """Renew the lease; the answer is `running`, or `cancelling` when the owner shall stop."""
        with self._database.write() as session:
            self._owned(session, claim, lease_until=self._clock() + timedelta(seconds=lease_s), lease_s=lease_s)
            return RunState(session.scalars(select(RunRow.state).where(RunRow.id == claim.run_id)).one())

    def record(self, claim: Claim, event: Event) -> None:
        """Keep an event for readers. Of progress only the newest stays, in one row; an epoch replaces its older self.

        A run that starts again forgets the epochs that it will train anew, and one that is told twice is told once.
        Epochs of a teacher are no epochs of the run: only its progress is kept.
        Finished and failed events are left to `succeed` and `fail`, which move the run as well.
        """
        if not isinstance(event, Started | Progress | EpochDone):
            return
        if isinstance(event, EpochDone) and event.part == "teacher":
            return
        payload = plain(event)
        progress = None if isinstance(event, EpochDone) else event.progress
        older = delete(RunEventRow).where(RunEventRow.run_id == claim.run_id, RunEventRow.type == event.type)
        epoch = event.epoch if isinstance(event, EpochDone) else None
        if epoch is not None:
            older = older.where(RunEventRow.epoch == epoch)
        with self._database.write() as session:
            self._owned(session, claim, **({"progress": plain(progress)} if progress else {}))
            if isinstance(event, Progress):
                mine = (RunEventRow.run_id == claim.run_id) & (RunEventRow.type == event.type)
                again = update(RunEventRow).where(mine).values(payload=payload, created_at=self._clock())
                if rows_changed(session, again):
                    return
            if epoch is not None:
                known = select(RunEventRow.payload).where(
                    RunEventRow.run_id == claim.run_id, RunEventRow.epoch == epoch
                )
                if session.scalars(known).first() == payload:
                    return
            if isinstance(event, Started) and event.part == "run":
                undone = (RunEventRow.type == "epoch") & (RunEventRow.epoch >= (event.resumed_epoch or 1))
                session.execute(delete(RunEventRow).where(RunEventRow.run_id == claim.run_id, undone))
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
        bundle = Bundle(claim.out)
        values, tallies = outcome(claim.run_id, bundle, claim.config, summary, images_of(bundle, self._data))
        epochs = bundle.metrics().epochs()
        with self._database.write() as session:
            done = RunProgress(phase="done", epoch=summary.epochs_run, max_epochs=claim.config.training.max_epochs)
            self._tell_rest(session, claim, epochs)
            self._end(session, claim, RunState.SUCCEEDED, progress=plain(done), error=None, **values)
            session.add_all(tallies)
        self._webhook.tell(claim.run_id)
        log.info("run.succeeded", extra={"run_id": claim.run_id, "attempt": claim.attempt})

    def _tell_rest(self, session: Session, claim: Claim, epochs: list[EpochDone]) -> None:
        """Epochs that nobody was told of: the database was away until the end, or a trainer found the bundle finished."""
        self._owned(session, claim)
        told = select(RunEventRow.epoch).where(RunEventRow.run_id == claim.run_id, RunEventRow.type == "epoch")
        known = set(session.scalars(told))
        session.add_all(
            RunEventRow(
                run_id=claim.run_id, type=one.type, epoch=one.epoch, payload=plain(one), created_at=self._clock()
            )
            for one in epochs
            if one.epoch not in known
        )
        session.flush()  # before the event of the end

    def fail(self, claim: Claim, error: RunError) -> None:
        """running | cancelling -> failed."""
        with self._database.write() as session:
            self._end(session, claim, RunState.FAILED, error=plain(error))
        self._webhook.tell(claim.run_id)
        log.info("run.failed", extra={"run_id": claim.run_id, "attempt": claim.attempt, "code": error.code})

    def cancelled(self, claim: Claim) -> None:
        """cancelling -> cancelled; to be called once the trainer's process is gone."""
        with self._database.write() as session:
            self._end(session, claim, RunState.CANCELLED)
        self._webhook.tell(claim.run_id)
        log.info("run.cancelled", extra={"run_id": claim.run_id, "attempt": claim.attempt})

    def release(self, claim: Claim, *, pause_s: float = 0.0) -> None:
        """A worker that cannot go on gives its run back: running -> lost -> queued; one being cancelled is cancelled.

        This is no loss: it does not count against the run's attempts. For `pause_s` nobody claims it.
        """
        with self._database.write() as session:
            now = self._clock()
            if move(
                session, claim.run_id, RunState.LOST, now=now, among=OWNED, if_attempt=claim.attempt, lease_until=None
            ):
                self._requeue(session, claim.run_id, now=now)
                if pause_s:
                    later = now + timedelta(seconds=pause_s)
                    session.execute(update(RunRow).where(RunRow.id == claim.run_id).values(not_before=later))
            else:
                self._end(session, claim, RunState.CANCELLED)
        self._webhook.tell(claim.run_id)  # says nothing of a run that goes on
        log.info("run.released", extra={"run_id": claim.run_id, "attempt": claim.attempt})

    def lose(self, claim: Claim, error: RunError) -> None:
        """running -> lost, as a loss: the reaper queues it again, or fails it with these words if it was the last one.

        One that is being cancelled is cancelled.
        """
        with self._database.write() as session:
            if not move(
                session,
                claim.run_id,
                RunState.LOST,
                now=self._clock(),
                if_attempt=claim.attempt,
                lease_until=None,
                losses=RunRow.losses + 1,
                error=plain(error),
            ):
                self._end(session, claim, RunState.CANCELLED)
        self._webhook.tell(claim.run_id)
        log.warning("run.lost", extra={"run_id": claim.run_id, "attempt": claim.attempt, "code": error.code})

    # A reader's move

    def cancel(self, run_id: str) -> RunState:
        """queued | lost -> cancelled at once; running -> cancelling. Raises NotFound or StateConflict.

        Asking again for a cancel that is under way changes nothing.
        """
        now = self._clock()
        with self._database.write() as session:
            at_once = move(session, run_id, RunState.CANCELLED, now=now, among=(RunState.QUEUED, RunState.LOST))
            if at_once or move(session, run_id, RunState.CANCELLING, now=now):
                log.info("run.cancel_asked", extra={"run_id": run_id})
            here = select(RunRow.state).where(RunRow.id == run_id, RunRow.deleted_at.is_(None))
            state = session.scalars(here).one_or_none()
            if state is None:
                raise NotFound(kind="run", id=run_id)
            if state not in (RunState.CANCELLED, RunState.CANCELLING):
                raise StateConflict(run_id=run_id, state=state, wanted="cancelling it")
        if at_once:
            self._webhook.tell(run_id)
        return RunState(state)

    # The reaper's moves

    def reap(self, *, max_attempts: int = MAX_ATTEMPTS) -> Reaped:
        """Runs whose owner was silent for its lease: cancelling -> cancelled; running -> lost.

        And lost -> queued, or failed at the last loss. To be called again and again: see `backend.store.silence`.
        """
        reaped = Reaped(requeued=[], failed=[], cancelled=[])
        silent, lost = self._left_alone()
        if not silent and not lost:
            return reaped  # the usual case takes no turn to write
        now = self._clock()
        with self._database.write() as session:
            for run_id, state, attempt, lease in silent:
                mine: dict[str, Any] = {"now": now, "if_attempt": attempt, "if_lease": lease}
                if state == RunState.CANCELLING:
                    if move(session, run_id, RunState.CANCELLED, **mine):
                        reaped.cancelled.append(run_id)
                elif move(session, run_id, RunState.LOST, losses=RunRow.losses + 1, lease_until=None, **mine):
                    lost.append(run_id)  # else its owner came back between the look and the move
            for run_id in lost:
                row = session.get(RunRow, run_id, populate_existing=True)
                if row is None or row.state != RunState.LOST:
                    continue
                if row.losses < max_attempts:  # another reaper may be quicker with either
                    if self._requeue(session, run_id, now=now):
                        reaped.requeued.append(run_id)
                elif move(
                    session, run_id, RunState.FAILED, now=now, among=(RunState.LOST,), error=plain(_given_up(row))
                ):
                    reaped.failed.append(run_id)
        for outcome_name, ids in (
            ("requeued", reaped.requeued),
            ("failed", reaped.failed),
            ("cancelled", reaped.cancelled),
        ):
            for run_id in ids:
                log.warning("run.reaped", extra={"run_id": run_id, "outcome": outcome_name})
                self._webhook.tell(run_id)
        return reaped

    def purge(self, *, older_than_s: float = BIN_S) -> list[str]:
        """Remove for good what has been in the bin that long, rows and bundles; the ids of these runs.

        Old checkpoints that nobody came back for go with them.
        """
        self.space.tidy()
        due = RunRow.deleted_at < self._clock() - timedelta(seconds=older_than_s)
        with self._database.read() as session:
            if session.scalars(select(RunRow.id).where(due).limit(1)).first() is None:
                return []  # the usual case takes no turn to write
        self.artifacts.require()
        with self._database.write() as session:
            gone = list(session.scalars(delete(RunRow).where(due).returning(RunRow.id)))
        for run_id in gone:
            # after the commit: a bundle without a row is only lost space, a row without its bundle a broken run
            self.artifacts.delete(run_id)
            log.info("run.purged", extra={"run_id": run_id})
        return gone

    def worker_seen(
        self, name: str, *, queue: str, slots: int, busy: int, paused: str | None = None, offer: Offer | None = None
    ) -> None:
        """A worker's sign of life, for readers and for other workers. `paused` says why it starts nothing; `offer` what it
        can do, unless it says nothing of that."""
        row = WorkerRow(
            name=name,
            queue=queue,
            slots=slots,
            busy=busy,
            seen_at=self._clock(),
            paused=paused,
            offer=None if offer is None else plain(offer),
        )
        forgotten = self._clock() - timedelta(seconds=WORKER_KEPT_S)
        with self._database.write() as session:
            session.merge(row)
            session.execute(delete(WorkerRow).where(WorkerRow.seen_at < forgotten))

    def worker_gone(self, name: str) -> None:
        """A worker that ends of its own accord is not waited for."""
        with self._database.write() as session:
            session.execute(delete(WorkerRow).where(WorkerRow.name == name))

    def workers(self) -> list[WorkerRow]:
        """Those that gave a sign of life lately, by name."""
        with self._database.read() as session:
            return alive(session, self._clock())

    def queues(self) -> dict[str, int]:
        """Where bells are heard -> slots of the workers there that gave a sign of life lately; `cpu` while there is none."""
        found: dict[str, int] = {}
        for row in self.workers():
            found[row.queue] = found.get(row.queue, 0) + row.slots
        return found or {"cpu": 1}

    # Parts

    def _left_alone(self) -> tuple[list[tuple[str, str, int, datetime | None]], list[str]]:
        """Owned runs (id, state, attempt, lease) whose owner was silent too long, and ids of lost ones."""
        with self._database.read() as session:
            owned = session.execute(
                select(RunRow.id, RunRow.state, RunRow.attempt, RunRow.lease_until, RunRow.lease_s).where(
                    RunRow.state.in_(OWNED)
                )
            ).all()
            lost = list(session.scalars(select(RunRow.id).where(RunRow.state == RunState.LOST)))
        silent_s = self.silence.look({row.id: (row.attempt, row.lease_until) for row in owned})
        silent = [row for row in owned if silent_s[row.id] >= (row.lease_s or LEASE_S)]
        return [(row.id, row.state, row.attempt, row.lease_until) for row in silent], lost

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
        return None if newest is None else self.artifacts.folder(newest)

    def _owned(self, session: Session, claim: Claim, **values: Any) -> None:
        """Change columns of a run that `claim` still owns; else LeaseLost."""
        owned = update(RunRow).where(
            RunRow.id == claim.run_id, RunRow.attempt == claim.attempt, RunRow.state.in_(OWNED)
        )
        # With nothing to change the row is still written, which takes its lock; in a column that counts as no change.
        if rows_changed(session, owned.values(**(values or {"lease_s": RunRow.lease_s}))) != 1:
            raise LeaseLost(run_id=claim.run_id, attempt=claim.attempt)

    def _end(self, session: Session, claim: Claim, to: RunState, **values: Any) -> None:
        now = self._clock()
        if not move(session, claim.run_id, to, now=now, among=OWNED, if_attempt=claim.attempt, **values):
            raise LeaseLost(run_id=claim.run_id, attempt=claim.attempt)

    def _requeue(self, session: Session, run_id: str, *, now: datetime) -> bool:
        return move(
            session,
            run_id,
            RunState.QUEUED,
            now=now,
            worker=None,
            lease_until=None,
            error=None,
            progress=plain(WAITING),
        )


def _given_up(row: RunRow) -> RunError:
    """Why a run is not tried again, in the words of its last loss where that has left any."""
    if row.error is not None:
        last = RunError.model_validate(row.error)
        message = f"{last.message} It was tried {row.losses} times."
        return last.model_copy(update={"message": message, "fields": last.fields | {"losses": row.losses}})
    return RunError(
        code="worker-lost",
        message=f"Its worker was lost {row.losses} times, so it is not tried again. Perhaps the machine "
        "ran out of memory: try a smaller training.batch_size.",
        fields={"losses": row.losses},
    )
