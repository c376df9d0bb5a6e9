"""Routes of workers and of what waits for them."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Depends, Response

from backend.context import Context, of
from backend.contract import as_json
from backend.workers.service import WorkerService
from core.schemas.workers import Activity, WaitingRuns, Workers

router = APIRouter(tags=["workers"])


def service(context: Annotated[Context, Depends(of)]) -> WorkerService:
    return WorkerService(context)


Service = Annotated[WorkerService, Depends(service)]


@router.get("/workers")
def list_workers(workers: Service) -> Workers:
    """Workers that answered lately: their queue, slots, and the runs they train."""
    return workers.workers()


@router.get("/queue")
def show_queue(workers: Service) -> WaitingRuns:
    """Runs that wait, in the order in which they are taken, with estimates of when each starts."""
    return workers.queue()


@router.get("/activity", response_model=Activity)
def show_activity(workers: Service) -> Response:
    """Who trains what, the head of the queue, and a number that rises when lists of runs must be read again."""
    return as_json(workers.activity_json())
