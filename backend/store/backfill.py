"""What rows from older versions lack, filled in at start: tallies, labels, the hash of repeats."""

from __future__ import annotations

import logging

from sqlalchemy import select, update
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from backend.store.artifacts import Artifacts
from backend.store.db import Database
from backend.store.models import RunRow, RunTallyRow
from backend.store.outcome import tallies
from core.backbones.naming import network_label
from core.energy.modes import MODES
from core.errors import BundleCorrupt
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
    """The searched label of runs from before it was kept, or from before a mask had its present name."""
    with database.read() as session:
        columns = (RunRow.kind, RunRow.backbone, RunRow.mask, RunRow.label)
        stored = session.execute(select(*columns).distinct()).all()
    for kind, backbone, mask, old in stored:
        new = network_label(kind=kind, backbone=backbone, mask=tuple(mask.split(",")))
        if new != old:
            same = (RunRow.kind == kind, RunRow.backbone == backbone, RunRow.mask == mask)
            with database.write() as session:
                session.execute(update(RunRow).where(*same).values(label=new))


def _mark_repeats(database: Database) -> None:
    """`repeat_hash` of every row that has none."""
    while True:
        with database.read() as session:
            rows = session.execute(
                select(RunRow.id, RunRow.config).where(RunRow.repeat_hash == "").limit(AT_ONCE)
            ).all()
        if not rows:
            return
        hashes = [
            {"id": run_id, "repeat_hash": RunConfig.model_validate(config).repeat_hash} for run_id, config in rows
        ]
        with database.write() as session:
            session.execute(update(RunRow), hashes)
