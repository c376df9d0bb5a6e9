"""Studies that go on by themselves: whenever a trial has ended, the next one is asked for and queued.

Each copy of the API looks every few seconds. A study's row is locked while it is asked, so no trial is asked for twice; all that
the answer depends on stands in the database.
"""

from __future__ import annotations

import logging
import threading

from sqlalchemy import select
from sqlalchemy.orm import Session

from backend.context import Context
from backend.pareto.service import tally_pj
from backend.runs.new_runs import Wish, enqueue, images_for, queued_rows, send
from backend.runs.repository import RunRepository
from backend.store.db import alone, utc_now
from backend.store.models import RunRow, SweepRow
from backend.sweeps.repository import SweepRepository
from core.energy.profiles import profiles
from core.schemas.results import Summary
from core.schemas.run import RunState
from core.schemas.sweep import Study, SweepRequest
from core.search.sampled import Ended, propose

log = logging.getLogger("spikefront.sweeps")

LOOK_S = 3.0


class Studies:
    """The thread that goes on with studies while the API serves."""

    def __init__(self, context: Context) -> None:
        self._context = context
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._work, name="studies", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        self._stopping.set()
        self._thread.join(timeout=10.0)

    def _work(self) -> None:
        while not self._stopping.wait(LOOK_S):
            try:
                go_on(self._context)
            except Exception:  # what is not asked for now is at the next look; the API must live
                log.exception("study.look_failed")


def go_on(context: Context) -> int:
    """Ask for the trials that are due in every study; how many were queued."""
    sampler = SweepRow.request[("study", "sampler")].as_string()
    with context.database.read() as session:
        due = [row.id for row in session.scalars(select(SweepRow).where(sampler == "pareto")) if _is_open(row)]
    queued = sum(_next(context, sweep_id) for sweep_id in due)
    if queued:
        send(context, queued)
    return queued


def _is_open(row: SweepRow) -> bool:
    study = row.request["study"]
    return not study.get("is_closed") and len(study.get("asked", ())) < study["trials"]


def _next(context: Context, sweep_id: str) -> int:
    """Queue what is due of one study; 0 while enough of its trials wait or run, or once it has ended."""
    fleet = context.fleet()
    with context.database.write() as session:
        row = session.get(SweepRow, sweep_id, with_for_update=True)
        if row is None or not _is_open(row):
            return 0
        request = SweepRequest.model_validate(row.request)
        study = request.study
        assert study is not None
        runs = SweepRepository(session).runs(sweep_id)
        states = [RunState(run.state) for run in runs]
        # somebody took a trial away: no more are wanted
        if RunState.CANCELLED in states or len(runs) < len(study.asked):
            _close(row, request, study)
            return 0
        n = min(study.at_once - sum(state.is_active for state in states), study.trials - len(study.asked))
        if n <= 0:
            return 0
        points, asked = propose(request, _ended(session, runs, study), n=n)
        if not points:
            _close(row, request, study)
            return 0
        by_hash = {point.config.config_hash: point.config for point in points}
        images = {one: images_for(config.dataset, context.settings.data, fleet) for one, config in by_hash.items()}
        alone(session, images)  # who asks for an equal run at the same time finds this one
        known = RunRepository(session).equals(images)
        now, wish = utc_now(), Wish.of(request.base, submitter=row.submitter)
        new = queued_rows(by_hash, images, wish, now=now, first=len(runs), known=known)
        enqueue(session, new.values(), now=now)
        SweepRepository(session).append(sweep_id, [(known | new)[one].id for one in by_hash], first=len(runs))
        row.request = _stored(request, study.model_copy(update={"asked": (*study.asked, *asked)}))
    log.info("study.asked", extra={"sweep_id": sweep_id, "runs": len(points)})
    return len(new)


def _ended(session: Session, runs: list[RunRow], study: Study) -> list[Ended]:
    """The trials that have ended, priced; each trial's run stands at its place."""
    prices = profiles()[study.profile]
    done = [run.id for run in runs if run.state == RunState.SUCCEEDED]
    tallies = RunRepository(session).tallies(done, study.mode)
    ended = []
    for asked, run in zip(study.asked, runs, strict=True):
        found = None
        if run.id in tallies and run.summary is not None:
            accuracy = Summary.model_validate(run.summary).best_validation_accuracy
            found = (accuracy, tally_pj(tallies[run.id], prices))
        if RunState(run.state).is_final:
            ended.append(Ended(asked=asked, found=found))
    return ended


def _close(row: SweepRow, request: SweepRequest, study: Study) -> None:
    row.request = _stored(request, study.model_copy(update={"is_closed": True}))


def _stored(request: SweepRequest, study: Study) -> dict[str, object]:
    return request.model_copy(update={"study": study}).model_dump(mode="json")
