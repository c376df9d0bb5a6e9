"""Route of imports: a bundle as a zip, not as JSON."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Depends, Request, Response

from backend.context import Context, of
from backend.contract import may
from backend.imports.service import ImportService
from backend.problems import UploadCorrupt
from backend.runs.found import take_up
from backend.security import acting
from backend.store.actors import Actor
from core.errors import BadValue, DatasetCorrupt, HomeUnusable, ImpossibleMask, StorageFull, UnknownName, UnsafeArchive
from core.schemas.runs import Run, TakenUp

router = APIRouter(tags=["runs"])

ZIP_BODY = {
    "requestBody": {
        "required": True,
        "content": {"application/zip": {"schema": {"type": "string", "format": "binary"}}},
    }
}


def service(context: Annotated[Context, Depends(of)], actor: Annotated[Actor, Depends(acting)]) -> ImportService:
    return ImportService(context, actor)


@router.post(
    "/imports",
    status_code=201,
    openapi_extra=ZIP_BODY,
    responses=may(
        UploadCorrupt, UnsafeArchive, UnknownName, BadValue, ImpossibleMask, DatasetCorrupt, StorageFull, HomeUnusable
    )
    | {200: {"model": Run, "description": "this bundle is here already"}},
)
async def import_bundle(
    request: Request, response: Response, imports: Annotated[ImportService, Depends(service)]
) -> Run:
    """A finished bundle that was trained elsewhere, as a zip: every file is checked and every figure recomputed."""
    run, created = await imports.take(request.stream())
    response.status_code = 201 if created else 200
    response.headers["Location"] = f"/api/v1/runs/{run.id}"
    return run


@router.post("/imports/unlisted")
def take_up_unlisted(context: Annotated[Context, Depends(of)]) -> TakenUp:
    """Runs whose folders are in the folder of runs and whose rows are not, as after the database was deleted."""
    return TakenUp(ids=take_up(context))
