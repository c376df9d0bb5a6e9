"""Succeeded runs of the printed networks, from the rows of the database."""

from __future__ import annotations

from sqlalchemy import select

from backend.context import Context
from backend.pareto.service import tally_pj
from backend.runs.repository import LIVE, RunRepository
from backend.store.models import RunRow
from core.energy.profiles import profiles
from core.measured import Bill, MeasuredRun
from core.paper.beside import MODES_BESIDE, beside_printed
from core.paper.printed import printed_rows
from core.schemas.audit import MeasuredAudit
from core.schemas.prices import DEFAULT_PROFILE
from core.schemas.results import Summary
from core.schemas.run import RunConfig, RunState


def measured(context: Context) -> MeasuredAudit:
    """Runs beside the printed rows; a run whose operations could not be counted in both modes is left out."""
    prices = profiles()[DEFAULT_PROFILE]  # the paper's
    rows = printed_rows().values()
    wanted = (
        select(RunRow)
        .where(RunRow.state == RunState.SUCCEEDED, LIVE)
        .where(RunRow.dataset.in_({row.dataset for row in rows}), RunRow.backbone.in_({row.backbone for row in rows}))
        .where(RunRow.mask.in_({",".join(row.mask) for row in rows}))
        .order_by(RunRow.created_at, RunRow.id)
    )
    with context.database.read() as session:
        found = list(session.scalars(wanted))
        tallies = {mode: RunRepository(session).tallies([row.id for row in found], mode) for mode in MODES_BESIDE}
    runs = []
    for row in found:
        counted = {mode: known[row.id] for mode, known in tallies.items() if row.id in known}
        if len(counted) < len(MODES_BESIDE):
            continue
        run = MeasuredRun(
            path=context.artifacts.folder(row.id),
            config=RunConfig.model_validate(row.config),
            summary=Summary.model_validate(row.summary),
            bills={
                mode: Bill(acs=tally.acs, macs=tally.macs, energy_pj=tally_pj(tally, prices))
                for mode, tally in counted.items()
            },
        )
        runs.append((row.id, run))
    return MeasuredAudit(profile=DEFAULT_PROFILE, measured=beside_printed(runs))
