"""Routes of data sets: an archive as the body, a fetch in the background, and pictures of each class."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Depends, Query, Request
from pydantic import Field

from backend.context import Context, of
from backend.contract import may
from backend.datasets.service import DatasetService
from backend.security import acting
from backend.store.actors import Actor
from core.errors import (
    BadValue,
    DatasetCorrupt,
    DatasetMissing,
    HomeUnusable,
    NoClassFolders,
    NotFound,
    StorageFull,
    UnknownName,
    UnsafeArchive,
)
from core.schemas.base import Frozen
from core.schemas.datasets import MAX_PICTURES_A_CLASS, DatasetAdded, DatasetPictures, DataWork

router = APIRouter(prefix="/datasets", tags=["datasets"])

ARCHIVE_BODY = {
    "requestBody": {
        "required": True,
        "content": {
            kind: {"schema": {"type": "string", "format": "binary"}}
            for kind in ("application/zip", "application/x-tar", "application/gzip", "application/octet-stream")
        },
    }
}


def service(context: Annotated[Context, Depends(of)], actor: Annotated[Actor, Depends(acting)]) -> DatasetService:
    return DatasetService(context, actor)


Service = Annotated[DatasetService, Depends(service)]


class NewDataset(Frozen):
    name: str = Field(description="of a-z, 0-9, _ and -; or that of a published set whose files the archive holds")
    file: str = Field(default="archive", max_length=255, description="the archive's own name, for messages")
    size: int | None = Field(default=None, description="side of the images in pixels; else their commonest, up to 64")
    mirrors: bool = Field(default=False, description="whether a mirrored picture is still one of its class")
    replace: bool = Field(default=False, description="exchange a set that is there already")


class Wall(Frozen):
    class_: str | None = Field(default=None, alias="class", description="one class alone")
    limit: int = Field(default=8, ge=1, le=MAX_PICTURES_A_CLASS, description="pictures of a class")


@router.post(
    "",
    status_code=201,
    openapi_extra=ARCHIVE_BODY,
    responses=may(
        UnknownName, BadValue, NoClassFolders, UnsafeArchive, DatasetMissing, DatasetCorrupt, StorageFull, HomeUnusable
    ),
)
async def add_dataset(request: Request, query: Annotated[NewDataset, Query()], datasets: Service) -> DatasetAdded:
    """A data set as a zip or tar, checked whole as `spikefront data add` does; where it is refused, nothing stays."""
    length = request.headers.get("content-length", "")
    return await datasets.take(request.stream(), total=int(length) if length.isdecimal() else 0, **query.model_dump())


@router.get("/{name}/pictures", responses=may(UnknownName, BadValue, DatasetMissing, DatasetCorrupt, HomeUnusable))
def get_pictures(name: str, query: Annotated[Wall, Query()], datasets: Service) -> DatasetPictures:
    """Training images of each class as the networks get them, before anything is trained."""
    return datasets.pictures(name, of=query.class_, limit=query.limit)


@router.get("/{name}/work", responses=may(NotFound))
def get_work(name: str, context: Annotated[Context, Depends(of)]) -> DataWork:
    """How far adding or fetching is, or how it ended."""
    return context.data_works.of(name)


@router.post("/{name}/fetch", status_code=202, responses=may(UnknownName, BadValue, DatasetMissing, DatasetCorrupt))
def fetch_dataset(name: str, datasets: Service) -> DataWork:
    """Fetch a published set from its authors' site in the background; goes on where an earlier try stopped."""
    return datasets.fetch(name)


@router.delete("/{name}/fetch", responses=may(NotFound))
def cancel_fetch(name: str, context: Annotated[Context, Depends(of)]) -> DataWork:
    """Stop a fetch; what came is kept for the next one."""
    return context.data_works.cancel(name)
