"""Route of trying a trained network on one image."""

from __future__ import annotations

from typing import Annotated

from anyio import to_thread
from fastapi import APIRouter, Depends, Query, Request
from pydantic import Field

from backend.context import Context, of
from backend.contract import may
from backend.runs.endpoints import RunId
from backend.tryit.service import TryService
from core.errors import (
    BadValue,
    BundleCorrupt,
    DatasetCorrupt,
    DatasetMissing,
    InferenceFailed,
    NotFound,
    NotReady,
    UnknownName,
)
from core.schemas.base import Frozen
from core.schemas.inference import NeuronPlace, Tried
from core.schemas.prices import DEFAULT_MODE, DEFAULT_PROFILE

router = APIRouter(prefix="/runs/{run_id}", tags=["results"])

PICTURE_BODY = {
    "requestBody": {
        "required": False,
        "content": {
            kind: {"schema": {"type": "string", "format": "binary"}}
            for kind in ("image/png", "image/jpeg", "image/webp", "audio/wav")
        },
    }
}


def service(context: Annotated[Context, Depends(of)]) -> TryService:
    return TryService(context)


class TryQuery(Frozen):
    index: int | None = Field(default=None, ge=0, lt=2**31, description="a kept test image, instead of a body")
    invert: bool = Field(default=False, description="take the negative, where the data set is light on dark")
    layer: str | None = Field(default=None, max_length=100, description="with channel, y and x: whose membrane to tell")
    channel: int = Field(default=0, ge=0, lt=2**31)
    y: int = Field(default=0, ge=0, lt=2**31)
    x: int = Field(default=0, ge=0, lt=2**31)
    mode: str = DEFAULT_MODE
    profile: str = DEFAULT_PROFILE

    @property
    def neuron(self) -> NeuronPlace | None:
        """Whose membrane is asked for, if any."""
        if self.layer is None:
            return None
        return NeuronPlace(layer=self.layer, channel=self.channel, y=self.y, x=self.x)


@router.post(
    "/try",
    openapi_extra=PICTURE_BODY,
    responses=may(
        NotFound, NotReady, BundleCorrupt, UnknownName, BadValue, DatasetMissing, DatasetCorrupt, InferenceFailed
    ),
)
async def try_image(
    request: Request, run_id: RunId, query: Annotated[TryQuery, Query()], tryit: Annotated[TryService, Depends(service)]
) -> Tried:
    """One image through the run's network and its twin's, step by step: a picture (of spoken words a WAV file) as the
    body, or a test image."""
    picture = await request.body()

    def take() -> Tried:
        return tryit.take(
            run_id,
            picture=picture,
            index=query.index,
            invert=query.invert,
            neuron=query.neuron,
            mode=query.mode,
            profile=query.profile,
        )

    return await to_thread.run_sync(take)
