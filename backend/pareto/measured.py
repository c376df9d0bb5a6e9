"""Succeeded runs, priced from their stored operations, as the science takes runs from bundles."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from sqlalchemy import ColumnElement, select

from backend.context import Context
from backend.pareto.service import tally_pj
from backend.runs.repository import LIVE, RunRepository
from backend.store.identity import on_images, on_same_images
from backend.store.models import RunRow
from core.energy.profiles import profiles
from core.measured import Bill, MeasuredRun
from core.schemas.results import Summary
from core.schemas.run import RunConfig, RunState


def measured_runs(
    context: Context, *where: ColumnElement[bool], modes: Sequence[str], profile: str, images_of: str | None = None
) -> Mapping[str, MeasuredRun]:
    """Run id -> run, oldest first; a run whose operations could not be counted in each of the modes is left out.

    `images_of`: only runs on the images that the name of this data set stands for now. Raises BadValue where the profile lacks a price that a mode needs.
    """
    prices = profiles()[profile]
    wanted = select(RunRow).where(RunRow.state == RunState.SUCCEEDED, LIVE, *where)
    with context.database.read() as session:
        rows = list(session.scalars(wanted.order_by(RunRow.created_at, RunRow.id)))
        tallies = {mode: RunRepository(session).tallies([row.id for row in rows], mode) for mode in modes}
    if images_of is not None:
        rows = on_same_images(rows, images_of, context.settings.data)
    runs = {}
    for row in rows:
        counted = {mode: known[row.id] for mode, known in tallies.items() if row.id in known}
        if len(counted) == len(modes):
            runs[row.id] = MeasuredRun(
                path=context.artifacts.folder(row.id),
                config=RunConfig.model_validate(row.config),
                summary=on_images(Summary.model_validate(row.summary), row.data_digest),
                bills={
                    mode: Bill(acs=tally.acs, macs=tally.macs, energy_pj=tally_pj(tally, prices))
                    for mode, tally in counted.items()
                },
            )
    return runs
