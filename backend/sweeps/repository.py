"""Queries over sweeps and the runs in them. A run in the bin is in none."""

from __future__ import annotations

from collections.abc import Iterable

from sqlalchemy import delete, func, select
from sqlalchemy.orm import Session

from backend.paging import Cursor, older_than
from backend.runs.repository import LIVE
from backend.store.db import rows_changed
from backend.store.models import RunRow, SweepRow, SweepRunRow
from core.errors import NotFound
from core.schemas.run import RunState


class SweepRepository:
    """Reads and writes within one session."""

    def __init__(self, session: Session) -> None:
        self._session = session

    def require(self, sweep_id: str) -> SweepRow:
        """The sweep; raises NotFound."""
        row = self._session.get(SweepRow, sweep_id)
        if row is None:
            raise NotFound(kind="sweep", id=sweep_id)
        return row

    def add(self, sweep: SweepRow, run_ids: Iterable[str]) -> None:
        self._session.add(sweep)
        self._session.flush()
        self.append(sweep.id, run_ids)

    def append(self, sweep_id: str, run_ids: Iterable[str], *, first: int = 0) -> None:
        """Runs that belong to the sweep, from position `first` on."""
        self._session.add_all(
            SweepRunRow(sweep_id=sweep_id, run_id=run_id, position=place)
            for place, run_id in enumerate(run_ids, start=first)
        )
        self._session.flush()

    def page(self, *, after: Cursor | None, limit: int) -> list[SweepRow]:
        """Newest first; rows after the cursor's."""
        statement = select(SweepRow).order_by(SweepRow.created_at.desc(), SweepRow.id.desc()).limit(limit)
        if after is not None:
            statement = statement.where(older_than(SweepRow, after))
        return list(self._session.scalars(statement))

    def count(self) -> int:
        return self._session.scalar(select(func.count()).select_from(SweepRow)) or 0

    def states(self, sweep_ids: Iterable[str]) -> dict[str, dict[RunState, int]]:
        """Sweep -> how many of its runs are in each state; states without a run are left out."""
        found: dict[str, dict[RunState, int]] = {sweep_id: {} for sweep_id in sweep_ids}
        counted = self._session.execute(
            select(SweepRunRow.sweep_id, RunRow.state, func.count())
            .join(RunRow, RunRow.id == SweepRunRow.run_id)
            .where(SweepRunRow.sweep_id.in_(list(found)), LIVE)
            .group_by(SweepRunRow.sweep_id, RunRow.state)
        )
        for sweep_id, state, n in counted:
            found[sweep_id][RunState(state)] = n
        return found

    def runs(self, sweep_id: str) -> list[RunRow]:
        """The runs in the order of their combinations."""
        return list(
            self._session.scalars(
                select(RunRow)
                .join(SweepRunRow, SweepRunRow.run_id == RunRow.id)
                .where(SweepRunRow.sweep_id == sweep_id, LIVE)
                .order_by(SweepRunRow.position)
            )
        )

    def delete(self, sweep_id: str) -> None:
        """Remove the grouping, not the runs; raises NotFound."""
        if rows_changed(self._session, delete(SweepRow).where(SweepRow.id == sweep_id)) != 1:
            raise NotFound(kind="sweep", id=sweep_id)
