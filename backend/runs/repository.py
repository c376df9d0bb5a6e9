"""Queries over runs, their events and tallies. No state is changed here: that is `lifecycle`."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Row, Select, and_, case, delete, func, or_, select
from sqlalchemy.orm import Session, defer

from backend.models import RunEventRow, RunRow, RunTallyRow
from core.errors import NotFound, NotReady
from core.schemas.run import Kind, RunState

Cursor = tuple[datetime, str]  # created_at and id of the last row seen
FINAL = [state for state in RunState if state.is_final]
EVENTS_AT_ONCE = 500


@dataclass(frozen=True, kw_only=True)
class RunWhere:
    """Filters of a list; an empty one lets everything pass."""

    states: Sequence[RunState] = ()
    kind: Kind | None = None
    dataset: str | None = None
    backbone: str | None = None
    masks: Sequence[str] = ()
    recipe: str | None = None

    def apply(self, statement: Select) -> Select:
        for column, value in (
            (RunRow.kind, self.kind),
            (RunRow.dataset, self.dataset),
            (RunRow.backbone, self.backbone),
            (RunRow.recipe, self.recipe),
        ):
            if value is not None:
                statement = statement.where(column == value)
        if self.states:
            statement = statement.where(RunRow.state.in_(self.states))
        if self.masks:
            statement = statement.where(RunRow.mask.in_(self.masks))
        return statement


class RunRepository:
    """Reads within one session."""

    def __init__(self, session: Session) -> None:
        self._session = session

    def get(self, run_id: str) -> RunRow | None:
        return self._session.get(RunRow, run_id)

    def require(self, run_id: str) -> RunRow:
        """The run; raises NotFound."""
        row = self.get(run_id)
        if row is None:
            raise NotFound(kind="run", id=run_id)
        return row

    def require_succeeded(self, run_id: str, *, what: str) -> RunRow:
        """The run with its results; raises NotFound, or NotReady naming `what` it does not have yet."""
        row = self.require(run_id)
        if row.state != RunState.SUCCEEDED:
            raise NotReady(run_id=run_id, state=row.state, what=what)
        return row

    def page(self, where: RunWhere, *, after: Cursor | None, limit: int) -> list[RunRow]:
        """Newest first; rows after the cursor's."""
        statement = where.apply(select(RunRow)).order_by(RunRow.created_at.desc(), RunRow.id.desc()).limit(limit)
        if after is not None:
            created_at, run_id = after
            statement = statement.where(
                or_(RunRow.created_at < created_at, and_(RunRow.created_at == created_at, RunRow.id < run_id))
            )
        return list(self._session.scalars(statement))

    def count(self, where: RunWhere) -> int:
        return self._session.scalar(where.apply(select(func.count()).select_from(RunRow))) or 0

    def twins(self, twin_hashes: Iterable[str]) -> list[Row[tuple[str, str, str, str]]]:
        """(id, kind, state, twin_hash) of all runs with these hashes, newest first."""
        return list(
            self._session.execute(
                select(RunRow.id, RunRow.kind, RunRow.state, RunRow.twin_hash)
                .where(RunRow.twin_hash.in_(set(twin_hashes)))
                .order_by(RunRow.created_at.desc(), RunRow.id.desc())
            )
        )

    def succeeded_twin(self, row: RunRow) -> RunRow | None:
        """The newest succeeded run of the other kind with the same config."""
        return self._session.scalars(
            select(RunRow)
            .where(
                RunRow.twin_hash == row.twin_hash,
                RunRow.kind == Kind(row.kind).twin,
                RunRow.state == RunState.SUCCEEDED,
            )
            .order_by(RunRow.created_at.desc(), RunRow.id.desc())
            .limit(1)
        ).first()

    def equal(self, config_hash: str) -> RunRow | None:
        """A run with this config that has succeeded, or else one that still may."""
        hopeless = (RunState.FAILED, RunState.CANCELLED, RunState.CANCELLING)
        return self._session.scalars(
            select(RunRow)
            .where(RunRow.config_hash == config_hash, RunRow.state.not_in(hopeless))
            .order_by(case((RunRow.state == RunState.SUCCEEDED, 0), else_=1), RunRow.created_at.desc())
            .limit(1)
        ).first()

    def like(self, *, kind: Kind, dataset: str, backbone: str) -> RunRow | None:
        """The succeeded run whose speed tells most of such a run's: by kind, data set, backbone, then the newest."""
        return self._session.scalars(
            select(RunRow)
            .where(RunRow.state == RunState.SUCCEEDED, RunRow.ops_per_s.is_not(None))
            .order_by(
                case((RunRow.kind == kind, 0), else_=1),
                case((RunRow.dataset == dataset, 0), else_=1),
                case((RunRow.backbone == backbone, 0), else_=1),
                RunRow.created_at.desc(),
            )
            .limit(1)
        ).first()

    def delete_final(self, run_id: str) -> bool:
        """Remove a run in a final state, with its events, tallies, shares and keys; False when there is none such."""
        gone = delete(RunRow).where(RunRow.id == run_id, RunRow.state.in_(FINAL))
        return self._session.execute(gone).rowcount == 1

    def events_after(self, run_id: str, event_id: int) -> list[RunEventRow]:
        return list(
            self._session.scalars(
                select(RunEventRow)
                .where(RunEventRow.run_id == run_id, RunEventRow.id > event_id)
                .order_by(RunEventRow.id)
                .limit(EVENTS_AT_ONCE)
            )
        )

    def epochs(self, run_id: str) -> list[RunEventRow]:
        return list(
            self._session.scalars(
                select(RunEventRow)
                .where(RunEventRow.run_id == run_id, RunEventRow.type == "epoch")
                .order_by(RunEventRow.epoch)
            )
        )

    def measured(self, dataset: str, mode: str) -> list[Row[tuple[RunRow, float, float]]]:
        """(run, ACs, MACs) of all succeeded runs on a data set, oldest first."""
        return list(
            self._session.execute(
                select(RunRow, RunTallyRow.acs, RunTallyRow.macs)
                .join(RunTallyRow, and_(RunTallyRow.run_id == RunRow.id, RunTallyRow.mode == mode))
                .where(RunRow.dataset == dataset, RunRow.state == RunState.SUCCEEDED)
                .options(defer(RunRow.config), defer(RunRow.summary), defer(RunRow.progress), defer(RunRow.error))
                .order_by(RunRow.created_at, RunRow.id)
            )
        )

    def untallied(self, mode: str) -> list[str]:
        """Ids of succeeded runs that have no tally in this mode."""
        has = select(RunTallyRow.run_id).where(RunTallyRow.run_id == RunRow.id, RunTallyRow.mode == mode)
        return list(self._session.scalars(select(RunRow.id).where(RunRow.state == RunState.SUCCEEDED, ~has.exists())))
