"""Routes of views that were kept under a name."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Depends, Path

from backend.context import Context, of
from backend.contract import may
from backend.views import service
from core.errors import BadValue, NotFound, StorageFull
from core.schemas.saved_view import NewView, SavedView, SavedViews

router = APIRouter(tags=["views"])


@router.get("/views")
def list_views(context: Annotated[Context, Depends(of)]) -> SavedViews:
    """All of them, by name."""
    return SavedViews(items=service.listed(context))


@router.post("/views", status_code=201, responses=may(BadValue, StorageFull))
def save_view(view: NewView, context: Annotated[Context, Depends(of)]) -> SavedView:
    """Keep the parts of an address of Explore under a name; a name that there is already takes the new ones."""
    return service.save(context, view)


@router.delete("/views/{view_id}", status_code=204, responses=may(NotFound, StorageFull))
def forget_view(view_id: Annotated[str, Path(max_length=64)], context: Annotated[Context, Depends(of)]) -> None:
    """Only the name is forgotten; the runs stay."""
    service.forget(context, view_id)
