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

NAMED = 3  # of the runs without a bundle


def facts(database: Database, artifacts: Artifacts) -> dict[str, object]:
    """`clock_s`: how far the database's clock is ahead of this machine's; null for a file, which has none.

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
        n_waiting, n_workers = session.scalar(waiting) or 0, len(alive(session, now))
        succeeded = select(RunRow.id).where(RunRow.state == RunState.SUCCEEDED, RunRow.deleted_at.is_(None))
        ids = list(session.scalars(succeeded))
    why_not = artifacts.why_not()
    finished = artifacts.finished() if why_not is None else set(ids)  # of a store that is away nothing is known
    gone = [run_id for run_id in ids if run_id not in finished]
    return {
        "clock_s": clock_s,
        "ahead_s": ahead_s if ahead_s > AHEAD_S else 0.0,
        "n_waiting": n_waiting,
        "n_workers": n_workers,
        "store": artifacts.place if artifacts.remote else None,
        "store_down": why_not,
        "n_without_bundle": len(gone),
        "without_bundle": gone[:NAMED],
    }


def _clock_s(session: Session) -> float:
    """Against the middle of the time that the answer took: the best of three."""
    found = []
    for _ in range(3):
        began, at = time.perf_counter(), datetime.now(UTC)
        theirs: datetime = session.execute(text("SELECT clock_timestamp()")).scalar_one()
        took_s = time.perf_counter() - began
        found.append((took_s, (theirs - at).total_seconds() - took_s / 2))
    return min(found)[1]
