"""What a user can do with sweeps: see what one would be, make it, look at it, stop it, forget it."""

from __future__ import annotations

import logging
import secrets
from collections.abc import Mapping

from sqlalchemy.exc import IntegrityError

from backend import idempotency
from backend.catalog.estimate import Estimator, total
from backend.context import Context
from backend.paging import read_cursor, write_cursor
from backend.runs import sources
from backend.runs.new_runs import Wish, enqueue, images_for, queued_rows, require_dataset, require_place, send
from backend.runs.repository import RunRepository
from backend.store.actors import OWNER, Actor
from backend.store.db import alone, utc_now
from backend.store.fleet import Fleet
from backend.store.models import RunRow, SweepRow
from backend.sweeps.groups import groups, label_of
from backend.sweeps.repository import SweepRepository
from core.backbones.naming import config_label
from core.energy.modes import MODES
from core.energy.profiles import profiles
from core.errors import StateConflict
from core.recipes.sweep import Point, expand
from core.schemas.base import digest
from core.schemas.preview import EqualRun
from core.schemas.prices import DEFAULT_MODE, DEFAULT_PROFILE
from core.schemas.request import told
from core.schemas.run import RunConfig, RunState
from core.schemas.sweep import Combination, Sweep, SweepDetail, SweepPage, SweepPreview, SweepRequest
from core.search.sampled import propose

log = logging.getLogger("spikefront.sweeps")


