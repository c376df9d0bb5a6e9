"""The Pareto plot."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Depends, Query
from pydantic import Field

from backend.context import Context, of
from backend.contract import may
from backend.pareto.service import pareto
from core.errors import BadValue, DatasetCorrupt, UnknownName
from core.schemas.pareto import Pareto, ParetoColumns
from core.schemas.prices import DEFAULT_MODE, DEFAULT_PROFILE, Factors

router = APIRouter(tags=["results"])


class ParetoQuery(Factors):
    """What to plot, and how to price it."""

    dataset: str
    profile: str = DEFAULT_PROFILE
    mode: str = DEFAULT_MODE
    steps: int | None = Field(default=None, ge=1, le=1024, description="stop every run after so many time steps")
    archived: bool = Field(default=False, description="archived runs too")
    columns: bool = Field(default=False, description="points as columns: smaller for many runs")


@router.get("/pareto", responses=may(UnknownName, BadValue, DatasetCorrupt))
def get_pareto(
    query: Annotated[ParetoQuery, Query()], context: Annotated[Context, Depends(of)]
) -> Pareto | ParetoColumns:
    """Own runs with their front, and the printed points, in any mode and profile."""
    plot = pareto(
        context, dataset=query.dataset, mode=query.mode, profile=query.profile, steps=query.steps,
        factors=query.factors, archived=query.archived,
    )  # fmt: skip
    return plot.columns() if query.columns else plot.points()
