"""Every run stopped after its first T' steps: figures kept in a table, so that a plot of many runs needs no bundle."""

from __future__ import annotations

import logging
from collections import defaultdict
from dataclasses import dataclass

from sqlalchemy.exc import IntegrityError

from backend.context import Context
from backend.runs.repository import RunRepository
from backend.store.models import RunStepRow
from backend.store.outcome import step_rows
from core.energy.bits import OF_BITS, bit_synops_of
from core.errors import BundleCorrupt

log = logging.getLogger("spikefront.runs")

FILLED_AT_ONCE = 200  # runs from before the table, worked out while somebody waits for a plot


@dataclass(frozen=True, kw_only=True)
class Stopped:
    """A run after its first steps: shares in [0, 1], operations per inference."""

    accuracy: float
    f1_macro: float
    firing_rate: float | None
    acs: float
    macs: float
    other: dict[str, float]
    bit_synops: float | None


def stopped(context: Context, *, dataset: str, mode: str, steps: int) -> dict[str, Stopped]:
    """Run -> its figures after `steps` steps, for the runs on a data set that have more.

    A run from before the table is worked out from its bundle, FILLED_AT_ONCE a call; one whose bundle cannot be read
    is left out.
    """
    _fill_missing(context, dataset, steps)
    with context.database.read() as session:
        rows = RunRepository(session).stepped(dataset, steps)
    return {row.run_id: _stopped(row, mode) for row in rows if mode in row.tallies}


def stops(context: Context, *, dataset: str, mode: str) -> dict[str, dict[int, Stopped]]:
    """Run -> its figures after each of its steps but the last, as far as they are known; filled as `stopped` does."""
    _fill_missing(context, dataset, 1)
    with context.database.read() as session:
        rows = RunRepository(session).every_step(dataset)
    found: defaultdict[str, dict[int, Stopped]] = defaultdict(dict)
    for row in rows:
        if mode in row.tallies:
            found[row.run_id][row.steps] = _stopped(row, mode)
    return found


def _stopped(row: RunStepRow, mode: str) -> Stopped:
    return Stopped(
        accuracy=row.accuracy,
        f1_macro=row.f1_macro,
        firing_rate=row.firing_rate,
        bit_synops=bit_synops_of(**row.tallies[OF_BITS]) if OF_BITS in row.tallies else None,
        **row.tallies[mode],
    )


def _fill_missing(context: Context, dataset: str, steps: int) -> None:
    with context.database.read() as session:
        missing = RunRepository(session).unstepped(dataset, steps, FILLED_AT_ONCE)
    for run_id in missing:
        _fill(context, run_id)


def _fill(context: Context, run_id: str) -> None:
    try:
        rows = step_rows(run_id, context.artifacts.bundle(run_id))
        with context.database.write() as session:
            for row in rows:
                session.merge(row)
    except BundleCorrupt as error:
        log.warning("run.not_stepped", extra={"run_id": run_id, "reason": error.message})
    except IntegrityError:  # another process was quicker, or the run was deleted
        return
