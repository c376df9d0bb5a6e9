"""Queries over runs, their events and tallies. No state is changed here: that is `lifecycle`."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, TypeVarTuple

from sqlalchemy import Row, Select, and_, case, delete, func, insert, or_, select, update
from sqlalchemy.orm import Session, aliased, load_only

from backend.paging import Cursor, older_than
from backend.store.db import rows_changed
from backend.store.models import OPTIONS, RunEventRow, RunRow, RunStepRow, RunTagRow, RunTallyRow, SweepRunRow
from core.datasets.catalog import DATASETS
from core.datasets.identity import WHOLE
from core.energy.bits import OF_BITS
from core.errors import NotFound, NotReady
from core.schemas.run import Kind, RunState

Columns = TypeVarTuple("Columns")

FINAL = [state for state in RunState if state.is_final]
HOPELESS = (RunState.FAILED, RunState.CANCELLED, RunState.CANCELLING)
EVENTS_AT_ONCE = 500
PROGRESS = "progress"
TAG_END = "\n"  # no tag has one
KNOWN = (RunRow.id, RunRow.state, RunRow.accuracy, RunRow.config_hash, RunRow.data_digest)
LIVE = RunRow.deleted_at.is_(None)
SHOWN = RunRow.archived.is_(False)  # in lists and plots that do not ask for archived runs
#: What a plot of many runs says of each.
PLOTTED = (
    RunRow.id, RunRow.backbone, RunRow.kind, RunRow.mask, RunRow.dataset, RunRow.recipe, RunRow.seed, RunRow.time_steps,
    RunRow.accuracy, RunRow.f1_macro, RunRow.params, RunRow.firing_rate, RunRow.n_train, RunRow.n_test,
    RunRow.dataset_complete, RunRow.name, RunRow.differs, RunRow.archived, RunRow.finished_at, RunRow.repeat_hash, RunRow.twin_hash, RunRow.data_digest,
    RunTallyRow.acs, RunTallyRow.macs, RunTallyRow.other, RunRow.import_digest.is_not(None).label("imported"), *OPTIONS,
    RunRow.config["compression"].label("compression"),
)  # fmt: skip
#: search.what of a run's config; null in one from before there were searches.
SEARCHES = RunRow.config[("search", "what")].as_string()


@dataclass(frozen=True, kw_only=True)
class Speed:
    """How fast a finished run was, all its epochs and tests, in the forecast's MAC equivalents."""

    id: str
    ops_per_s: float
    label: str
    dataset: str
    device: str | None


@dataclass(frozen=True, kw_only=True)
class RunWhere:
    """Filters of a list; an empty one lets everything pass."""

    states: Sequence[RunState] = ()
    kind: Kind | None = None
    dataset: str | None = None
    backbone: str | None = None
    masks: Sequence[tuple[str, ...]] = ()
    recipe: str | None = None
    tag: str | None = None
    submitter: str | None = None
    project: str | None = None
    q: str | None = None
    sweep: str | None = None
    deleted: bool = False
    archived: bool = False  # those too

    def apply(self, statement: Select[*Columns]) -> Select[*Columns]:
        statement = statement.where(~LIVE if self.deleted else LIVE)
        if not self.archived and not self.deleted:
            statement = statement.where(SHOWN)
        for column, value in (
            (RunRow.kind, self.kind),
            (RunRow.dataset, self.dataset),
            (RunRow.backbone, self.backbone),
            (RunRow.recipe, self.recipe),
            (RunRow.submitter, self.submitter),
            (RunRow.project, self.project),
        ):
            if value is not None:
                statement = statement.where(column == value)
        if self.states:
            statement = statement.where(RunRow.state.in_(self.states))
        if self.masks:
            statement = statement.where(RunRow.mask.in_(self.masks))
        tagged = select(RunTagRow.run_id).where(RunTagRow.run_id == RunRow.id)
        if self.tag is not None:
            statement = statement.where(tagged.where(RunTagRow.tag == self.tag).exists())
        if self.sweep is not None:
            swept = select(SweepRunRow.run_id).where(SweepRunRow.sweep_id == self.sweep)
            statement = statement.where(RunRow.id.in_(swept))
        if self.q:
            statement = statement.where(
                or_(
                    RunRow.label.icontains(self.q, autoescape=True),
                    RunRow.differs.icontains(self.q, autoescape=True),
                    RunRow.name.icontains(self.q, autoescape=True),
                    RunRow.note.icontains(self.q, autoescape=True),
                    RunRow.id.istartswith(self.q, autoescape=True),
                    tagged.where(RunTagRow.tag.icontains(self.q, autoescape=True)).exists(),
                )
            )
        return statement


