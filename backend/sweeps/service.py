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
from backend.runs.as_run import label
from backend.runs.identity import images_now
from backend.runs.new_runs import new_row, require_dataset, send
from backend.runs.repository import RunRepository
from backend.store.db import utc_now
from backend.store.lifecycle import add_state_event
from backend.store.models import RunRow, SweepRow
from backend.sweeps.groups import groups, label_of
from backend.sweeps.repository import SweepRepository
from core.energy.modes import DEFAULT_MODE, MODES
from core.energy.profiles import DEFAULT_PROFILE, profiles
from core.errors import StateConflict
from core.recipes.sweep import Point, expand
from core.schemas.base import digest
from core.schemas.preview import EqualRun
from core.schemas.run import RunConfig, RunState
from core.schemas.sweep import Combination, Sweep, SweepDetail, SweepPage, SweepPreview, SweepRequest

log = logging.getLogger("spikefront.sweeps")


class SweepService:
    """Stateless; one is made for each request."""

    def __init__(self, context: Context) -> None:
        self._context = context
        self._database = context.database

    def preview(self, request: SweepRequest) -> SweepPreview:
        """How many runs and how long. Raises what `expand` raises."""
        points, estimator = expand(request), Estimator(self._context)
        by_hash = _unique(points)
        with self._database.read() as session:
            known = {} if request.repeat else RunRepository(session).equals(self._images(by_hash))
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
        by_hash = _unique(expand(request))
        for dataset in {config.dataset for config in by_hash.values()}:
            require_dataset(dataset, self._context.settings.data)
        if key is not None:
            idempotency.check_key(key)
        body_hash = digest({"sweep": request.model_dump(mode="json")})
        try:
            sweep_id, new = self._insert(request, by_hash, body_hash=body_hash, key=key)
        except IntegrityError:  # two requests with one key at the same time: the other one was stored
            sweep_id, new = self._insert(request, by_hash, body_hash=body_hash, key=key)
        if new is not None:
            log.info("sweep.created", extra={"sweep_id": sweep_id, "runs": len(by_hash), "new": len(new)})
            send(self._context, new)
        return self.show(sweep_id, mode=DEFAULT_MODE, profile=DEFAULT_PROFILE), new is not None

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
        """Cancel every run of the sweep that has not ended, those it took over from others too."""
        with self._database.read() as session:
            repository = SweepRepository(session)
            repository.require(sweep_id)
            active = [row.id for row in repository.runs(sweep_id) if RunState(row.state).is_active]
        for run_id in active:
            try:
                self._context.lifecycle.cancel(run_id)
            except StateConflict:  # it ended meanwhile
                continue
        return self.show(sweep_id, mode=DEFAULT_MODE, profile=DEFAULT_PROFILE)

    def delete(self, sweep_id: str) -> None:
        """Forget the grouping; its runs stay. Raises NotFound."""
        with self._database.write() as session:
            SweepRepository(session).delete(sweep_id)
        log.info("sweep.deleted", extra={"sweep_id": sweep_id})

    def _images(self, by_hash: Mapping[str, RunConfig]) -> dict[str, str]:
        """Config hash -> digest of the images that a run of it is on."""
        now = {name: images_now(name, self._context.settings.data) for name in {c.dataset for c in by_hash.values()}}
        return {config_hash: now[config.dataset] for config_hash, config in by_hash.items()}

    def _insert(
        self, request: SweepRequest, by_hash: dict[str, RunConfig], *, body_hash: str, key: str | None
    ) -> tuple[str, list[str] | None]:
        """The sweep's id and its new runs; None for a sweep that was there."""
        now = utc_now()
        with self._database.write() as session:
            if key is not None and (made := idempotency.find(session, key, body_hash)) is not None:
                assert made.sweep_id is not None, "the digest of a run's body is no sweep's"
                return made.sweep_id, None
            images = self._images(by_hash)
            known = {} if request.repeat else RunRepository(session).equals(images)
            new = {
                config_hash: new_row(config, now=now, data=images[config_hash])
                for config_hash, config in by_hash.items()
                if config_hash not in known
            }
            session.add_all(new.values())
            session.flush()
            for row in new.values():
                add_state_event(session, row.id, RunState.QUEUED, now=now)
            sweep = SweepRow(
                id=secrets.token_hex(8), name=request.name, request=request.model_dump(mode="json"), created_at=now
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
    named = label(kind=config.kind, backbone=config.backbone, mask=config.mask)
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
    )
