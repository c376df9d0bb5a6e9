"""The claim of a run, and the note of whose turn it was."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import func, or_, select, update
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.orm import Session

from backend.store.models import RunRow, TurnRow
from backend.store.turns import Able, lines, memory_column
from core.schemas.run import RunState


def take(
    session: Session, run_id: str | None, *, able: Able, free_bytes: int | None, now: datetime, **values: Any
) -> RunRow | None:
    """queued -> running; the run's row as it is now, or None.

    On PostgreSQL the chosen row is locked and rows that another worker is just claiming are skipped (FOR UPDATE SKIP
    LOCKED); on SQLite, where one writes at a time, the words are left out. The state is asked for once more either way.
    """
    if run_id is None:
        run_id = _chosen(session, able, now)
        if run_id is None:
            return None
    statement = update(RunRow).where(RunRow.id == run_id, RunRow.state == RunState.QUEUED)
    if free_bytes is not None:
        needed = memory_column(able.device)
        statement = statement.where(or_(needed.is_(None), needed <= free_bytes))
    statement = statement.values(
        state=RunState.RUNNING,
        attempt=RunRow.attempt + 1,
        started_at=func.coalesce(RunRow.started_at, now),
        not_before=None,
        **values,
    )
    statement = statement.returning(RunRow).execution_options(synchronize_session=False, populate_existing=True)
    return session.scalars(statement).one_or_none()


def _chosen(session: Session, able: Able, now: datetime) -> str | None:
    """The run whose turn it is, no other worker's to choose until the end of the transaction."""
    for line, values in lines(session, able, now=now):
        found = session.scalar(line.limit(1).with_for_update(skip_locked=True), values)
        if found is not None:
            return found
    return None


def count_turn(session: Session, submitter: str | None) -> None:
    """This person's claim is the newest. Last in its transaction: until that ends, others of the same person wait."""
    turn = select(func.coalesce(func.max(TurnRow.turn), 0) + 1).scalar_subquery()
    make = postgresql.insert if session.get_bind().dialect.name == "postgresql" else sqlite.insert
    statement = make(TurnRow).values(submitter=submitter or "", turn=turn)
    statement = statement.on_conflict_do_update(
        index_elements=[TurnRow.submitter], set_={"turn": statement.excluded.turn}
    )
    session.execute(statement)
