"""Routes of what a run found: curves, layers, confusion, examples, gradients, files."""

from __future__ import annotations

from pathlib import PurePath
from typing import Annotated

from fastapi import APIRouter, Depends, Query, Request
from fastapi.responses import FileResponse
from pydantic import Field

from backend.artifacts import MEDIA_TYPES
from backend.context import Context, of
from backend.runs.endpoints import RunId
from backend.runs.results import ResultService, Which
from backend.security import has_token
from core.energy.modes import DEFAULT_MODE
from core.energy.profiles import DEFAULT_PROFILE
from core.errors import Unauthorised
from core.schemas.api import Confusion, Examples, Gradients, Layers, Metrics
from core.schemas.base import Frozen

router = APIRouter(prefix="/runs/{run_id}", tags=["results"])


def service(context: Annotated[Context, Depends(of)]) -> ResultService:
    return ResultService(context)


Service = Annotated[ResultService, Depends(service)]


class LayersQuery(Frozen):
    mode: str = DEFAULT_MODE
    profile: str = DEFAULT_PROFILE


class ExamplesQuery(Frozen):
    which: Which = "first"
    limit: int = Field(default=24, ge=1, le=200)


@router.get("/metrics")
def metrics(run_id: RunId, results: Service) -> Metrics:
    """Epoch by epoch, also while the run goes on."""
    return results.metrics(run_id)


@router.get("/layers")
def layers(run_id: RunId, query: Annotated[LayersQuery, Query()], results: Service) -> Layers:
    """Operations, energy and firing rate of each layer per inference, in any mode and profile."""
    return results.layers(run_id, mode=query.mode, profile=query.profile)


@router.get("/confusion")
def confusion(run_id: RunId, results: Service) -> Confusion:
    """The confusion matrix of the test set, with precision, recall and F1 of each class."""
    return results.confusion(run_id)


@router.get("/examples")
def examples(run_id: RunId, query: Annotated[ExamplesQuery, Query()], results: Service) -> Examples:
    """Test images with the answers of this run and of its twin."""
    return results.examples(run_id, which=query.which, limit=query.limit)


@router.get("/gradients")
def gradients(run_id: RunId, results: Service) -> Gradients:
    """Gradient norm of each layer over the epochs."""
    return results.gradients(run_id)


@router.get("/artifacts/{name}", response_class=FileResponse)
def artifact(
    request: Request,
    run_id: RunId,
    name: str,
    results: Service,
    context: Annotated[Context, Depends(of)],
    expires: int | None = None,
    signature: str | None = None,
) -> FileResponse:
    """One file of the bundle, whole or in ranges: with the bearer token, or by the signed address of the run's answer."""
    if not has_token(request, context.token):
        if expires is None or signature is None:
            raise Unauthorised()
        context.urls.check(run_id, name, expires=expires, signature=signature)
    path = results.artifact(run_id, name)
    media_type = MEDIA_TYPES.get(PurePath(name).suffix, "application/octet-stream")
    return FileResponse(path, media_type=media_type, filename=f"{run_id}-{name}")
