"""Succeeded runs of the printed networks, from the rows of the database."""

from __future__ import annotations

from backend.context import Context
from backend.pareto.measured import measured_runs
from backend.store.models import RunRow
from core.paper.beside import MODES_BESIDE, beside_printed
from core.paper.printed import printed_rows
from core.schemas.audit import MeasuredAudit
from core.schemas.prices import DEFAULT_PROFILE


def measured(context: Context) -> MeasuredAudit:
    """Runs beside the printed rows, at the paper's prices."""
    rows = printed_rows().values()
    runs = measured_runs(
        context,
        RunRow.dataset.in_({row.dataset for row in rows}),
        RunRow.backbone.in_({row.backbone for row in rows}),
        RunRow.mask.in_({row.mask for row in rows}),
        modes=MODES_BESIDE,
        profile=DEFAULT_PROFILE,
    )
    return MeasuredAudit(profile=DEFAULT_PROFILE, measured=beside_printed(runs.items()))
