"""Runs that were trained elsewhere: stored once, as succeeded."""

from __future__ import annotations

import logging
import secrets
from collections.abc import AsyncIterator
from pathlib import Path

from anyio import to_thread
from sqlalchemy import or_, select
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from backend.context import Context
from backend.imports.upload import ARCHIVE, Upload, receive, unpack
from backend.imports.workplace import workplace
from backend.runs.new_runs import new_row
from backend.runs.repository import RunRepository
from backend.runs.service import RunService
from backend.security import UPLOADS
from backend.store.actors import OWNER, Actor
from backend.store.db import utc_now
from backend.store.identity import images_of
from backend.store.lifecycle import add_state_event, plain
from backend.store.models import RunRow
from backend.store.outcome import outcome
from core.schemas.results import RunProgress
from core.schemas.run import RunState
from core.schemas.runs import Run

log = logging.getLogger("spikefront.imports")

LIMIT_BYTES = UPLOADS["/api/v1/imports"]
UNPACKED = "bundle"


class ImportService:
    """Stateless; one is made for each request."""

    def __init__(self, context: Context, actor: Actor = OWNER) -> None:
        self._context = context
        self._actor = actor

    async def take(self, body: AsyncIterator[bytes]) -> tuple[Run, bool]:
        """A run from the zip of a finished bundle; True when it was not here before."""
        with workplace(self._context.artifacts.root) as folder:
            await receive(body, folder / ARCHIVE, limit_bytes=LIMIT_BYTES)
            return await to_thread.run_sync(self._store, folder)

    def _store(self, folder: Path) -> tuple[Run, bool]:
        upload = unpack(folder / ARCHIVE, folder / UNPACKED)
        images = images_of(upload.bundle, self._context.settings.data)
        try:
            run_id, created = self._insert(upload, images)
        except IntegrityError:  # the same bundle came twice at the same time: the other one was stored
            run_id, created = self._insert(upload, images)
        log.info("run.imported", extra={"run_id": run_id, "new": created})
        return RunService(self._context).show(run_id), created

    def _insert(self, upload: Upload, images: str) -> tuple[str, bool]:
        now, run_id = utc_now(), secrets.token_hex(8)
        with self._context.database.write() as session:
            if (known := self._known(session, upload)) is not None:
                RunRepository(session).restore(known)  # from the bin, if it is there
                return known, False
            row = new_row(upload.config, now=now)
            values, tallies = outcome(run_id, upload.bundle, upload.config, upload.summary, images)
            values["ops_per_s"] = None  # another machine's speed tells nothing of this one
            for name, value in values.items():
                setattr(row, name, value)
            row.id, row.state, row.import_digest = run_id, RunState.SUCCEEDED, upload.digest
            row.submitter = self._actor.name
            row.finished_at = now
            epochs = upload.summary.epochs_run
            row.progress = plain(RunProgress(phase="done", epoch=epochs, max_epochs=upload.config.training.max_epochs))
            session.add(row)
            session.flush()
            session.add_all(tallies)
            add_state_event(session, run_id, RunState.SUCCEEDED, now=now)
            # before the commit: a folder without a row is only lost space
            self._context.artifacts.adopt(upload.bundle.path, run_id)
        return run_id, True

    def _known(self, session: Session, upload: Upload) -> str | None:
        """The run that has this bundle already: imported before, or trained here."""
        alike = (RunRow.config_hash == upload.config.config_hash) & (RunRow.state == RunState.SUCCEEDED)
        rows = session.scalars(select(RunRow).where(or_(RunRow.import_digest == upload.digest, alike)))
        for row in rows:
            if upload.digest in (row.import_digest, self._context.artifacts.manifest_sha256(row.id)):
                return row.id
        return None
