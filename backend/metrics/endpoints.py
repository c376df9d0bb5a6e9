"""Numbers for Prometheus."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Depends, Response

from backend.context import Context, of
from backend.metrics.exposition import MEDIA_TYPE
from backend.metrics.service import metrics

router = APIRouter(tags=["metrics"])

TEXT = {"description": "Prometheus' text format", "content": {"text/plain": {"schema": {"type": "string"}}}}


@router.get("/metrics", response_class=Response, responses={200: TEXT})
def scraped(context: Annotated[Context, Depends(of)]) -> Response:
    """Runs, queue, workers, requests, memory, disk, and whether database and broker answer, in Prometheus' text format.

    Opens with the bearer token, or with the key of SPIKEFRONT_METRICS_TOKEN_FILE, which opens nothing else.
    """
    return Response(metrics(context), media_type=MEDIA_TYPE)
