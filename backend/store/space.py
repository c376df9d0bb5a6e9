"""Disk space that ended runs still take: checkpoints that only a retry would use, and bundles in the bin.

Files go before rows here, since a full disk often takes no write, not even one that deletes a row.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from datetime import datetime, timedelta

from sqlalchemy import delete, select

from backend.store.artifacts import Artifacts
from backend.store.db import Database
from backend.store.models import RunRow
from core.errors import StorageFull
from core.schemas.run import RunState

log = logging.getLogger("spikefront.space")

WITHOUT_RESULT = (RunState.FAILED, RunState.CANCELLED)
CHECKPOINT_S = 7 * 24 * 3600.0  # how long a run that ended without a result keeps its checkpoint for a retry
TIDY_EVERY_S = 3600.0
SECOND_THOUGHTS_S = 60.0  # a run deleted just now can be brought back, however full the disk is


class Space:
    """What can be given back, least missed first."""

    def __init__(
        self, database: Database, artifacts: Artifacts, *, clock: Callable[[], datetime], ticks: Callable[[], float]
    ) -> None:
        self._database = database
        self._artifacts = artifacts
        self._clock, self._ticks = clock, ticks
        self._next_tidy = float("-inf")

    def make_room(self, enough: Callable[[], bool]) -> bool:
        """Free checkpoints of ended runs, then empty the bin, oldest first, until `enough`; whether it is."""
        if self._artifacts.free_here():
            return enough()
        for run_id in self._with_checkpoint(older_than_s=0.0):
            if enough():
                return True
            self._drop_checkpoint(run_id)
        for run_id in self._in_bin(older_than_s=SECOND_THOUGHTS_S):
            if enough():
                return True
            self.remove(run_id)
        return enough()

    def tidy(self) -> None:
        """Free checkpoints that nobody has come back for; looks once an hour, however often it is called."""
        if self._ticks() < self._next_tidy:
            return
        self._next_tidy = self._ticks() + TIDY_EVERY_S
        self._artifacts.clear_work()
        for run_id in self._with_checkpoint(older_than_s=CHECKPOINT_S):
            self._drop_checkpoint(run_id)

    def remove(self, run_id: str) -> bool:
        """A run in the bin, for good; False when it is not there. On a full disk its row may stay, and is purged later."""
        gone = delete(RunRow).where(RunRow.id == run_id, RunRow.deleted_at.is_not(None))
        with self._database.read() as session:
            there = session.scalars(
                select(RunRow.id).where(RunRow.id == run_id, RunRow.deleted_at.is_not(None))
            ).first()
        if there is None:
            return False
        self._artifacts.delete(run_id)  # a row without a bundle is not restored
        log.info("run.purged", extra={"run_id": run_id})
        try:
            with self._database.write() as session:
                session.execute(gone)
        except StorageFull:
            log.warning("run.row_stays", extra={"run_id": run_id})
        return True

    def _with_checkpoint(self, *, older_than_s: float) -> list[str]:
        """Runs that ended without a result and have left something to go on from, the longest ended first."""
        ended = select(RunRow.id).where(
            RunRow.state.in_(WITHOUT_RESULT), RunRow.finished_at <= self._clock() - timedelta(seconds=older_than_s)
        )
        with self._database.read() as session:
            ids = list(session.scalars(ended.order_by(RunRow.finished_at)))
        return [run_id for run_id in ids if self._artifacts.has_unfinished(run_id)]

    def _drop_checkpoint(self, run_id: str) -> None:
        self._artifacts.drop_unfinished(run_id)
        log.info("run.checkpoint_dropped", extra={"run_id": run_id})

    def _in_bin(self, *, older_than_s: float) -> list[str]:
        due = RunRow.deleted_at < self._clock() - timedelta(seconds=older_than_s)
        with self._database.read() as session:
            return list(session.scalars(select(RunRow.id).where(due).order_by(RunRow.deleted_at)))
