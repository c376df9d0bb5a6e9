"""Route: which masks to train next."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Depends, Query
from pydantic import Field

from backend.context import Context, of
from backend.contract import may
from backend.suggestions.service import suggestions
from core.errors import BadValue, DatasetCorrupt, UnknownName
from core.schemas.base import Frozen
from core.schemas.prices import DEFAULT_MODE, DEFAULT_PROFILE
from core.schemas.run import Kind
from core.schemas.suggestion import MaskSuggestions

router = APIRouter(tags=["suggestions"])


class SuggestionQuery(Frozen):
    backbone: str = "squeezenet"
    definition: str = "small"
    kind: Kind = Kind.SNN
    dataset: str = "digits"
    mode: str = DEFAULT_MODE
    profile: str = DEFAULT_PROFILE
    n: int = Field(default=3, ge=1, le=10)


@router.get("/suggestions", responses=may(UnknownName, BadValue, DatasetCorrupt))
def get_suggestions(
    query: Annotated[SuggestionQuery, Query()], context: Annotated[Context, Depends(of)]
) -> MaskSuggestions:
    """Masks that promise most area under the front for their training time, or why none can be named yet."""
    return suggestions(context, **query.model_dump())
