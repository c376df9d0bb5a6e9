"""What rows from older versions lack, filled in at start: tallies, labels, the hash of repeats."""

from __future__ import annotations

import logging
from typing import Any

from sqlalchemy import select, update
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from backend.store.artifacts import Artifacts
from backend.store.db import Database
from backend.store.models import OPTIONS, RunRow, RunTallyRow
from backend.store.outcome import tallies
from core.backbones.catalog import SMALL
from core.backbones.naming import network_label
from core.energy.modes import MODES
from core.errors import BundleCorrupt
from core.repeats import RULE, repeat_key
from core.schemas.architecture import ArchitectureConfig
from core.schemas.results import Summary
from core.schemas.run import RunConfig, RunState

log = logging.getLogger("spikefront.store")

AT_ONCE = 500


def fill_older_rows(database: Database, artifacts: Artifacts) -> None:
    """All of it; quick where nothing is missing."""
    _tally(database, artifacts)
    _label(database)
    _mark_repeats(database)


def _tally(database: Database, artifacts: Artifacts) -> None:
    """Tallies of runs that ended before an accounting mode was what it is, from their stored counts."""
    for mode in MODES:
        with database.read() as session:
            missing = _untallied(session, mode)
        for run_id in missing:
            try:
                rows = tallies(run_id, artifacts.bundle(run_id).counts(), [mode])
                with database.write() as session:
                    for row in rows:
                        session.merge(row)  # in the place of one from an older version, if there is one
            except BundleCorrupt as error:
                log.warning("run.not_tallied", extra={"run_id": run_id, "mode": mode, "reason": error.message})
            except IntegrityError:  # another process was quicker, or the run was deleted
                continue


def _untallied(session: Session, mode: str) -> list[str]:
    """Ids of succeeded runs that have no whole tally in this mode."""
    has = select(RunTallyRow.run_id).where(
        RunTallyRow.run_id == RunRow.id, RunTallyRow.mode == mode, RunTallyRow.other.is_not(None)
    )
    return list(session.scalars(select(RunRow.id).where(RunRow.state == RunState.SUCCEEDED, ~has.exists())))


def _label(database: Database) -> None:
    """The searched label of runs from before it was kept, or from before a network had its present name."""
    with database.read() as session:
        columns = (RunRow.id, RunRow.label, RunRow.kind, RunRow.backbone, RunRow.mask, *OPTIONS)
        stored = session.execute(select(*columns)).all()
    named = ((run_id, old, _stored_label(*parts)) for run_id, old, *parts in stored)
    renamed = [{"id": run_id, "label": new} for run_id, old, new in named if new != old]
    if renamed:
        with database.write() as session:
            session.execute(update(RunRow), renamed)


def _stored_label(
    kind: str, backbone: str, mask: str, definition: str | None, architecture: dict[str, Any] | None
) -> str:
    """From the columns of a row and the two parts of its config, which an older config lacks."""
    return network_label(
        kind=kind,
        backbone=backbone,
        mask=tuple(mask.split(",")),
        definition=definition or SMALL,
        architecture=ArchitectureConfig.model_validate(architecture or {}),
    )


def _mark_repeats(database: Database) -> None:
    """`repeat_hash` of every row that has none, or one by an older rule."""
    while True:
        with database.read() as session:
            rows = session.execute(
                select(RunRow.id, RunRow.config, RunRow.summary)
                .where(RunRow.repeat_hash.not_like(f"{RULE}%"))
                .limit(AT_ONCE)
            ).all()
        if not rows:
            return
        hashes = [{"id": run_id, "repeat_hash": _repeat(config, summary)} for run_id, config, summary in rows]
        with database.write() as session:
            session.execute(update(RunRow), hashes)


def _repeat(config: dict[str, Any], summary: dict[str, Any] | None) -> str:
    finished = Summary.model_validate(summary) if summary is not None else None
    return repeat_key(RunConfig.model_validate(config), finished)
