"""Runs whose folders are there and whose rows are not, as after the database was deleted: taken up again.

What a bundle holds is all that a run was, so its row can be made anew; tags, notes, sweeps and links are lost. At the start
this happens by itself only over an empty database: beside other runs, a folder may be one that somebody removed.
"""

from __future__ import annotations

import logging
import re
import threading
from datetime import UTC, datetime
from pathlib import Path

from sqlalchemy import select
from sqlalchemy.exc import IntegrityError

from backend.context import Context
from backend.runs.new_runs import new_row
from backend.store.db import utc_now
from backend.store.lifecycle import add_state_event, plain
from backend.store.models import Base, RunRow
from backend.store.outcome import outcome
from core.bundle import MANIFEST, Bundle
from core.errors import SpikefrontError
from core.run_folder import is_held
from core.schemas.run import RunState
from core.schemas.runs import RunError, RunProgress

log = logging.getLogger("spikefront.found")

RUN_ID = re.compile(r"[0-9a-f]{16}")
UNFINISHED = RunError(
    code="database-lost",
    message="The database was deleted before this run had ended. Launched again, it goes on from its last checkpoint.",
)


def unlisted(context: Context) -> list[Bundle]:
    """Folders of runs that no row tells of, finished or with a checkpoint, by name."""
    root = context.artifacts.root
    try:
        names = [path.name for path in root.iterdir() if RUN_ID.fullmatch(path.name) and not path.is_symlink()]
    except OSError:
        return []
    with context.database.read() as session:
        known = set(session.scalars(select(RunRow.id)))
    bundles = [context.artifacts.bundle(name) for name in sorted(set(names) - known)]
    return [one for one in bundles if one.complete or (one.checkpoint.is_dir() and not is_held(one.path))]


def take_up(context: Context, *, stopping: threading.Event | None = None) -> list[str]:
    """Make the rows of what is unlisted; the ids. A bundle that is damaged is left as it is and logged."""
    taken = []
    for bundle in unlisted(context):
        if stopping is not None and stopping.is_set():
            break
        try:
            _store(context, bundle)
        except SpikefrontError as error:
            log.warning("run.not_taken_up", extra={"run_id": bundle.path.name, "why": error.message})
        except IntegrityError:  # another process was quicker
            continue
        else:
            taken.append(bundle.path.name)
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
        if is_empty and self._context.artifacts.root.is_dir():
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


def _store(context: Context, bundle: Bundle) -> None:
    run_id, config = bundle.path.name, bundle.config()
    row = new_row(config, now=_changed(bundle.path / "config.json"))
    row.id, row.started_at = run_id, row.created_at
    others: list[Base] = []
    if bundle.complete:
        bundle.verify()
        summary = bundle.summary()
        values, others = outcome(run_id, bundle, config, summary)
        for name, value in values.items():
            setattr(row, name, value)
        row.state, row.finished_at = RunState.SUCCEEDED, _changed(bundle.path / MANIFEST)
        done = RunProgress(phase="done", epoch=summary.epochs_run, max_epochs=config.training.max_epochs)
        row.progress = plain(done)
    else:
        row.state, row.finished_at, row.error = RunState.FAILED, utc_now(), plain(UNFINISHED)
    with context.database.write() as session:
        session.add(row)
        session.flush()
        session.add_all(others)
        add_state_event(session, run_id, RunState(row.state), now=row.finished_at)


def _changed(path: Path) -> datetime:
    return datetime.fromtimestamp(path.stat().st_mtime, UTC)
