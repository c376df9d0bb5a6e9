"""Is it alive, and is it ready to take work."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated

from fastapi import APIRouter, Depends, Request, Response
from sqlalchemy import select

from backend.context import Context, of
from backend.security import has_token
from backend.store.db import HEAD, schema_version, utc_now
from backend.store.models import WorkerRow
from backend.store.signs import seen_lately
from core.errors import SpikefrontError
from core.forecast import STORAGE_MARGIN
from core.home.notes import read_notes
from core.room import lack
from core.schemas.workers import ReadyCheck

router = APIRouter(prefix="/health", tags=["health"])

OK = "ok"


@router.get("/live")
def live() -> dict[str, str]:
    """The process answers."""
    return {"status": OK}


@router.get("/ready", responses={503: {"model": ReadyCheck}})
def ready(request: Request, response: Response, context: Annotated[Context, Depends(of)]) -> ReadyCheck:
    """Whether the database and the broker answer: 200, or 503 with a sentence about what does not.

    `workers` lists those that gave a sign of life lately: their names with the bearer token,
    else only a number each. A missing worker is no fault of the API, so `ok` does not depend on it, and neither on
    `training`, which says why no run starts.
    """
    database, workers = _database(context)
    broker = _broker(context)
    ok = database == OK and broker == OK
    response.status_code = 200 if ok else 503
    names = [worker.name for worker in workers]
    if not has_token(request, context.token):
        names = [f"worker {number}" for number in range(1, len(names) + 1)]
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
