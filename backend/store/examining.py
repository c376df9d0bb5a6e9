"""What `spikefront doctor` asks of the database, in one look: its clock, bundles that are gone, workers that are silent."""

from __future__ import annotations

import time
from datetime import UTC, datetime

from sqlalchemy import func, select, text
from sqlalchemy.orm import Session

from backend.store.artifacts import Artifacts
from backend.store.db import Database, utc_now
from backend.store.models import RunRow, WorkerRow
from backend.store.signs import AHEAD_S, alive
from core.schemas.run import RunState

BESIDE_SLOTS = 2  # connections of a worker
LIMITS = ("max_connections", "superuser_reserved_connections")  # of PostgreSQL
NAMED = 3  # of the runs without a bundle


def facts(database: Database, artifacts: Artifacts) -> dict[str, object]:
    """`clock_s`: how far the database's clock is ahead of this machine's; null for a file, which has none.

    `connections`: how many PostgreSQL allows, and how many these processes may come to hold (`_connections`).
    `store` is where bundles lie, null for a folder, and `store_down` why it does not answer.
    `ahead_s`: how far the newest sign of life of a worker lies in the future, where it does: a clock was set back, or
    another machine's is wrong. `without_bundle`: runs that have succeeded, and whose bundle is not where this machine looks.
    """
    with database.read() as session:
        clock_s = _clock_s(session) if database.engine.dialect.name == "postgresql" else None
        now = utc_now()
        newest = session.scalar(select(func.max(WorkerRow.seen_at)))
        ahead_s = 0.0 if newest is None else (newest - now).total_seconds()
        waiting = select(func.count()).where(RunRow.state == RunState.QUEUED, RunRow.deleted_at.is_(None))
        workers = alive(session, now)
        n_waiting, n_workers = session.scalar(waiting) or 0, len(workers)
        connections = None if clock_s is None else _connections(session, [worker.slots for worker in workers])
        succeeded = select(RunRow.id).where(RunRow.state == RunState.SUCCEEDED, RunRow.deleted_at.is_(None))
        ids = list(session.scalars(succeeded))
    why_not = artifacts.why_not()
    finished = artifacts.finished() if why_not is None else set(ids)  # of a store that is away nothing is known
    gone = [run_id for run_id in ids if run_id not in finished]
    return {
        "clock_s": clock_s,
        "connections": connections,
        "ahead_s": ahead_s if ahead_s > AHEAD_S else 0.0,
        "n_waiting": n_waiting,
        "n_workers": n_workers,
        "store": artifacts.place if artifacts.remote else None,
        "store_down": why_not,
        "n_without_bundle": len(gone),
        "without_bundle": gone[:NAMED],
    }


def _connections(session: Session, slots: list[int]) -> dict[str, int]:
    """`allowed` to others than the server's administrator, and `needed` by one API and the workers that live.

    A worker's connections are opened as its threads need them: one a slot, and one each for its upkeep and its reports.
    """
    most, kept = (int(session.execute(text(f"SHOW {name}")).scalar_one()) for name in LIMITS)
    pool = session.get_bind().engine.pool.size()  # type: ignore[attr-defined]
    return {"allowed": most - kept, "needed": pool + sum(min(pool, n + BESIDE_SLOTS) for n in slots)}


def _clock_s(session: Session) -> float:
    """Against the middle of the time that the answer took: the best of three."""
    found = []
    for _ in range(3):
        began, at = time.perf_counter(), datetime.now(UTC)
        theirs: datetime = session.execute(text("SELECT clock_timestamp()")).scalar_one()
        took_s = time.perf_counter() - began
        found.append((took_s, (theirs - at).total_seconds() - took_s / 2))
    return min(found)[1]
