"""A run's events as server-sent events: resumable by id, ending with the run.

Each event is `id`, `event` (started, progress, epoch, state) and one JSON object as `data`. A reader that
comes back sends the last id it saw and gets what came since. Of progress only the newest is kept; it has no id, and an
active run tells it again to whoever comes back. After
the `state` event of a final state the stream ends, and before it when the credential that opened it is good no more; asked again beyond it the answer is 204, which
tells a browser's EventSource to stay away. FastAPI frames the events and sends a quiet reader a comment every 15 s.
"""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from datetime import datetime
from time import monotonic

from anyio import sleep, to_thread
from fastapi.sse import ServerSentEvent

from backend.runs.repository import PROGRESS, RunRepository
from backend.store.db import Database
from backend.store.models import RunEventRow
from core.errors import BadValue, NotFound
from core.schemas.run import RunState

POLL_S = 0.25  # progress comes at most four times a second
LOOK_S = 2.0  # at whether whoever reads still may
RETRY_MS = 1000


@dataclass(frozen=True, kw_only=True)
class Batch:
    """Events since an id, the newest progress at its place among them, and whether the run may still get more."""

    rows: list[RunEventRow]
    progress: RunEventRow | None
    ended: bool

    @property
    def over(self) -> bool:
        """Whether there is nothing more to tell, now or later."""
        return self.ended and not self.rows

    def told(self, last: datetime | None) -> list[RunEventRow]:
        """All in order; progress of the time `last` has been told already."""
        if self.progress is None or self.over or self.progress.created_at == last:
            return self.rows
        before = sum(row.created_at <= self.progress.created_at for row in self.rows)
        return [*self.rows[:before], self.progress, *self.rows[before:]]


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
        return Batch(
            progress=repository.progress(run_id),
            rows=repository.events_after(run_id, after),
            ended=RunState(row.state).is_final,
        )


async def stream(
    database: Database, run_id: str, first: Batch, after: int, *, admitted: Callable[[], bool] | None = None
) -> AsyncIterator[ServerSentEvent]:
    """The events of `first`, then those that follow until the run ends or is deleted.

    `admitted`: whether the reader's credential is still good, asked every LOOK_S; the stream ends with it, and a reader
    that comes back is refused. None of one that has no end.
    """
    yield ServerSentEvent(retry=RETRY_MS)
    batch, progress_at = first, None
    looked_at = monotonic()
    while True:
        if admitted is not None and monotonic() - looked_at >= LOOK_S:
            if not await to_thread.run_sync(admitted):
                return
            looked_at = monotonic()
        told = batch.told(progress_at)
        for row in told:
            yield _event(row)
            if row.type == PROGRESS:
                progress_at = row.created_at
            else:
                after = row.id
        if batch.over:
            return
        if not told:
            await sleep(POLL_S)
        try:
            batch = await to_thread.run_sync(read_batch, database, run_id, after)
        except NotFound:  # deleted meanwhile
            return


def _event(row: RunEventRow) -> ServerSentEvent:
    data = json.dumps(row.payload, allow_nan=False, separators=(",", ":"))
    return ServerSentEvent(id=None if row.type == PROGRESS else str(row.id), event=row.type, raw_data=data)