class SweepService:
    """Stateless; one is made for each request, for whoever asks."""

    def __init__(self, context: Context, actor: Actor = OWNER) -> None:
        self._context = context
        self._actor = actor
        self._database = context.database

    def preview(self, request: SweepRequest) -> SweepPreview:
        """How many runs and how long. Raises what `expand` raises."""
        fleet = self._context.fleet()  # first: it says which data sets there are
        # of a study whose choices follow from results as many others, for the time that they take
        resolved = self._resolved(request)
        points = self._points(resolved, foreseen=True)[0]
        estimator = Estimator(self._context)
        by_hash = _unique(points)
        with self._database.read() as session:
            known = {} if request.repeat else RunRepository(session).equals(self._images(by_hash, fleet))
        times = {config_hash: estimator.time(config) for config_hash, config in by_hash.items()}
        return SweepPreview(
            n_combinations=len(points),
            n_runs=len(by_hash),
            n_new=len(by_hash) - len(known),
            n_existing=len(known),
            time=total([time for config_hash, time in times.items() if config_hash not in known]),
            combinations=[
                _combination(point, config_hash, known.get(config_hash), times[config_hash].total_s)
                for point, config_hash in ((point, point.config.config_hash) for point in points)
            ],
        )

    def create(self, request: SweepRequest, *, key: str | None) -> tuple[SweepDetail, bool]:
        """All runs of a sweep or none, or the sweep that `key` made before; True when it is new.

        An equal run that has succeeded or still may is taken into the sweep, unless `repeat` is asked for.
        """
        fleet = self._context.fleet()
        resolved = self._resolved(request)
        points, resolved = self._points(resolved)
        by_hash = _unique(points)
        sources.require_here(self._context, by_hash.values())
        for dataset in {config.dataset for config in by_hash.values()}:
            require_dataset(dataset, self._context.settings.data, fleet)
        if key is not None:
            idempotency.check_key(key)
        kept = idempotency.owned(key, self._actor.name)
        images = self._images(by_hash, fleet)
        asked = request.model_dump(mode="json") | {"base": told(request.base)}
        if request.study is None:
            asked.pop("study")  # as it was before there were studies
        body_hash = digest({"sweep": asked})
        try:
            sweep_id, new = self._insert(resolved, by_hash, images, body_hash=body_hash, key=kept)
        except IntegrityError:  # two requests with one key at the same time: the other one was stored
            sweep_id, new = self._insert(resolved, by_hash, images, body_hash=body_hash, key=kept)
        if new is not None:
            log.info("sweep.created", extra={"sweep_id": sweep_id, "runs": len(by_hash), "new": len(new)})
            send(self._context, len(new))
        return self.show(sweep_id, mode=DEFAULT_MODE, profile=DEFAULT_PROFILE), new is not None

    def _points(self, request: SweepRequest, *, foreseen: bool = False) -> tuple[list[Point], SweepRequest]:
        """The combinations, or a study's first trials (`foreseen`: as many as it will have); and the request that is kept.

        Raises what `expand` and `propose` raise, UnknownName for a mode or profile.
        """
        if (study := request.study) is None:
            return expand(request), request
        MODES[study.mode], profiles()[study.profile]
        fresh = study.model_copy(update={"asked": (), "is_closed": False})
        request = request.model_copy(update={"study": fresh})
        at_first = study.trials if foreseen or study.sampler == "random" else min(study.at_once, study.trials)
        points, asked = propose(request, n=at_first, guided=False)
        kept = fresh.model_copy(update={"asked": tuple(asked)})
        return points, request.model_copy(update={"study": kept})

    def _resolved(self, request: SweepRequest) -> SweepRequest:
        """The request with the weights of the runs that it names."""
        base = request.base.model_copy(update={"overrides": sources.named(self._context, request.base.overrides)})
        return request.model_copy(update={"base": base, "axes": sources.named(self._context, request.axes)})

    def page(self, *, cursor: str | None, limit: int) -> SweepPage:
        after = read_cursor(cursor) if cursor is not None else None
        with self._database.read() as session:
            repository = SweepRepository(session)
            rows = repository.page(after=after, limit=limit + 1)
            shown = rows[:limit]
            states = repository.states(row.id for row in shown)
            return SweepPage(
                items=[_present(row, states[row.id]) for row in shown],
                next_cursor=write_cursor(shown[-1].created_at, shown[-1].id) if len(rows) > limit else None,
                total=repository.count(),
            )

    def show(self, sweep_id: str, *, mode: str, profile: str) -> SweepDetail:
        """A sweep with figures over its seeds. Raises NotFound or UnknownName."""
        accounting, prices = MODES[mode], profiles()[profile]
        with self._database.read() as session:
            repository = SweepRepository(session)
            row = repository.require(sweep_id)
            states = repository.states([sweep_id])[sweep_id]
            rows = repository.runs(sweep_id)
            tallies = RunRepository(session).tallies([run.id for run in rows], accounting.name)
        sweep = _present(row, states)
        return SweepDetail(
            **dict(sweep),
            mode=accounting.name,
            profile=prices.name,
            groups=groups(rows, tallies, axes=sweep.request.axes, prices=prices),
        )

    def cancel(self, sweep_id: str) -> SweepDetail:
        """Cancel every run of the sweep that has not ended, those it took over too; of other people's only whoever
        administers. Raises NotFound, or NotYours where nothing of what is active is one's own."""
        with self._database.read() as session:
            repository = SweepRepository(session)
            repository.require(sweep_id)
            active = [row for row in repository.runs(sweep_id) if RunState(row.state).is_active]
        own = [row.id for row in active if self._actor.may_change(row.submitter)]
        if active and not own:
            self._actor.require_own(active[0].submitter, what=f"sweep {sweep_id}")
        for run_id in own:
            try:
                self._context.lifecycle.cancel(run_id)
            except StateConflict:  # it ended meanwhile
                continue
        return self.show(sweep_id, mode=DEFAULT_MODE, profile=DEFAULT_PROFILE)

    def delete(self, sweep_id: str) -> None:
        """Forget the grouping; its runs stay. Raises NotFound or NotYours."""
        with self._database.write() as session:
            row = SweepRepository(session).require(sweep_id)
            self._actor.require_own(row.submitter, what=f"sweep {sweep_id}")
            SweepRepository(session).delete(sweep_id)
        log.info("sweep.deleted", extra={"sweep_id": sweep_id})

    def _images(self, by_hash: Mapping[str, RunConfig], fleet: Fleet) -> dict[str, str]:
        """Config hash -> digest of the images that a run of it is on."""
        data = self._context.settings.data
        now = {name: images_for(name, data, fleet) for name in {c.dataset for c in by_hash.values()}}
        return {config_hash: now[config.dataset] for config_hash, config in by_hash.items()}

    def _insert(
        self,
        request: SweepRequest,
        by_hash: dict[str, RunConfig],
        images: dict[str, str],
        *,
        body_hash: str,
        key: str | None,
    ) -> tuple[str, list[str] | None]:
        """The sweep's id and its new runs; None for a sweep that was there."""
        now = utc_now()
        with self._database.write() as session:
            if key is not None and (made := idempotency.find(session, key, body_hash)) is not None:
                assert made.sweep_id is not None, "the digest of a run's body is no sweep's"
                return made.sweep_id, None
            if not request.repeat:  # of equal sweeps at once one makes the runs, the others find them
                alone(session, images)
            known = {} if request.repeat else RunRepository(session).equals(images)
            wish = Wish.of(request.base, submitter=self._actor.name)
            new = queued_rows(by_hash, images, wish, now=now, known=known)
            limit = self._context.settings.queue_limit
            require_place(session, self._actor.name, wanted=len(new), limit=limit)
            enqueue(session, new.values(), now=now)
            sweep = SweepRow(
                id=secrets.token_hex(8),
                name=request.name,
                request=request.model_dump(mode="json"),
                created_at=now,
                submitter=self._actor.name,
            )
            SweepRepository(session).add(sweep, [(known | new)[config_hash].id for config_hash in by_hash])
            if key is not None:
                idempotency.remember(session, key, body_hash, sweep_id=sweep.id, now=now)
            return sweep.id, [row.id for row in new.values()]


def _unique(points: list[Point]) -> dict[str, RunConfig]:
    """Config hash -> config, in order: combinations that give the same numbers are one run."""
    by_hash: dict[str, RunConfig] = {}
    for point in points:
        by_hash.setdefault(point.config.config_hash, point.config)
    return by_hash


def _combination(point: Point, config_hash: str, known: RunRow | None, time_s: float) -> Combination:
    config = point.config
    named = config_label(config)
    equal = None if known is None else EqualRun(id=known.id, state=RunState(known.state), accuracy=known.accuracy)
    return Combination(
        label=label_of(named, point.values),
        values=point.values,
        config_hash=config_hash,
        equal_run=equal,
        time_s=time_s,
    )


def _present(row: SweepRow, states: dict[RunState, int]) -> Sweep:
    return Sweep(
        id=row.id,
        name=row.name,
        created_at=row.created_at,
        request=SweepRequest.model_validate(row.request),
        n_runs=sum(states.values()),
        states=states,
        submitter=row.submitter,
    )
