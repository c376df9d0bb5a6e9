"""Runs whose folders are there and whose rows are not, as after the database was deleted: taken up again.

What a bundle holds is all that a run was, so its row can be made anew; tags, notes, sweeps and links are lost. At the start
this happens by itself only over an empty database: beside other runs, a folder may be one that somebody removed.
"""

from __future__ import annotations

import logging
import threading

from sqlalchemy import select
from sqlalchemy.exc import IntegrityError

from backend.context import Context
from backend.runs.new_runs import new_row
from backend.store.db import utc_now
from backend.store.identity import images_now, images_of
from backend.store.lifecycle import add_state_event, plain
from backend.store.models import Base, RunRow
from backend.store.outcome import outcome
from core.bundle import MANIFEST
from core.errors import SpikefrontError
from core.schemas.results import RunError, RunProgress
from core.schemas.run import RunState

log = logging.getLogger("spikefront.found")

UNFINISHED = RunError(
    code="database-lost",
    message="The database was deleted before this run had ended. Launched again, it goes on from its last checkpoint.",
)


def unlisted(context: Context) -> list[str]:
    """Ids of the folders of runs that no row tells of, finished or with a checkpoint, by name."""
    artifacts = context.artifacts
    names = artifacts.run_ids()
    with context.database.read() as session:
        known = set(session.scalars(select(RunRow.id)))
    return [
        run_id
        for run_id in sorted(set(names) - known)
        if artifacts.bundle(run_id).complete or (artifacts.has_unfinished(run_id) and not artifacts.in_training(run_id))
    ]


def take_up(context: Context, *, stopping: threading.Event | None = None) -> list[str]:
    """Make the rows of what is unlisted; the ids. A bundle that is damaged is left as it is and logged."""
    taken = []
    for run_id in unlisted(context):
        if stopping is not None and stopping.is_set():
            break
        try:
            _store(context, run_id)
        except SpikefrontError as error:
            log.warning("run.not_taken_up", extra={"run_id": run_id, "why": error.message})
        except IntegrityError:  # another process was quicker
            continue
        else:
            taken.append(run_id)
    if taken:
        log.info("runs.taken_up", extra={"runs": len(taken)})
    return taken


class AtStart:
    """Takes up what is there beside an empty database, while the API serves already."""

    def __init__(self, context: Context) -> None:
        self._context = context
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._work, name="found", daemon=True)

    def start(self) -> None:
        with self._context.database.read() as session:
            is_empty = session.scalars(select(RunRow.id).limit(1)).first() is None
        if is_empty:
            self._thread.start()

    def stop(self) -> None:
        self._stopping.set()
        if self._thread.is_alive():
            self._thread.join(timeout=10.0)

    def _work(self) -> None:
        try:
            take_up(self._context, stopping=self._stopping)
        except Exception:  # what is not taken up now can be later; the API must live
            log.exception("found.failed")


def _store(context: Context, run_id: str) -> None:
    artifacts = context.artifacts
    bundle = artifacts.bundle(run_id)
    config = bundle.config()
    data = context.settings.data
    row = new_row(config, now=artifacts.changed(run_id, "config.json"), data=images_now(config.dataset, data))
    row.id, row.started_at = run_id, row.created_at
    others: list[Base] = []
    if bundle.complete:
        bundle.verify()
        summary = bundle.summary()
        values, others = outcome(run_id, bundle, config, summary, images_of(bundle, data))
        for name, value in values.items():
            setattr(row, name, value)
        row.state, row.finished_at = RunState.SUCCEEDED, artifacts.changed(run_id, MANIFEST)
        done = RunProgress(phase="done", epoch=summary.epochs_run, max_epochs=config.training.max_epochs)
        row.progress = plain(done)
    else:
        row.state, row.finished_at, row.error = RunState.FAILED, utc_now(), plain(UNFINISHED)
    with context.database.write() as session:
        session.add(row)
        session.flush()
        session.add_all(others)
        add_state_event(session, run_id, RunState(row.state), now=row.finished_at)
