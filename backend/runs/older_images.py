"""The images of runs from before they were noted: what their bundles show is held against what is there."""

from __future__ import annotations

import logging

from sqlalchemy import select, update

from backend.context import Context
from backend.runs.identity import Load, hashes, images_now, images_of, is_own, loader
from backend.store.models import RunRow
from core.datasets.identity import WHOLE
from core.errors import BundleCorrupt
from core.schemas.run import RunConfig, RunState

log = logging.getLogger("spikefront.runs")

AT_ONCE = 500


def note_older_images(context: Context) -> None:
    """At start: the images of runs from before they were noted."""
    loaded = loader(context.settings.data)
    while True:
        with context.database.read() as session:
            rows = list(session.scalars(select(RunRow).where(RunRow.data_digest.is_(None)).limit(AT_ONCE)))
        if not rows:
            return
        noted = [
            {"id": row.id, **hashes(RunConfig.model_validate(row.config), _older(context, row, loaded))} for row in rows
        ]
        with context.database.write() as session:
            session.execute(update(RunRow), noted)


def _older(context: Context, row: RunRow, loaded: Load) -> str:
    if not is_own(row.dataset) and row.dataset_complete is not False:
        return WHOLE
    if row.state != RunState.SUCCEEDED:  # it has no answers about other images
        return images_now(row.dataset, context.settings.data)
    try:
        return images_of(context.artifacts.bundle(row.id), context.settings.data, loaded=loaded)
    except BundleCorrupt as error:
        log.warning("run.images_unknown", extra={"run_id": row.id, "reason": error.message})
        return WHOLE
