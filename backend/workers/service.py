"""Who trains, what waits, and for how long."""

from __future__ import annotations

import heapq
from datetime import datetime, timedelta

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from backend.catalog.estimate import Estimator
from backend.context import Context
from backend.health import why_nothing_starts
from backend.store.db import utc_now
from backend.store.lifecycle import OWNED
from backend.store.models import RunRow, WorkerRow
from backend.store.signs import seen_lately
from core.errors import DatasetCorrupt, UnknownName
from core.schemas.run import RunConfig, RunState
from core.schemas.workers import QueuedRun, RunBrief, WaitingRuns, WorkerInfo, Workers

SHOWN = 200


class WorkerService:
    """Stateless; one is made for each request."""

    def __init__(self, context: Context) -> None:
        self._context = context

    def workers(self) -> Workers:
        """Workers that gave a sign of life lately, with the runs they hold."""
        with self._context.database.read() as session:
            workers, held = _alive(session, utc_now()), _held(session)
        return Workers(
            items=[
                WorkerInfo(
                    name=worker.name,
                    queue=worker.queue,
                    slots=worker.slots,
                    busy=worker.busy,
                    seen_at=worker.seen_at,
                    paused=worker.paused,
                    runs=[
                        RunBrief(id=run.id, label=run.label, state=RunState(run.state), started_at=run.started_at)
                        for run in held
                        if run.worker == worker.name
                    ],
                )
                for worker in workers
            ]
        )

    def queue(self) -> WaitingRuns:
        """What waits, oldest first, and when each would start if every run took as long as it is forecast to.

        Runs are sent to one queue, `gpu` while it has a worker; the slots of the others are not reckoned with.
        """
        now, name = utc_now(), self._context.lifecycle.preferred_queue()
        with self._context.database.read() as session:
            workers = [worker for worker in _alive(session, now) if worker.queue == name]
            held = [run for run in _held(session) if run.worker in {worker.name for worker in workers}]
            waiting = (RunRow.state == RunState.QUEUED, RunRow.deleted_at.is_(None))
            total = session.scalar(select(func.count()).select_from(RunRow).where(*waiting)) or 0
            rows = list(session.scalars(select(RunRow).where(*waiting).order_by(RunRow.created_at, RunRow.id)))
        estimator, slots = Estimator(self._context), sum(worker.slots for worker in workers)
        lasts = [_lasts(row, estimator) for row in rows]
        starts = _starts([_left(run, estimator, now) for run in held], slots, lasts)
        paused = why_nothing_starts(self._context, workers)
        starting = slots and paused is None
        return WaitingRuns(
            queue=name,
            slots=slots,
            total=total,
            paused=paused,
            ends_in_s=max((s + run for s, run in zip(starts, lasts, strict=True)), default=0.0) if starting else None,
            items=[
                QueuedRun(
                    position=place,
                    id=row.id,
                    label=row.label,
                    created_at=row.created_at,
                    waiting_s=max(0.0, (now - row.created_at).total_seconds()),
                    run_s=last,
                    starts_in_s=start if starting else None,
                )
                for place, (row, last, start) in enumerate(zip(rows, lasts, starts, strict=True), start=1)
                if place <= SHOWN
            ],
        )


def _alive(session: Session, now: datetime) -> list[WorkerRow]:
    return list(session.scalars(select(WorkerRow).where(seen_lately(now)).order_by(WorkerRow.name)))


def _held(session: Session) -> list[RunRow]:
    return list(session.scalars(select(RunRow).where(RunRow.state.in_(OWNED)).order_by(RunRow.started_at)))


def _lasts(run: RunRow, estimator: Estimator) -> float:
    """Forecast seconds of a whole run; 0 where its data set was taken away, since it then fails as it starts."""
    try:
        return estimator.time(RunConfig.model_validate(run.config)).total_s
    except (UnknownName, DatasetCorrupt):
        return 0.0


def _left(run: RunRow, estimator: Estimator, now: datetime) -> float:
    """Seconds until a running run ends: its own estimate, else the forecast less what has passed."""
    if (eta_s := run.progress.get("eta_s")) is not None:
        return eta_s
    whole = _lasts(run, estimator)
    passed = now - run.started_at if run.started_at is not None else timedelta()
    return max(0.0, whole - passed.total_seconds())


def _starts(busy: list[float], slots: int, lasts: list[float]) -> list[float]:
    """When each waiting run starts, if each in turn takes the slot that is free first."""
    free = sorted(busy + [0.0] * max(0, slots - len(busy))) or [0.0]
    heapq.heapify(free)
    starts = []
    for last in lasts:
        starts.append(heapq.heappop(free))
        heapq.heappush(free, starts[-1] + last)
    return starts
