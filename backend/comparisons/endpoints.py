"""Routes of the comparison."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Depends, Query
from pydantic import Field

from backend.comparisons.service import ComparisonService
from backend.context import Context, of
from backend.contract import may
from core.errors import BadValue, BundleCorrupt, NotFound, NotReady, UnknownLayer, UnknownName
from core.schemas.compare import Comparison
from core.schemas.ensemble import ComparedEnsemble
from core.schemas.prices import DEFAULT_MODE, DEFAULT_PROFILE, Factors

router = APIRouter(tags=["results"])


class CompareQuery(Factors):
    runs: str = Field(max_length=700, description="two to ten run ids, with commas between them; the first is the base")
    mode: str = DEFAULT_MODE
    profile: str = DEFAULT_PROFILE


class EnsembleQuery(Factors):
    first: str = Field(max_length=64, description="id of the run that answers first")
    second: str = Field(max_length=64, description="id of the run that is asked where the first one is unsure")
    mode: str = DEFAULT_MODE
    profile: str = DEFAULT_PROFILE


def service(context: Annotated[Context, Depends(of)]) -> ComparisonService:
    return ComparisonService(context)


@router.get("/compare", responses=may(NotFound, NotReady, BundleCorrupt, UnknownLayer, UnknownName, BadValue))
def compare(
    query: Annotated[CompareQuery, Query()], comparisons: Annotated[ComparisonService, Depends(service)]
) -> Comparison:
    """Succeeded runs side by side: figures, differences with intervals, images gained and lost, twins, curves."""
    ids = [run_id.strip() for run_id in query.runs.split(",")]
    return comparisons.compare(ids, mode=query.mode, profile=query.profile, factors=query.factors)


@router.get("/compare/ensemble", responses=may(NotFound, NotReady, BundleCorrupt, UnknownLayer, UnknownName, BadValue))
def ensemble(
    query: Annotated[EnsembleQuery, Query()], comparisons: Annotated[ComparisonService, Depends(service)]
) -> ComparedEnsemble:
    """Two succeeded runs answering together: the mean of both, and the second asked where the first one is unsure."""
    return comparisons.ensemble(
        query.first, query.second, mode=query.mode, profile=query.profile, factors=query.factors
    )
