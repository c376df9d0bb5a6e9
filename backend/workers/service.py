"""Who trains, what waits, and for how long."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from datetime import datetime, timedelta

from sqlalchemy import select
from sqlalchemy.orm import Session, load_only

from backend.catalog.estimate import Estimator
from backend.context import Context
from backend.health import why_nothing_starts
from backend.runs.columns import counts
from backend.runs.listed import revision_now
from backend.runs.repository import RunWhere
from backend.store.db import utc_now
from backend.store.fleet import Fleet
from backend.store.models import RunRow, TurnRow, title_of
from backend.store.signs import alive
from backend.store.turns import ANYTHING, OWNED, Shares, Slot, Waiting, foreseen, offer_of
from core.schemas.results import RunProgress
from core.schemas.run import RunState
from core.schemas.workers import Activity, QueuedRun, RunBrief, WaitingRuns, WorkerInfo, Workers

SHOWN = 200
HEAD = 10  # of what waits, in the answer that pages ask for all the time
#: What the queue is made of: a config is a kilobyte of JSON, and thousands may wait.
QUEUED = (
    RunRow.id, RunRow.submitter, RunRow.priority, RunRow.created_at, RunRow.place, RunRow.dataset, RunRow.wants_device,
    RunRow.memory_cpu, RunRow.memory_gpu, RunRow.name, RunRow.label, RunRow.differs, RunRow.seed, RunRow.kind,
    RunRow.backbone,
)  # fmt: skip
HELD = (*QUEUED, RunRow.state, RunRow.worker, RunRow.started_at, RunRow.progress)


class WorkerService:
    """Stateless; one is made for each request."""

    def __init__(self, context: Context) -> None:
        self._context = context

    def workers(self) -> Workers:
        """Workers that gave a sign of life lately, with what they can do and the runs they hold."""
        with self._context.database.read() as session:
            workers, held = alive(session, utc_now()), _held(session)
        return Workers(
            items=[
                WorkerInfo(
                    name=worker.name,
                    queue=worker.queue,
                    slots=worker.slots,
                    busy=worker.busy,
                    seen_at=worker.seen_at,
                    paused=worker.paused,
                    offer=offer_of(worker),
                    runs=[_brief(run) for run in held if run.worker == worker.name],
                )
                for worker in workers
            ]
        )

    def activity_json(self) -> bytes:
        """Activity as JSON: worked out once a second for all who ask, and when a run was changed."""
        revision = revision_now(self._context)
        return self._context.activity.answer(revision, lambda: self._activity(revision))

    def _activity(self, revision: int) -> bytes:
        found = Activity(
            revision=revision,
            active=counts(self._context, RunWhere()).active,
            workers=self.workers().items,
            waiting=self.queue(shown=HEAD),
        )
        return found.model_dump_json().encode()

    def queue(self, *, shown: int = SHOWN) -> WaitingRuns:
        """What waits in the order in which it will be claimed, and when, if every run takes as long as it is forecast to.

        The order is `backend.store.turns`', as that of the claims is. What no worker can do comes last, oldest first.
        """
        now, fleet = utc_now(), self._context.fleet()
        with self._context.database.read() as session:
            held = _held(session)
            turns = {row.submitter: row.turn for row in session.scalars(select(TurnRow))}
            waiting = (RunRow.state == RunState.QUEUED, RunRow.deleted_at.is_(None))
            wanted = select(RunRow).options(load_only(*QUEUED)).where(*waiting)
            rows = {row.id: row for row in session.scalars(wanted)}
            lasts_s = Estimator(self._context).lasts_s(session, [*held, *rows.values()])
        runs = [Waiting.of(row, lasts_s=lasts_s[row.id]) for row in rows.values()]
        shares = Shares(held=dict(Counter(run.submitter or "" for run in held)), turns=turns)
        slots = _slots(fleet, held, lasts_s, now)
        order: list[tuple[Waiting, float | None]] = [*foreseen(runs, slots or [NOBODY], shares)]
        beside = {run.id for run, _ in order}
        order += [(run, None) for run in sorted(runs, key=lambda run: run.age) if run.id not in beside]
        paused = why_nothing_starts(self._context, fleet.workers)
        starting = slots and paused is None
        ends = [at_s + run.lasts_s for run, at_s in order if at_s is not None]
        return WaitingRuns(
            queue="+".join(sorted({worker.queue for worker in fleet.workers})) or "cpu",
            slots=len(slots),
            total=len(rows),
            paused=paused,
            ends_in_s=max(ends, default=0.0) if starting else None,
            items=[
                _queued(rows[run.id], run, place, at_s if starting else None, fleet, now)
                for place, (run, at_s) in enumerate(order[:shown], start=1)
            ],
        )


#: Stands for the workers while there is none: the order is that of one slot which can do anything.
NOBODY = Slot(able=ANYTHING)


def _queued(row: RunRow, run: Waiting, place: int, starts_in_s: float | None, fleet: Fleet, now: datetime) -> QueuedRun:
    return QueuedRun(
        position=place,
        id=row.id,
        label=title_of(row),
        seed=row.seed,
        created_at=row.created_at,
        waiting_s=max(0.0, (now - row.created_at).total_seconds()),
        run_s=run.lasts_s,
        starts_in_s=starts_in_s,
        priority=row.priority,
        submitter=row.submitter,
        waits=fleet.waits(row),
    )


def _slots(fleet: Fleet, held: list[RunRow], lasts_s: Mapping[str, float], now: datetime) -> list[Slot]:
    """Every slot of the workers that live, those in use until their run ends."""
    slots = []
    for worker in fleet.workers:
        able = fleet.ables[worker.name]
        mine = [run for run in held if run.worker == worker.name]
        slots += [Slot(able=able, busy_s=_left(run, lasts_s[run.id], now), person=run.submitter or "") for run in mine]
        slots += [Slot(able=able)] * max(0, worker.slots - len(mine))
    return slots


def _held(session: Session) -> list[RunRow]:
    wanted = select(RunRow).options(load_only(*HELD)).where(RunRow.state.in_(OWNED)).order_by(RunRow.started_at)
    return list(session.scalars(wanted))


def _brief(run: RunRow) -> RunBrief:
    return RunBrief(
        id=run.id,
        label=title_of(run),
        seed=run.seed,
        state=RunState(run.state),
        started_at=run.started_at,
        progress=RunProgress.model_validate(run.progress),
    )


def _left(run: RunRow, whole: float, now: datetime) -> float:
    """Seconds until a running run ends: its own estimate, else the forecast less what has passed."""
    if (eta_s := run.progress.get("eta_s")) is not None:
        return eta_s
    passed = now - run.started_at if run.started_at is not None else timedelta()
    return max(0.0, whole - passed.total_seconds())
