"""Which workers live, by their last sign of life."""

from __future__ import annotations

from datetime import datetime, timedelta

from sqlalchemy import ColumnElement, and_

from backend.store.models import WorkerRow

#: A sign from further ahead was given before the clock was set back: it says nothing of now.
AHEAD_S = 15.0


def seen_within(seconds: float, *, now: datetime) -> ColumnElement[bool]:
    """The last sign is no older than this."""
    return and_(
        WorkerRow.seen_at > now - timedelta(seconds=seconds), WorkerRow.seen_at < now + timedelta(seconds=AHEAD_S)
    )
