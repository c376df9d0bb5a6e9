"""Is it alive, and is it ready to take work."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated

from anyio import CapacityLimiter, to_thread
from fastapi import APIRouter, Depends, Response
from sqlalchemy import select

from backend.context import Context, of
from backend.problems import HEADERS
from backend.security import asking
from backend.store.actors import Actor
from backend.store.db import HEAD, schema_version, utc_now
from backend.store.models import WorkerRow
from backend.store.signs import seen_lately
from core.errors import DatabaseDown, SpikefrontError
from core.forecast import STORAGE_MARGIN
from core.home.notes import read_notes
from core.room import lack
from core.schemas.workers import ReadyCheck

router = APIRouter(prefix="/health", tags=["health"])

OK = "ok"


#: Threads of their own: those of the other routes may all be waiting for a database that hangs.
THREADS = CapacityLimiter(4)


@router.get("/live")
async def live() -> dict[str, str]:
    """The process answers."""
    return {"status": OK}


@router.get("/ready", responses={503: {"model": ReadyCheck}})
async def ready(
    response: Response, context: Annotated[Context, Depends(of)], actor: Annotated[Actor | None, Depends(asking)]
) -> ReadyCheck:
    """Whether the database and the broker answer: 200, or 503 with a sentence about what does not.

    `workers` lists those that gave a sign of life lately: their names with a bearer token,
    else only a number each. A missing worker is no fault of the API, so `ok` does not depend on it, and neither on
    `training`, which says why no run starts.
    """
    check = await to_thread.run_sync(_check, context, actor is not None, limiter=THREADS)
    response.status_code = 200 if check.ok else 503
    if not check.ok:
        response.headers.update(HEADERS[DatabaseDown])
    return check


def _check(context: Context, names_shown: bool) -> ReadyCheck:
    database, workers = _database(context)
    broker = _broker(context)
    ok = database == OK and broker == OK
    names = [worker.name if names_shown else f"worker {number}" for number, worker in enumerate(workers, 1)]
    training = why_nothing_starts(context, workers) or OK
    return ReadyCheck(ok=ok, database=database, broker=broker, workers=names, training=training)


def _database(context: Context) -> tuple[str, list[WorkerRow]]:
    try:
        with context.database.read() as session:
            version = schema_version(session.connection())
            if version != HEAD:
                return f"The database has schema {version}; this version needs {HEAD}.", []
            alive = select(WorkerRow).where(seen_lately(utc_now())).order_by(WorkerRow.name)
            return OK, list(session.scalars(alive))
    except SpikefrontError as error:
        return error.message, []


def _broker(context: Context) -> str:
    try:
        context.queue.check()
    except SpikefrontError:
        return "The queue does not answer; new runs wait in the database."
    return OK


def why_nothing_starts(context: Context, workers: Sequence[WorkerRow]) -> str | None:
    """`workers` are those alive that runs are sent to. None while one of them takes runs, or there is none at all.

    The disk is looked at here too: on a full one a worker cannot even write that it waits.
    """
    if (why := read_notes(context.settings).get("worker")) is not None:
        return why
    said = [worker.paused for worker in workers]
    if said and all(said):
        return said[0]
    return lack(context.artifacts.root, STORAGE_MARGIN, try_it=False)
