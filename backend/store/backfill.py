"""What rows from older versions lack, filled in at start: tallies, labels, the images, the hash of repeats.

Processes that start together fill the same rows: all in the order of their ids, so that no two wait for each other.
"""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

from sqlalchemy import select, update
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from backend.store.artifacts import Artifacts
from backend.store.db import Database
from backend.store.identity import Load, hashes, images_now, images_of, is_own, loader
from backend.store.models import OPTIONS, RunRow, RunTallyRow
from backend.store.outcome import tallies
from core.backbones.catalog import SMALL
from core.backbones.naming import network_label
from core.datasets.identity import WHOLE
from core.energy.modes import MODES
from core.errors import ArtifactsDown, BundleCorrupt
from core.recipes.differences import differs
from core.repeats import RULE
from core.schemas.architecture import ArchitectureConfig
from core.schemas.results import Summary
from core.schemas.run import RunConfig, RunState

log = logging.getLogger("spikefront.store")

AT_ONCE = 500


def fill_older_rows(database: Database, artifacts: Artifacts, data_dir: Path) -> None:
    """All of it; quick where nothing is missing, and quicker in a new database."""
    with database.read() as session:
        if session.scalar(select(RunRow.id).limit(1)) is None:
            return
    _tally(database, artifacts)
    _label(database)
    _name_differences(database)
    try:
        _note_images(database, artifacts, data_dir)
    except ArtifactsDown as error:  # at the next start
        log.warning("runs.images_unknown", extra={"reason": error.message})
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
            except (ArtifactsDown, BundleCorrupt) as error:
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
        stored = session.execute(select(*columns).order_by(RunRow.id)).all()
    named = ((run_id, old, _stored_label(*parts)) for run_id, old, *parts in stored)
    renamed = [{"id": run_id, "label": new} for run_id, old, new in named if new != old]
    if renamed:
        with database.write() as session:
            session.execute(update(RunRow), renamed)


def _name_differences(database: Database) -> None:
    """What sets runs from before it was kept apart from their recipes."""
    while True:
        with database.read() as session:
            unnamed = (
                select(RunRow.id, RunRow.config).where(RunRow.differs.is_(None)).order_by(RunRow.id).limit(AT_ONCE)
            )
            rows = session.execute(unnamed).all()
        if not rows:
            return
        named = [{"id": run_id, "differs": differs(RunConfig.model_validate(config))} for run_id, config in rows]
        with database.write() as session:
            session.execute(update(RunRow), named)


def _stored_label(
    kind: str, backbone: str, mask: tuple[str, ...], definition: str | None, architecture: dict[str, Any] | None
) -> str:
    """From the columns of a row and the two parts of its config, which an older config lacks."""
    return network_label(
        kind=kind,
        backbone=backbone,
        mask=mask,
        definition=definition or SMALL,
        architecture=ArchitectureConfig.model_validate(architecture or {}),
    )


def _note_images(database: Database, artifacts: Artifacts, data_dir: Path) -> None:
    """The images of runs from before they were noted: what their bundles show is held against what is there."""
    loaded = loader(data_dir)
    while True:
        with database.read() as session:
            unknown = select(RunRow).where(RunRow.data_digest.is_(None)).order_by(RunRow.id)
            rows = list(session.scalars(unknown.limit(AT_ONCE)))
        if not rows:
            return
        noted = [{"id": row.id, **_hashes(row, _older(row, artifacts, data_dir, loaded))} for row in rows]
        with database.write() as session:
            session.execute(update(RunRow), noted)


def _older(row: RunRow, artifacts: Artifacts, data_dir: Path, loaded: Load) -> str:
    if not is_own(row.dataset) and row.dataset_complete is not False:
        return WHOLE
    if row.state != RunState.SUCCEEDED:  # it has no answers about other images
        return images_now(row.dataset, data_dir)
    try:
        return images_of(artifacts.bundle(row.id), data_dir, loaded=loaded)
    except BundleCorrupt as error:
        log.warning("run.images_unknown", extra={"run_id": row.id, "reason": error.message})
        return WHOLE


def _mark_repeats(database: Database) -> None:
    """`repeat_hash` of every row that has none, or one by an older rule."""
    while True:
        with database.read() as session:
            unmarked = select(RunRow).where(RunRow.repeat_hash.not_like(f"{RULE}%"))
            rows = list(session.scalars(unmarked.order_by(RunRow.id).limit(AT_ONCE)))
        if not rows:
            return
        marked = [{"id": row.id, **_hashes(row, row.data_digest or WHOLE)} for row in rows]
        with database.write() as session:
            session.execute(update(RunRow), marked)


def _hashes(row: RunRow, images: str) -> dict[str, str]:
    finished = Summary.model_validate(row.summary) if row.summary is not None else None
    return hashes(RunConfig.model_validate(row.config), images, finished)
