"""Which workers live, by their last sign of life."""

from __future__ import annotations

from datetime import datetime, timedelta

from sqlalchemy import ColumnElement, and_, select
from sqlalchemy.orm import Session

from backend.store.models import WorkerRow

#: A worker that gave no sign of life for longer is not there.
LATELY_S = 30.0
#: A sign from further ahead was given before the clock was set back: it says nothing of now.
AHEAD_S = 15.0


def seen_lately(now: datetime) -> ColumnElement[bool]:
    """Of a WorkerRow: its last sign is no older than LATELY_S."""
    return and_(
        WorkerRow.seen_at > now - timedelta(seconds=LATELY_S), WorkerRow.seen_at < now + timedelta(seconds=AHEAD_S)
    )


def alive(session: Session, now: datetime) -> list[WorkerRow]:
    """Those that gave a sign of life lately, by name."""
    return list(session.scalars(select(WorkerRow).where(seen_lately(now)).order_by(WorkerRow.name)))
