"""What a user can do with runs: make, look at, stop, repeat, mark and remove them."""

from __future__ import annotations

import logging
from typing import Any

from sqlalchemy.exc import IntegrityError

from backend import idempotency
from backend.context import Context
from backend.paging import read_cursor, write_cursor
from backend.problems import describe
from backend.results import archive
from backend.runs.as_run import present, signed_artifacts
from backend.runs.identity import images_now
from backend.runs.new_runs import forked, new_row, require_dataset, send
from backend.runs.repository import RunRepository, RunWhere
from backend.store.db import utc_now
from backend.store.lifecycle import add_state_event
from backend.store.models import RunRow
from core.errors import BadValue, SpikefrontError, StateConflict
from core.recipes.build import build_config
from core.schemas.base import digest
from core.schemas.request import ForkRequest, RunRequest
from core.schemas.run import Kind, RunConfig, RunState
from core.schemas.runs import BulkAnswer, BulkAnswers, BulkRequest, Run, RunChange, RunPage, TwinRef

log = logging.getLogger("spikefront.runs")

RETRIABLE = (RunState.FAILED, RunState.CANCELLED, RunState.LOST)
MAX_TAGS = 20


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

    def fork(self, run_id: str, request: ForkRequest, *, key: str | None) -> tuple[Run, bool]:
        """A new run with the config of another, changed; an empty request repeats it."""
        with self._database.read() as session:
            row = RunRepository(session).require(run_id)
        config = forked(RunConfig.model_validate(row.config), request)
        return self._create(config, asked={"fork": run_id, **request.model_dump(mode="json")}, key=key)

    def show(self, run_id: str) -> Run:
        with self._database.read() as session:
            repository = RunRepository(session)
            row = repository.require(run_id)
            return self._present(repository, [row], with_artifacts=True)[0]

    def page(self, where: RunWhere, *, cursor: str | None, limit: int) -> RunPage:
        """Newest first; raises UnknownName for a data set that is in no table and has no run."""
        after = read_cursor(cursor) if cursor is not None else None
        with self._database.read() as session:
            repository = RunRepository(session)
            if where.dataset is not None:
                repository.require_dataset(where.dataset)
            rows = repository.page(where, after=after, limit=limit + 1)  # one more tells whether there is a next page
            shown = rows[:limit]
            return RunPage(
                items=self._present(repository, shown, with_artifacts=False),
                next_cursor=write_cursor(shown[-1].created_at, shown[-1].id) if len(rows) > limit else None,
                total=repository.count(where),
            )

    def cancel(self, run_id: str) -> Run:
        self._context.lifecycle.cancel(run_id)
        return self.show(run_id)

    def change(self, run_id: str, change: RunChange) -> Run:
        """Set the tags, the note or both; what the request leaves out stays."""
        with self._database.write() as session:
            repository = RunRepository(session)
            row = repository.require(run_id)
            if "tags" in change.model_fields_set:
                repository.set_tags(run_id, change.tags)
            if "note" in change.model_fields_set:
                row.note = change.note
        return self.show(run_id)

    def delete(self, run_id: str) -> None:
        """Put a run that has ended into the bin. Raises NotFound, or StateConflict while it may still change."""
        with self._database.write() as session:
            repository = RunRepository(session)
            row = repository.require(run_id)
            if not repository.put_in_bin(run_id, now=utc_now()):
                raise StateConflict(run_id=run_id, state=row.state, wanted="deleting it")
            idempotency.forget(session, run_id)
        log.info("run.deleted", extra={"run_id": run_id})

    def restore(self, run_id: str) -> Run:
        """Take a run out of the bin; raises NotFound once it was purged. Doing it twice changes nothing."""
        with self._database.write() as session:
            RunRepository(session).restore(run_id)
        log.info("run.restored", extra={"run_id": run_id})
        return self.show(run_id)

    def bulk(self, request: BulkRequest, *, key: str | None) -> BulkAnswers:
        """One action on each id by itself: one that fails does not stop the others."""
        if key is not None:
            idempotency.check_key(key)
        if (request.action == "tag") != (request.tag is not None):
            raise BadValue(field="tag", value=request.tag, expected="given for the action tag, and for no other")
        return BulkAnswers(items=[self._one_of_many(run_id, request, key) for run_id in dict.fromkeys(request.ids)])

    def _one_of_many(self, run_id: str, request: BulkRequest, key: str | None) -> BulkAnswer:
        made = run_id
        try:
            match request.action:
                case "cancel":
                    self._context.lifecycle.cancel(run_id)
                case "retry":
                    own_key = None if key is None else digest([key, run_id])
                    made = self.retry(run_id, key=own_key)[0].id
                case "delete":
                    self.delete(run_id)
                case "restore":
                    self.restore(run_id)
                case "tag":
                    self._add_tag(run_id, request.tag)
        except SpikefrontError as error:
            return BulkAnswer(id=run_id, ok=False, problem=describe(error))
        return BulkAnswer(id=run_id, ok=True, run_id=made)

    def _add_tag(self, run_id: str, tag: str) -> None:
        with self._database.write() as session:
            repository = RunRepository(session)
            repository.require(run_id)
            tags = {*repository.tags([run_id]).get(run_id, ()), tag}
            if len(tags) > MAX_TAGS:
                raise BadValue(field="tag", value=tag, expected=f"left out: the run has {MAX_TAGS} tags already")
            repository.set_tags(run_id, tags)

    def _create(self, config: RunConfig, *, asked: dict[str, Any], key: str | None) -> tuple[Run, bool]:
        require_dataset(config.dataset, self._context.settings.data)
        body_hash = digest(asked)
        if key is not None:
            idempotency.check_key(key)
        try:
            run_id, created = self._insert(config, body_hash=body_hash, key=key)
        except IntegrityError:  # two requests with one key at the same time: the other one was stored
            run_id, created = self._insert(config, body_hash=body_hash, key=key)
        if created:
            log.info("run.created", extra={"run_id": run_id, "config_hash": config.config_hash})
            send(self._context, [run_id])
        return self.show(run_id), created

    def _insert(self, config: RunConfig, *, body_hash: str, key: str | None) -> tuple[str, bool]:
        now = utc_now()
        with self._database.write() as session:
            if key is not None and (known := idempotency.find(session, key, body_hash)) is not None:
                assert known.run_id is not None, "the digest of a sweep's body is no run's"
                return known.run_id, False
            row = new_row(config, now=now, data=images_now(config.dataset, self._context.settings.data))
            session.add(row)
            session.flush()
            add_state_event(session, row.id, RunState.QUEUED, now=now)
            if key is not None:
                idempotency.remember(session, key, body_hash, run_id=row.id, now=now)
            return row.id, True

    def _present(self, repository: RunRepository, rows: list[RunRow], *, with_artifacts: bool) -> list[Run]:
        newest: dict[tuple[str, str], TwinRef] = {}
        for run_id, kind, state, twin_hash in repository.twins(row.twin_hash for row in rows):
            newest.setdefault((twin_hash, kind), TwinRef(id=run_id, kind=Kind(kind), state=RunState(state)))
        ids = [row.id for row in rows]
        tags, sweeps = repository.tags(ids), repository.sweeps(ids)
        runs = []
        for row in rows:
            files = []
            if with_artifacts and row.state == RunState.SUCCEEDED:
                files = signed_artifacts(row.id, self._context.artifacts, self._context.urls)
            runs.append(
                present(
                    row,
                    twin=newest.get((row.twin_hash, Kind(row.kind).twin)),
                    artifacts=files,
                    bundle_url=self._context.urls.url(row.id, archive.NAME) if files else None,
                    tags=tags.get(row.id, []),
                    sweep_ids=sweeps.get(row.id, []),
                )
            )
        return runs
