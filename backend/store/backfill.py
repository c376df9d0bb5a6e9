"""Runs that repeat each other: the hash of a config without its seed, for rows from before it was kept."""

from __future__ import annotations

from sqlalchemy import select, update

from backend.context import Context
from backend.store.models import RunRow
from core.schemas.run import RunConfig

AT_ONCE = 500


def mark_older_repeats(context: Context) -> None:
    """At start: `repeat_hash` of every row that has none."""
    while True:
        with context.database.read() as session:
            rows = session.execute(
                select(RunRow.id, RunRow.config).where(RunRow.repeat_hash == "").limit(AT_ONCE)
            ).all()
        if not rows:
            return
        hashes = [
            {"id": run_id, "repeat_hash": RunConfig.model_validate(config).repeat_hash} for run_id, config in rows
        ]
        with context.database.write() as session:
            session.execute(update(RunRow), hashes)
