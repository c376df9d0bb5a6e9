"""Many runs as columns, priced in a mode at a profile: what a table of all of them is drawn from."""

from __future__ import annotations

from typing import Any

from sqlalchemy import and_, func, select

from backend.context import Context
from backend.runs.listed import kept_answer
from backend.runs.repository import TAG_END, RunRepository, RunWhere
from backend.store.models import OPTIONS, RunRow, RunTagRow, RunTallyRow, SweepRunRow
from core.backbones.naming import known_mask
from core.energy.modes import MODES, Mode
from core.energy.price import energy_pj
from core.energy.profiles import profiles
from core.schemas.architecture import ArchitectureConfig
from core.schemas.named import described
from core.schemas.prices import Profile
from core.schemas.run import RunState
from core.schemas.run_table import RunColumns, RunCounts

#: Columns that stand in the table as they are in the row.
PLAIN = (
    "id", "state", "kind", "backbone", "dataset", "recipe", "seed", "time_steps", "accuracy", "f1_macro", "params",
    "firing_rate", "n_train", "n_test", "dataset_complete", "created_at", "started_at", "finished_at", "name", "note",
    "archived", "submitter", "project",
)  # fmt: skip


def columns_json(context: Context, where: RunWhere, *, mode: str, profile: str) -> bytes:
    """RunColumns as JSON; what has not changed since somebody asked for it is not worked out again."""
    accounting, prices = MODES[mode], profiles()[profile]
    return kept_answer(
        context,
        where.dataset,
        (repr(where), "columns", accounting.name, prices.model_dump_json()),
        lambda: columns(context, where, accounting=accounting, prices=prices),
    )


def columns(context: Context, where: RunWhere, *, accounting: Mode, prices: Profile) -> RunColumns:
    """Every run that the filters let through, newest first, in one statement.

    `label` holds what sets a run apart from its recipe; `energy_pj`, `acs` and `macs` are null without results.
    Raises UnknownName, or BadValue for a profile that lacks a price of the mode.
    """
    swept = select(func.aggregate_strings(SweepRunRow.sweep_id, TAG_END)).where(SweepRunRow.run_id == RunRow.id)
    tagged = select(func.aggregate_strings(RunTagRow.tag, TAG_END)).where(RunTagRow.run_id == RunRow.id)
    wanted = (
        select(
            *(getattr(RunRow, name) for name in PLAIN), RunRow.label, RunRow.differs, RunRow.mask, *OPTIONS,
            RunTallyRow.acs, RunTallyRow.macs, RunTallyRow.other,
            swept.scalar_subquery().label("sweeps"), tagged.scalar_subquery().label("tags"),
        )
        .join(RunTallyRow, and_(RunTallyRow.run_id == RunRow.id, RunTallyRow.mode == accounting.name), isouter=True)
        .order_by(RunRow.created_at.desc(), RunRow.id.desc())
    )  # fmt: skip
    with context.database.read() as session:
        if where.dataset is not None:
            RunRepository(session).require_dataset(where.dataset)
        rows = session.execute(where.apply(wanted)).all()
    found: dict[str, list[Any]] = {name: [getattr(row, name) for row in rows] for name in PLAIN}
    found["label"] = [described(row.label, row.differs or "") for row in rows]
    masks: dict[tuple[Any, ...], str] = {}
    found["mask"] = [_mask(row, masks) for row in rows]
    found["acs"], found["macs"] = [row.acs for row in rows], [row.macs for row in rows]
    found["energy_pj"] = [
        None if row.acs is None else energy_pj(row.acs, row.macs, prices, row.other or {}) for row in rows
    ]
    found["tags"] = [sorted(row.tags.split(TAG_END)) if row.tags else [] for row in rows]
    found["sweeps"] = [sorted(row.sweeps.split(TAG_END)) if row.sweeps else [] for row in rows]
    return RunColumns(n=len(rows), mode=accounting.name, profile=prices.name, columns=found)


def counts_json(context: Context, where: RunWhere) -> bytes:
    """RunCounts as JSON, kept as those of `columns_json` are."""
    return kept_answer(context, where.dataset, (repr(where), "counts"), lambda: counts(context, where))


def counts(context: Context, where: RunWhere) -> RunCounts:
    """How many runs the filters let through, by state."""
    wanted = where.apply(select(RunRow.state, func.count())).group_by(RunRow.state)
    with context.database.read() as session:
        return RunCounts(states={RunState(state): count for state, count in session.execute(wanted)})


def _mask(row: Any, known: dict[tuple[Any, ...], str]) -> str:
    """The mask's name, or the kept blocks where it has none."""
    key = (row.backbone, row.mask, row.definition, *(row.architecture or {}).values())
    if key not in known:
        options = ArchitectureConfig.model_validate(row.architecture or {})
        named = known_mask(row.backbone, row.mask, row.definition or "small", options)
        known[key] = named or ",".join(row.mask)
    return known[key]
