"""What nobody needs any more, removed: `spikefront gc`.

Never a run that nobody deleted, never a bundle, and nothing that a link or another run is made from: those are made from
bundles of runs that succeeded and from the stored content of frozen links, and of these only what has no row is looked at.
"""

from __future__ import annotations

import json
import logging
import shutil
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from pathlib import Path

from sqlalchemy import delete, func, select
from sqlalchemy.orm import Session

from backend.store import audit_log
from backend.store.artifacts import RUN_ID, UNFINISHED, Artifacts, Kept, artifacts_of, folder_bytes
from backend.store.db import HEAD, Database, opened, schema_version, utc_now
from backend.store.models import RunEventRow, RunRow, ShareRow, WorkerRow
from backend.store.places import IMPORTS, SHARES
from backend.store.space import WITHOUT_RESULT
from core.bundle import CHECKPOINT, MANIFEST, TEACHER
from core.datasets.array_cache import STALE_S
from core.errors import DatabaseDown
from core.schemas.run import RunState
from core.settings import Settings

log = logging.getLogger("spikefront.gc")

#: Of an ended run these tell only how it came to its end; its states stay.
OLD_EVENTS = ("started", "progress", "epoch")
AT_ONCE = 500  # runs of which events are deleted in one turn to write
YOUNG_S = 3600.0  # a folder that was touched lately is left alone: its row may be about to come


@dataclass(frozen=True, kw_only=True)
class Freed:
    """One kind of thing. `bytes` is 0 of rows: a database gives their room to new ones."""

    what: str
    items: int
    bytes: int


def collected(settings: Settings, days: float | None, *, dry_run: bool, as_json: bool) -> int:
    """Remove, or only count, and print it."""
    days = settings.gc_days if days is None else max(0.0, days)
    database = opened(settings)
    try:
        with database.read() as session:
            if (found := schema_version(session.connection())) != HEAD:
                raise DatabaseDown(why=f"it has schema {found}, this version needs {HEAD}. Run: spikefront db upgrade.")
        freed = list(
            collect(
                database,
                artifacts_of(settings),
                settings.data,
                days=days,
                audit_days=settings.audit_days,
                dry_run=dry_run,
            )
        )
    finally:
        database.close()
    if as_json:
        print(json.dumps({"dry_run": dry_run, "days": days, "freed": [asdict(one) for one in freed]}))
        return 0
    for one in freed:
        size = f", {one.bytes / 1e6:,.1f} MB" if one.bytes else ""
        print(f"{one.what}: {one.items:,}{size}")
    total = sum(one.bytes for one in freed) / 1e6
    print(f"{'Would free' if dry_run else 'Freed'} {total:,.1f} MB." + (" Nothing was changed." if dry_run else ""))
    return 0


def collect(
    database: Database,
    artifacts: Artifacts,
    data: Path,
    *,
    days: float,
    audit_days: float,
    dry_run: bool,
    now: datetime | None = None,
) -> Iterator[Freed]:
    """Kind by kind, each removed before it is told, unless it is a `dry_run`. The audit log has an age of its own."""
    now = now or utc_now()
    before = now - timedelta(days=days)
    yield _checkpoints(database, artifacts, before, dry_run)
    yield _events(database, before, dry_run)
    yield _workers(database, before, dry_run)
    yield _audit_log(database, now - timedelta(days=audit_days), dry_run)
    yield from _orphans(database, artifacts, now, dry_run)
    yield _caches(data, dry_run)


def _checkpoints(database: Database, artifacts: Artifacts, before: datetime, dry_run: bool) -> Freed:
    """What a run that failed or was cancelled has left to go on from: a retry of it then starts anew."""
    ended = select(RunRow.id).where(RunRow.state.in_(WITHOUT_RESULT), RunRow.finished_at <= before)
    with database.read() as session:
        ids = list(session.scalars(ended))
    found = [run_id for run_id in ids if artifacts.has_unfinished(run_id) and not artifacts.in_training(run_id)]
    size = 0
    for run_id in found:
        size += sum(artifacts.freed_bytes(f"{run_id}/{name}") for name in UNFINISHED)
        if not dry_run:
            artifacts.drop_unfinished(run_id)
            log.info("gc.checkpoint", extra={"run_id": run_id})
    return Freed(what="checkpoints of runs that failed or were cancelled", items=len(found), bytes=size)


