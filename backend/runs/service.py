"""What a user can do with runs: make, look at, stop, repeat, mark and remove them."""

from __future__ import annotations

import logging
from dataclasses import replace
from typing import Any

from sqlalchemy.exc import IntegrityError

from backend import idempotency
from backend.context import Context
from backend.paging import read_cursor, write_cursor
from backend.problems import describe
from backend.runs import sources
from backend.runs.as_run import present, signed_artifacts
from backend.runs.listed import Listed, revision_now
from backend.runs.new_runs import Wish, enqueue, forked, images_for, queued_row, require_dataset, require_place, send
from backend.runs.repository import RunRepository, RunWhere
from backend.store import audit_log
from backend.store.actors import OWNER, Actor
from backend.store.artifacts import BUNDLE_ZIP
from backend.store.db import utc_now
from backend.store.fleet import Fleet
from backend.store.models import RunRow
from core.errors import BadValue, NotFound, SpikefrontError, StateConflict, StorageFull
from core.recipes.build import build_config
from core.room import lack
from core.schemas.base import digest
from core.schemas.request import ForkRequest, RunRequest, told
from core.schemas.run import Kind, RunConfig, RunState
from core.schemas.runs import MOST_TAGS, BulkAnswer, BulkAnswers, BulkRequest, Run, RunChange, RunPage, TwinRef

log = logging.getLogger("spikefront.runs")

RETRIABLE = (RunState.FAILED, RunState.CANCELLED, RunState.LOST)
WAITING_STATES = (RunState.QUEUED, RunState.LOST)  # whose turn is still to come
ROW_BYTES = 1 << 20  # of the database's log, for one small change with a margin


