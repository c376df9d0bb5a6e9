"""Routes of sweeps."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Depends, Path, Query, Response
from pydantic import Field

from backend.context import Context, of
from backend.contract import may
from backend.runs.endpoints import ASKED, REFUSED, Key
from backend.security import acting
from backend.store.actors import Actor
from backend.sweeps.service import SweepService
from core.errors import BadValue, NotFound, NotYours, StorageFull, UnknownName
from core.schemas.base import Frozen
from core.schemas.prices import PriceQuery
from core.schemas.runs import LONGEST_PAGE
from core.schemas.sweep import SweepDetail, SweepPage, SweepPreview, SweepRequest

router = APIRouter(prefix="/sweeps", tags=["sweeps"])

SweepId = Annotated[str, Path(max_length=64)]


def service(context: Annotated[Context, Depends(of)], actor: Annotated[Actor, Depends(acting)]) -> SweepService:
    return SweepService(context, actor)


Service = Annotated[SweepService, Depends(service)]


class PageQuery(Frozen):
    cursor: str | None = Field(default=None, max_length=200, description="next_cursor of the page before")
    limit: int = Field(default=50, ge=1, le=LONGEST_PAGE)


@router.post("/preview", responses=may(*ASKED))
def preview_sweep(request: SweepRequest, sweeps: Service) -> SweepPreview:
    """How many runs a sweep would be, which exist already, and how long the others take. Nothing is stored."""
    return sweeps.preview(request)


@router.post(
    "",
    status_code=201,
    responses=may(*REFUSED) | {200: {"model": SweepDetail, "description": "made before with this key"}},
)
def create_sweep(request: SweepRequest, response: Response, sweeps: Service, key: Key = None) -> SweepDetail:
    """Queue every combination, or none; a run that exists already is taken in instead of being trained again."""
    sweep, created = sweeps.create(request, key=key)
    response.status_code = 201 if created else 200
    response.headers["Location"] = f"/api/v1/sweeps/{sweep.id}"
    return sweep


@router.get("", responses=may(BadValue))
def list_sweeps(query: Annotated[PageQuery, Query()], sweeps: Service) -> SweepPage:
    """Newest first, a page at a time."""
    return sweeps.page(cursor=query.cursor, limit=query.limit)


@router.get("/{sweep_id}", responses=may(NotFound, UnknownName, BadValue))
def show_sweep(sweep_id: SweepId, query: Annotated[PriceQuery, Query()], sweeps: Service) -> SweepDetail:
    """Runs by state, and for runs that differ only in their seed: n, mean, deviation and 95 % interval."""
    return sweeps.show(sweep_id, mode=query.mode, profile=query.profile)


@router.post("/{sweep_id}/cancel", responses=may(NotFound, NotYours, StorageFull))
def cancel_sweep(sweep_id: SweepId, sweeps: Service) -> SweepDetail:
    """Cancel all runs of the sweep that have not ended."""
    return sweeps.cancel(sweep_id)


@router.delete("/{sweep_id}", status_code=204, responses=may(NotFound, NotYours, StorageFull))
def delete_sweep(sweep_id: SweepId, sweeps: Service) -> None:
    """Forget the sweep; its runs stay."""
    sweeps.delete(sweep_id)