class RunRepository:
    """Reads within one session, and writes of what is no state: tags, the bin. A run in the bin is not there."""

    def __init__(self, session: Session) -> None:
        self._session = session

    def get(self, run_id: str) -> RunRow | None:
        row = self._session.get(RunRow, run_id)
        return row if row is not None and row.deleted_at is None else None

    def require(self, run_id: str, *, to_change: bool = False) -> RunRow:
        """The run, no one else's to change until the end of the transaction if it is so asked; raises NotFound."""
        if to_change:  # SQLite, where one writes at a time, has no such words and leaves them out
            self._session.get(RunRow, run_id, with_for_update=True, populate_existing=True)
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
            statement = statement.where(older_than(RunRow, after))
        return list(self._session.scalars(statement))

    def these(self, run_ids: Sequence[str]) -> list[RunRow]:
        """Runs by their ids, in no order; one that is not there is left out."""
        return list(self._session.scalars(select(RunRow).where(RunRow.id.in_(run_ids), LIVE)))

    def count(self, where: RunWhere) -> int:
        return self._session.scalar(where.apply(select(func.count()).select_from(RunRow))) or 0

    def twins(self, twin_hashes: Iterable[str]) -> list[Row[str, str, str, str]]:
        """(id, kind, state, twin_hash) of all runs with these hashes, newest first."""
        return list(
            self._session.execute(
                select(RunRow.id, RunRow.kind, RunRow.state, RunRow.twin_hash)
                .where(RunRow.twin_hash.in_(set(twin_hashes)), LIVE)
                .order_by(RunRow.created_at.desc(), RunRow.id.desc())
            )
        )

    def succeeded_twin(self, row: RunRow) -> RunRow | None:
        """The newest succeeded run of the other kind with the same config on the same images."""
        return self._session.scalars(
            select(RunRow)
            .where(
                RunRow.twin_hash == row.twin_hash,
                RunRow.kind == Kind(row.kind).twin,
                RunRow.state == RunState.SUCCEEDED,
                LIVE,
            )
            .order_by(RunRow.created_at.desc(), RunRow.id.desc())
            .limit(1)
        ).first()

    def equal(self, config_hash: str, images: str) -> RunRow | None:
        """A run with this config on these images that has succeeded, or else one that still may."""
        return self.equals({config_hash: images}).get(config_hash)

    def equals(self, images: Mapping[str, str]) -> dict[str, RunRow]:
        """The same for many, of config hash -> digest of the images: config hash -> run, where there is one.

        Of each run only what KNOWN lists: to read whole configs takes longer than to find the runs.
        """
        rows = self._session.scalars(
            select(RunRow)
            .options(load_only(*KNOWN, raiseload=True))
            .where(RunRow.config_hash.in_(set(images)), RunRow.state.not_in(HOPELESS), LIVE)
            .order_by(case((RunRow.state == RunState.SUCCEEDED, 0), else_=1), RunRow.created_at.desc())
        )
        found: dict[str, RunRow] = {}
        for row in rows:
            if (row.data_digest or WHOLE) == images[row.config_hash]:
                found.setdefault(row.config_hash, row)
        return found

    def like(self, *, kind: Kind, dataset: str, backbone: str) -> Speed | None:
        """Of the succeeded run whose speed tells most of such a run's: by kind, data set, backbone, then the one of most
        training images, since a tiny one is slow by what each run does once; of equals the newest."""
        row = self._session.execute(
            select(RunRow.id, RunRow.ops_per_s, RunRow.label, RunRow.dataset, RunRow.device)
            .where(RunRow.state == RunState.SUCCEEDED, RunRow.ops_per_s.is_not(None), LIVE)
            .order_by(
                case((RunRow.kind == kind, 0), else_=1),
                case((RunRow.dataset == dataset, 0), else_=1),
                case((RunRow.backbone == backbone, 0), else_=1),
                RunRow.n_train.desc(),
                RunRow.created_at.desc(),
            )
            .limit(1)
        ).first()
        if row is None or not row.ops_per_s:
            return None
        return Speed(id=row.id, ops_per_s=row.ops_per_s, label=row.label, dataset=row.dataset, device=row.device)

    def put_in_bin(self, run_id: str, *, now: datetime) -> bool:
        """Hide a run in a final state until it is restored or purged; False when there is none such."""
        gone = update(RunRow).where(RunRow.id == run_id, RunRow.state.in_(FINAL), LIVE).values(deleted_at=now)
        return rows_changed(self._session, gone) == 1

    def restore(self, run_id: str) -> None:
        """Take a run out of the bin; one that is not in it stays as it is. Raises NotFound."""
        back = update(RunRow).where(RunRow.id == run_id).values(deleted_at=None)
        if rows_changed(self._session, back) != 1:
            raise NotFound(kind="run", id=run_id)

    def tags(self, run_ids: Iterable[str]) -> dict[str, list[str]]:
        """Run -> its tags, sorted."""
        wanted = select(RunTagRow.run_id, RunTagRow.tag).where(RunTagRow.run_id.in_(set(run_ids)))
        return _gathered(self._session.execute(wanted))

    def set_tags(self, run_id: str, tags: Iterable[str]) -> None:
        self._session.execute(delete(RunTagRow).where(RunTagRow.run_id == run_id))
        if rows := [{"run_id": run_id, "tag": tag} for tag in sorted(set(tags))]:
            self._session.execute(insert(RunTagRow), rows)

    def sweeps(self, run_ids: Iterable[str]) -> dict[str, list[str]]:
        """Run -> the sweeps that it is in."""
        wanted = select(SweepRunRow.run_id, SweepRunRow.sweep_id).where(SweepRunRow.run_id.in_(set(run_ids)))
        return _gathered(self._session.execute(wanted))

    def tallies(self, run_ids: Iterable[str], mode: str) -> dict[str, RunTallyRow]:
        """Run -> its operations in a mode; a run without results has none."""
        wanted = select(RunTallyRow).where(RunTallyRow.run_id.in_(set(run_ids)), RunTallyRow.mode == mode)
        return {row.run_id: row for row in self._session.scalars(wanted)}

    def events_after(self, run_id: str, event_id: int) -> list[RunEventRow]:
        """What happened after an event, in order; progress, whose one row changes, is not among it."""
        return list(
            self._session.scalars(
                select(RunEventRow)
                .where(RunEventRow.run_id == run_id, RunEventRow.id > event_id, RunEventRow.type != PROGRESS)
                .order_by(RunEventRow.id)
                .limit(EVENTS_AT_ONCE)
            )
        )

    def progress(self, run_id: str) -> RunEventRow | None:
        """The newest; None before the first."""
        newest = select(RunEventRow).where(RunEventRow.run_id == run_id, RunEventRow.type == PROGRESS)
        return self._session.scalars(newest.order_by(RunEventRow.id.desc()).limit(1)).first()

    def epochs(self, run_id: str) -> list[RunEventRow]:
        return list(
            self._session.scalars(
                select(RunEventRow)
                .where(RunEventRow.run_id == run_id, RunEventRow.type == "epoch")
                .order_by(RunEventRow.epoch)
            )
        )

    def datasets(self) -> list[str]:
        """Names of the data sets of all runs, in alphabetical order."""
        return sorted(self._session.scalars(select(RunRow.dataset).where(LIVE).distinct()))

    def require_dataset(self, name: str) -> None:
        """Raises UnknownName for a data set that is in no table and that no run is on: runs outlive theirs."""
        if name not in DATASETS and name not in self.datasets():
            DATASETS[name]  # says which there are

    def of_configs(self, hashes: Iterable[str]) -> list[RunRow]:
        """Succeeded runs with one of these config hashes, oldest first."""
        wanted = select(RunRow).where(RunRow.config_hash.in_(list(hashes)), RunRow.state == RunState.SUCCEEDED, LIVE)
        return list(self._session.scalars(wanted.order_by(RunRow.created_at, RunRow.id)))

    def measured(self, dataset: str, mode: str, *, archived: bool = False) -> Sequence[Row[*tuple[Any, ...]]]:
        """All succeeded runs on a data set with their operations in a mode, oldest first, in one statement. Searches are
        left out: they are no networks, and what they have found is trained as a run of its own.

        A row has the columns of PLOTTED, those of the tally in OF_BITS with `bits_` before them, and `sweeps` and `tags`, joined by TAG_END; None where there is none. Columns
        and not objects: of ten thousand runs those would take longer than all else.
        """
        swept = select(func.aggregate_strings(SweepRunRow.sweep_id, TAG_END)).where(SweepRunRow.run_id == RunRow.id)
        tagged = select(func.aggregate_strings(RunTagRow.tag, TAG_END)).where(RunTagRow.run_id == RunRow.id)
        of_bits = aliased(RunTallyRow)
        return self._session.execute(
            select(
                *PLOTTED,
                of_bits.acs.label("bits_acs"),
                of_bits.macs.label("bits_macs"),
                of_bits.other.label("bits_other"),
                swept.scalar_subquery().label("sweeps"),
                tagged.scalar_subquery().label("tags"),
            )
            .join(RunTallyRow, and_(RunTallyRow.run_id == RunRow.id, RunTallyRow.mode == mode))
            .outerjoin(of_bits, and_(of_bits.run_id == RunRow.id, of_bits.mode == OF_BITS))
            .where(RunRow.dataset == dataset, RunRow.state == RunState.SUCCEEDED, LIVE, *(() if archived else (SHOWN,)))
            .where(or_(RunRow.kind == Kind.CNN, func.coalesce(SEARCHES, "nothing") == "nothing"))
            .order_by(RunRow.created_at, RunRow.id)
        ).all()

    def stepped(self, dataset: str, steps: int) -> list[RunStepRow]:
        """What succeeded runs on a data set are after so many of their steps."""
        return list(
            self._session.scalars(
                select(RunStepRow)
                .join(RunRow, RunRow.id == RunStepRow.run_id)
                .where(RunRow.dataset == dataset, RunRow.state == RunState.SUCCEEDED, LIVE, RunStepRow.steps == steps)
            )
        )

    def every_step(self, dataset: str) -> list[RunStepRow]:
        """What succeeded runs on a data set are after each of their steps but the last."""
        return list(
            self._session.scalars(
                select(RunStepRow)
                .join(RunRow, RunRow.id == RunStepRow.run_id)
                .where(RunRow.dataset == dataset, RunRow.state == RunState.SUCCEEDED, LIVE)
            )
        )

    def unstepped(self, dataset: str, steps: int, limit: int) -> list[str]:
        """Ids of succeeded runs of more steps than these that have no figures after them, newest first."""
        has = select(RunStepRow.run_id).where(RunStepRow.run_id == RunRow.id, RunStepRow.steps == steps)
        wanted = select(RunRow.id).where(
            RunRow.dataset == dataset,
            RunRow.state == RunState.SUCCEEDED,
            LIVE,
            RunRow.time_steps > steps,
            ~has.exists(),
        )
        return list(self._session.scalars(wanted.order_by(RunRow.created_at.desc()).limit(limit)))


def _gathered(pairs: Iterable[Row[str, str]]) -> dict[str, list[str]]:
    """Sorted here: each server sorts words by a language of its own."""
    found: dict[str, list[str]] = {}
    for run_id, value in sorted((run_id, value) for run_id, value in pairs):
        found.setdefault(run_id, []).append(value)
    return found
