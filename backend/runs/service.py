"""What a user can do with runs: make, look at, stop, repeat and remove them."""

from __future__ import annotations

import base64
import binascii
import logging
import secrets
from datetime import datetime
from pathlib import Path
from typing import Any

from sqlalchemy.exc import IntegrityError

from backend.context import Context
from backend.db import utc_now
from backend.idempotency import check_key, find_run, remember
from backend.models import RunRow
from backend.runs.lifecycle import WAITING, add_state_event, plain
from backend.runs.present import present, signed_artifacts
from backend.runs.repository import Cursor, RunRepository, RunWhere
from core.datasets.load import status
from core.errors import BadValue, DatasetMissing, QueueDown, StateConflict
from core.recipes.build import build_config
from core.schemas.api import Run, RunPage, RunRequest, TwinRef
from core.schemas.base import digest
from core.schemas.run import Kind, RunConfig, RunState

log = logging.getLogger("spikefront.runs")

RETRIABLE = (RunState.FAILED, RunState.CANCELLED, RunState.LOST)


class RunService:
    """Stateless; one is made for each request."""

    def __init__(self, context: Context) -> None:
        self._context = context
        self._database = context.database

    def create(self, request: RunRequest, *, key: str | None) -> tuple[Run, bool]:
        """A new queued run, or the one that `key` made before; True when it is new."""
        return self._create(build_config(request), asked=request.model_dump(mode="json"), key=key)

    def retry(self, run_id: str, *, key: str | None) -> tuple[Run, bool]:
        """A new run with the config of one that did not come to a result."""
        with self._database.read() as session:
            row = RunRepository(session).require(run_id)
        if row.state not in RETRIABLE:
            raise StateConflict(run_id=run_id, state=row.state, wanted="trying it again")
        return self._create(RunConfig.model_validate(row.config), asked={"retry": run_id}, key=key)

    def show(self, run_id: str) -> Run:
        with self._database.read() as session:
            repository = RunRepository(session)
            row = repository.require(run_id)
            return self._present(repository, [row], with_artifacts=True)[0]

    def page(self, where: RunWhere, *, cursor: str | None, limit: int) -> RunPage:
        after = _read_cursor(cursor) if cursor is not None else None
        with self._database.read() as session:
            repository = RunRepository(session)
            rows = repository.page(where, after=after, limit=limit + 1)  # one more tells whether there is a next page
            shown = rows[:limit]
            return RunPage(
                items=self._present(repository, shown, with_artifacts=False),
                next_cursor=_write_cursor(shown[-1]) if len(rows) > limit else None,
                total=repository.count(where),
            )

    def cancel(self, run_id: str) -> Run:
        self._context.lifecycle.cancel(run_id)
        return self.show(run_id)

    def delete(self, run_id: str) -> None:
        """Remove a run that has ended, with its bundle. Raises StateConflict while it may still change."""
        with self._database.write() as session:
            repository = RunRepository(session)
            row = repository.require(run_id)
            if not repository.delete_final(run_id):
                raise StateConflict(run_id=run_id, state=row.state, wanted="deleting it")
        # after the commit: a bundle without a row is only lost space, a row without its bundle would be a broken run
        self._context.artifacts.delete(run_id)
        log.info("run.deleted", extra={"run_id": run_id})

    def _create(self, config: RunConfig, *, asked: dict[str, Any], key: str | None) -> tuple[Run, bool]:
        _require_dataset(config.dataset, self._context.settings.data)
        body_hash = digest(asked)
        if key is not None:
            check_key(key)
        try:
            run_id, created = self._insert(config, body_hash=body_hash, key=key)
        except IntegrityError:  # two requests with one key at the same time: the other one was stored
            run_id, created = self._insert(config, body_hash=body_hash, key=key)
        if created:
            log.info("run.created", extra={"run_id": run_id, "config_hash": config.config_hash})
            self._send(run_id)
        return self.show(run_id), created

    def _insert(self, config: RunConfig, *, body_hash: str, key: str | None) -> tuple[str, bool]:
        now = utc_now()
        with self._database.write() as session:
            if key is not None and (known := find_run(session, key, body_hash)) is not None:
                return known, False
            row = _new_row(config, now=now)
            session.add(row)
            session.flush()
            add_state_event(session, row.id, RunState.QUEUED, now=now)
            if key is not None:
                remember(session, key, body_hash, row.id, now=now)
            return row.id, True

    def _send(self, run_id: str) -> None:
        """After the commit. With the broker away the run stays queued, and the reaper sends it later."""
        try:
            self._context.queue.send(run_id, queue=self._context.lifecycle.preferred_queue())
        except QueueDown:
            log.warning("run.not_sent", extra={"run_id": run_id, "reason": "queue-down"})
        else:
            self._context.lifecycle.mark_sent(run_id)

    def _present(self, repository: RunRepository, rows: list[RunRow], *, with_artifacts: bool) -> list[Run]:
        newest: dict[tuple[str, str], TwinRef] = {}
        for run_id, kind, state, twin_hash in repository.twins(row.twin_hash for row in rows):
            newest.setdefault((twin_hash, kind), TwinRef(id=run_id, kind=Kind(kind), state=RunState(state)))
        runs = []
        for row in rows:
            files = []
            if with_artifacts and row.state == RunState.SUCCEEDED:
                files = signed_artifacts(row.id, self._context.artifacts, self._context.urls)
            runs.append(present(row, twin=newest.get((row.twin_hash, Kind(row.kind).twin)), artifacts=files))
        return runs


def _require_dataset(name: str, data: Path) -> None:
    """A run that could only fail is refused at once. Raises DatasetMissing."""
    found = status(name, data)
    if not found.ready:
        raise DatasetMissing(name=name, folder=str(data / name), how=found.note or "Add it first.")


def _new_row(config: RunConfig, *, now: datetime) -> RunRow:
    return RunRow(
        id=secrets.token_hex(8),
        config=config.model_dump(mode="json"),
        config_hash=config.config_hash,
        twin_hash=config.twin_hash,
        backbone=config.backbone,
        kind=config.kind,
        mask=",".join(config.mask),
        dataset=config.dataset,
        recipe=config.recipe,
        seed=config.seed,
        time_steps=config.steps,
        state=RunState.QUEUED,
        created_at=now,
        progress=plain(WAITING),
    )


def _write_cursor(row: RunRow) -> str:
    return base64.urlsafe_b64encode(f"{row.created_at.isoformat()} {row.id}".encode()).decode().rstrip("=")


def _read_cursor(cursor: str) -> Cursor:
    try:
        text = base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4)).decode()
        when, run_id = text.split(" ")
        created_at = datetime.fromisoformat(when)
        if created_at.tzinfo is None:
            raise ValueError(when)
        return created_at, run_id
    except (ValueError, OverflowError, binascii.Error):
        raise BadValue(field="cursor", value=cursor[:64], expected="the next_cursor of an earlier page") from None