class RunService:
    """Stateless; one is made for each request, for whoever asks: what is another's is not theirs to change."""

    def __init__(self, context: Context, actor: Actor = OWNER) -> None:
        self._context = context
        self._actor = actor
        self._database = context.database

    def create(self, request: RunRequest, *, key: str | None) -> tuple[Run, bool]:
        """A new queued run, or the one that `key` made before; True when it is new."""
        fleet = self._context.fleet()  # first: it says which data sets there are
        resolved = request.model_copy(update={"overrides": sources.named(self._context, request.overrides)})
        wish = Wish.of(request, submitter=self._actor.name)
        return self._create(build_config(resolved), wish, fleet, asked=told(request), key=key)

    def retry(self, run_id: str, *, key: str | None) -> tuple[Run, bool]:
        """A new run with the config of one that did not come to a result; it goes on from that one's checkpoint."""
        fleet = self._context.fleet()
        with self._database.read() as session:
            row = RunRepository(session).require(run_id)
        if row.state not in RETRIABLE:
            raise StateConflict(run_id=run_id, state=row.state, wanted="trying it again")
        config = RunConfig.model_validate(row.config)
        wish = Wish(priority=row.priority, device=row.wants_device, project=row.project, submitter=self._actor.name)
        return self._create(config, wish, fleet, asked={"retry": run_id}, key=key, after=run_id)

    def fork(self, run_id: str, request: ForkRequest, *, key: str | None) -> tuple[Run, bool]:
        """A new run with the config of another, changed; an empty request repeats it."""
        fleet = self._context.fleet()
        with self._database.read() as session:
            row = RunRepository(session).require(run_id)
        resolved = request.model_copy(update={"overrides": sources.named(self._context, request.overrides)})
        config = forked(RunConfig.model_validate(row.config), resolved)
        wish = Wish.of(request, submitter=self._actor.name)
        if "project" not in request.model_fields_set:
            wish = replace(wish, project=row.project)
        return self._create(config, wish, fleet, asked={"fork": run_id, **told(request)}, key=key)

    def show(self, run_id: str, *, config: RunConfig | None = None) -> Run:
        """One run; `config` is its own, where that is at hand already. One that no worker can do says why it waits."""
        with self._database.read() as session:
            repository = RunRepository(session)
            row = repository.require(run_id)
            run = self._present(repository, [row], with_artifacts=True, config=config)[0]
        return run if run.state is not RunState.QUEUED else run.model_copy(
            update={"waits": self._context.fleet().waits(row)}
        )  # fmt: skip

    def page(self, where: RunWhere, *, cursor: str | None, limit: int) -> RunPage:
        """Newest first; raises UnknownName for a data set that is in no table and has no run."""
        if where.dataset is not None:
            with self._database.read() as session:
                RunRepository(session).require_dataset(where.dataset)
        return self._page(where, cursor=cursor, limit=limit)

    def _page(self, where: RunWhere, *, cursor: str | None, limit: int) -> RunPage:
        """Of a data set that is known."""
        after = read_cursor(cursor) if cursor is not None else None
        with self._database.read() as session:
            repository = RunRepository(session)
            rows = repository.page(where, after=after, limit=limit + 1)  # one more tells whether there is a next page
            shown = rows[:limit]
            return RunPage(
                items=self._present(repository, shown, with_artifacts=False),
                next_cursor=write_cursor(shown[-1].created_at, shown[-1].id) if len(rows) > limit else None,
                total=repository.count(where),
            )

    def page_json(self, where: RunWhere, *, cursor: str | None, limit: int) -> bytes:
        """The same as JSON. What has not changed since somebody asked for it is not looked up again."""
        listed = self._context.kept.answer(
            ("page", repr(where), cursor, limit),
            revision_now(self._context, where.dataset),
            lambda: Listed.of(self._page(where, cursor=cursor, limit=limit)),
            weigh=lambda listed: listed.n_bytes,
        )
        if not listed.restless:
            return listed.json({})
        with self._database.read() as session:
            repository = RunRepository(session)
            newer = self._present(repository, repository.these(listed.restless), with_artifacts=False)
        return listed.json({run.id: run.model_dump_json().encode() for run in newer})

    def cancel(self, run_id: str) -> Run:
        self._require_own(run_id)
        self._context.lifecycle.cancel(run_id)
        return self.show(run_id)

    def _require_own(self, run_id: str) -> None:
        """Raises NotYours; of a run that is not there, whoever acts on it says so."""
        with self._database.read() as session:
            row = session.get(RunRow, run_id)
            if row is not None:
                self._actor.require_own(row.submitter, what=f"run {run_id}")

    def change(self, run_id: str, change: RunChange) -> Run:
        """Set tags, note, name, project, whether it is archived, or the priority; what the request leaves out stays.

        Raises NotFound, NotYours, or StateConflict for the priority of a run that does not wait any more.
        """
        with self._database.write() as session:
            repository = RunRepository(session)
            row = repository.require(run_id, to_change=True)
            self._actor.require_own(row.submitter, what=f"run {run_id}")
            if "tags" in change.model_fields_set:
                repository.set_tags(run_id, change.tags)
            if "note" in change.model_fields_set:
                row.note = change.note
            if "name" in change.model_fields_set:
                row.name = change.name or None
            if "project" in change.model_fields_set:
                row.project = change.project or None
            if "archived" in change.model_fields_set:
                row.archived = change.archived
            if "priority" in change.model_fields_set:
                if row.state not in WAITING_STATES:
                    raise StateConflict(run_id=run_id, state=row.state, wanted="changing its priority")
                row.priority = change.priority
        return self.show(run_id)

    def delete(self, run_id: str) -> None:
        """Put a run that has ended into the bin. Raises NotFound, NotYours, StateConflict while it may still change."""
        try:
            self._put_in_bin(run_id)
        except StorageFull:  # even that needs a little room
            if not self._context.lifecycle.space.make_room(self._has_room_for_a_row):
                raise
            self._put_in_bin(run_id)
        log.info("run.deleted", extra={"run_id": run_id})

    def _put_in_bin(self, run_id: str) -> None:
        with self._database.write() as session:
            repository = RunRepository(session)
            row = repository.require(run_id)
            self._actor.require_own(row.submitter, what=f"run {run_id}")
            if not repository.put_in_bin(run_id, now=utc_now()):
                raise StateConflict(run_id=run_id, state=row.state, wanted="deleting it")
            audit_log.note(session, self._actor, "run.deleted", run_id, owner=row.submitter)
            idempotency.forget(session, run_id)

    def _has_room_for_a_row(self) -> bool:
        return lack(self._context.settings.home, ROW_BYTES, try_it=True) is None

    def purge(self, run_id: str) -> None:
        """Remove a run in the bin for good, now: its room on the disk is free again. Raises NotFound or NotYours."""
        self._require_own(run_id)
        if not self._context.lifecycle.space.remove(run_id):
            raise NotFound(kind="run in the bin", id=run_id)
        with self._database.write() as session:
            audit_log.note(session, self._actor, "run.purged", run_id)

    def restore(self, run_id: str) -> Run:
        """Take a run out of the bin; twice changes nothing. Raises NotYours, or NotFound once it was purged."""
        self._require_own(run_id)
        with self._database.write() as session:
            row = session.get(RunRow, run_id)
            if row is not None and row.state == RunState.SUCCEEDED and not self._context.artifacts.exists(run_id):
                raise NotFound(kind="run", id=run_id)  # its room was needed; the row is on its way
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
                    self._require_own(run_id)
                    self._context.lifecycle.cancel(run_id)
                case "retry":
                    own_key = None if key is None else digest([key, run_id])
                    made = self.retry(run_id, key=own_key)[0].id
                case "delete":
                    self.delete(run_id)
                case "restore":
                    self.restore(run_id)
                case "purge":
                    self.purge(run_id)
                case "archive" | "unarchive":
                    self.change(run_id, RunChange(archived=request.action == "archive"))
                case "tag" if request.tag is not None:
                    self._add_tag(run_id, request.tag)
        except SpikefrontError as error:
            return BulkAnswer(id=run_id, ok=False, problem=describe(error))
        return BulkAnswer(id=run_id, ok=True, run_id=made)

    def _add_tag(self, run_id: str, tag: str) -> None:
        with self._database.write() as session:
            repository = RunRepository(session)
            row = repository.require(run_id, to_change=True)
            self._actor.require_own(row.submitter, what=f"run {run_id}")
            tags = {*repository.tags([run_id]).get(run_id, ()), tag}
            if len(tags) > MOST_TAGS:
                raise BadValue(field="tag", value=tag, expected=f"left out: the run has {MOST_TAGS} tags already")
            repository.set_tags(run_id, tags)

    def _create(
        self,
        config: RunConfig,
        wish: Wish,
        fleet: Fleet,
        *,
        asked: dict[str, Any],
        key: str | None,
        after: str | None = None,
    ) -> tuple[Run, bool]:
        require_dataset(config.dataset, self._context.settings.data, fleet)
        sources.require_here(self._context, [config])
        body_hash, images = digest(asked), images_for(config.dataset, self._context.settings.data, fleet)
        if key is not None:
            idempotency.check_key(key)
        kept = idempotency.owned(key, self._actor.name)
        try:
            run_id, created = self._insert(config, wish, images, body_hash=body_hash, key=kept)
        except IntegrityError:  # two requests with one key at the same time: the other one was stored
            run_id, created = self._insert(config, wish, images, body_hash=body_hash, key=kept)
        if created:
            resumes = after is not None and self._context.artifacts.hand_on(after, run_id)
            log.info("run.created", extra={"run_id": run_id, "config_hash": config.config_hash, "resumes": resumes})
            send(self._context, 1)
        return self.show(run_id, config=config if created else None), created

    def _insert(
        self, config: RunConfig, wish: Wish, images: str, *, body_hash: str, key: str | None
    ) -> tuple[str, bool]:
        now = utc_now()
        with self._database.write() as session:
            if key is not None and (known := idempotency.find(session, key, body_hash)) is not None:
                assert known.run_id is not None, "the digest of a sweep's body is no run's"
                return known.run_id, False
            require_place(session, wish.submitter, wanted=1, limit=self._context.settings.queue_limit)
            row = queued_row(config, wish, now=now, data=images)
            enqueue(session, [row], now=now)
            if key is not None:
                idempotency.remember(session, key, body_hash, run_id=row.id, now=now)
            return row.id, True

    def _present(
        self, repository: RunRepository, rows: list[RunRow], *, with_artifacts: bool, config: RunConfig | None = None
    ) -> list[Run]:
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
                    bundle_url=self._context.urls.url(row.id, BUNDLE_ZIP) if files else None,
                    tags=tags.get(row.id, []),
                    sweep_ids=sweeps.get(row.id, []),
                    config=config,
                )
            )
        return runs