def _events(database: Database, before: datetime, dry_run: bool) -> Freed:
    ended = select(RunRow.id).where(
        RunRow.state.in_([state for state in RunState if state.is_final]), RunRow.finished_at <= before
    )
    old = RunEventRow.type.in_(OLD_EVENTS)
    with database.read() as session:
        n = session.scalar(select(func.count()).where(old, RunEventRow.run_id.in_(ended))) or 0
        ids = [] if dry_run else list(session.scalars(ended))
    for first in range(0, len(ids), AT_ONCE):
        with database.write(limited=False) as session:
            session.execute(delete(RunEventRow).where(old, RunEventRow.run_id.in_(ids[first : first + AT_ONCE])))
    return Freed(what="events of ended runs", items=n, bytes=0)


def _workers(database: Database, before: datetime, dry_run: bool) -> Freed:
    gone = WorkerRow.seen_at <= before
    with database.read() as session:
        n = session.scalar(select(func.count()).select_from(WorkerRow).where(gone)) or 0
    if n and not dry_run:
        with database.write() as session:
            session.execute(delete(WorkerRow).where(gone))
    return Freed(what="workers that are gone", items=n, bytes=0)


def _audit_log(database: Database, before: datetime, dry_run: bool) -> Freed:
    with database.read() as session:
        n = audit_log.old_entries(session, before)
    if n and not dry_run:
        with database.write(limited=False) as session:
            audit_log.prune(session, before)
    return Freed(what="entries of the audit log", items=n, bytes=0)


def _orphans(database: Database, artifacts: Artifacts, now: datetime, dry_run: bool) -> Iterator[Freed]:
    """Folders without a row. A finished bundle, and one that a run could go on from, is no leftover: its database may
    have been lost, and Settings lists it again."""
    folders = [one for one in artifacts.kept() if RUN_ID.fullmatch(one.name) or one.name.startswith(IMPORTS)]
    stored = artifacts.kept(SHARES)
    with database.read() as session:
        runs = _known(session, RunRow)
        shares = _known(session, ShareRow)
    lost = [
        one
        for one in folders
        if one.name not in runs and _left_over(one) and _old(one, now) and not artifacts.in_training(one.name)
    ]
    yield _gone("folders that belong to no run", artifacts, lost, dry_run)
    gone = [one for one in stored if one.name not in shares and _old(one, now)]
    yield _gone("stored links that are no more", artifacts, gone, dry_run)


def _known(session: Session, table: type[RunRow | ShareRow]) -> set[str]:
    return set(session.scalars(select(table.id)))


def _left_over(folder: Kept) -> bool:
    return folder.names.isdisjoint((MANIFEST, CHECKPOINT, TEACHER))


def _old(folder: Kept, now: datetime) -> bool:
    """An import that is under way is never this old while it writes."""
    age = YOUNG_S * 24 if folder.name.startswith(IMPORTS) else YOUNG_S
    return folder.changed_at < now - timedelta(seconds=age)


def _gone(what: str, artifacts: Artifacts, folders: list[Kept], dry_run: bool) -> Freed:
    size = 0
    for folder in folders:
        size += artifacts.freed_bytes(folder.key)
        if not dry_run:
            artifacts.remove(folder.key)
            log.info("gc.folder", extra={"folder": folder.key})
    return Freed(what=what, items=len(folders), bytes=size)


def _caches(data: Path, dry_run: bool) -> Freed:
    """Decoded data sets: those that were never finished, and all but the one that was read last of each set."""
    found: list[Path] = []
    for folder in sorted(data.glob("*/cache")) if data.is_dir() else ():
        caches = sorted((one for one in folder.iterdir() if one.is_dir()), key=lambda one: one.stat().st_mtime)
        whole = [one for one in caches if not one.name.startswith(".")]
        found += whole[:-1]
        found += [one for one in caches if one.name.startswith(".") and time.time() - one.stat().st_mtime > STALE_S]
    size = 0
    for folder in found:
        size += folder_bytes(folder)
        if not dry_run:
            shutil.rmtree(folder, ignore_errors=True)
            log.info("gc.folder", extra={"folder": folder.name})
    return Freed(what="caches of data sets that nothing reads", items=len(found), bytes=size)
