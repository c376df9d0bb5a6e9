"""A run's events as server-sent events: resumable by id, ending with the run.

Each event is `id`, `event` (started, progress, epoch, state) and one JSON object as `data`. A reader that
comes back sends the last id it saw and gets what came since; of progress only the newest is kept. After
the `state` event of a final state the stream ends; asked again beyond it the answer is 204, which
tells a browser's EventSource to stay away.
"""

from __future__ import annotations

import json
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass

from anyio import sleep, to_thread

from backend.runs.repository import RunRepository
from backend.store.db import Database
from backend.store.models import RunEventRow
from core.errors import BadValue, NotFound
from core.schemas.run import RunState

POLL_S = 0.25  # progress comes at most four times a second
HEARTBEAT_S = 15.0
RETRY_MS = 1000


@dataclass(frozen=True, kw_only=True)
class Batch:
    """Events since an id, and whether the run may still get more."""

    rows: list[RunEventRow]
    ended: bool


def read_last_event_id(value: str | None) -> int:
    """The id to go on from; 0 without one. Raises BadValue for anything but a whole number."""
    if value is None or value == "":
        return 0
    if not (value.isascii() and value.isdigit() and len(value) <= 18):
        raise BadValue(field="Last-Event-ID", value=value[:64], expected="the id of an event of this run")
    return int(value)


def read_batch(database: Database, run_id: str, after: int) -> Batch:
    """One look; raises NotFound for an unknown run."""
    with database.read() as session:
        repository = RunRepository(session)
        row = repository.require(run_id)
        # the state is read in the same transaction, so a final state comes with all its events
        return Batch(rows=repository.events_after(run_id, after), ended=RunState(row.state).is_final)


async def stream(database: Database, run_id: str, first: Batch, after: int) -> AsyncIterator[bytes]:
    """The events of `first`, then those that follow until the run ends or is deleted."""
    yield f"retry: {RETRY_MS}\n\n".encode()
    batch, said = first, time.monotonic()
    while True:
        for row in batch.rows:
            yield _message(row)
            after, said = row.id, time.monotonic()
        if batch.ended and not batch.rows:
            return
        if not batch.rows:
            if time.monotonic() - said >= HEARTBEAT_S:
                yield b": still here\n\n"
                said = time.monotonic()
            await sleep(POLL_S)
        try:
            batch = await to_thread.run_sync(read_batch, database, run_id, after)
        except NotFound:  # deleted meanwhile
            return


def _message(row: RunEventRow) -> bytes:
    data = json.dumps(row.payload, allow_nan=False, separators=(",", ":"))
    return f"id: {row.id}\nevent: {row.type}\ndata: {data}\n\n".encode()
