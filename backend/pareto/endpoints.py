"""The Pareto plot."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Depends, Query, Response
from pydantic import Field

from backend.context import Context, of
from backend.contract import as_json, may
from backend.pareto.service import pareto
from backend.runs.listed import kept_answer
from backend.store.identity import images_now
from core.datasets.catalog import DATASETS
from core.energy.profiles import profiles
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
    at_most_pj: float | None = Field(
        default=None,
        gt=0,
        allow_inf_nan=False,
        description="stop every run where it is best at no more energy than this",
    )
    archived: bool = Field(default=False, description="archived runs too")
    columns: bool = Field(default=False, description="points as columns: smaller for many runs")


@router.get("/pareto", response_model=Pareto | ParetoColumns, responses=may(UnknownName, BadValue, DatasetCorrupt))
def get_pareto(query: Annotated[ParetoQuery, Query()], context: Annotated[Context, Depends(of)]) -> Response:
    """Own runs with their front, and the printed points, in any mode and profile."""

    def plotted() -> Pareto | ParetoColumns:
        plot = pareto(
            context, dataset=query.dataset, mode=query.mode, profile=query.profile, steps=query.steps,
            factors=query.factors, archived=query.archived, at_most_pj=query.at_most_pj,
        )  # fmt: skip
        return plot.columns() if query.columns else plot.points()

    # older runs may lack figures that are worked out, or a bundle that comes back
    if query.steps is not None or query.at_most_pj is not None:
        return as_json(plotted().model_dump_json().encode())
    prices = profiles()[query.profile].model_dump_json()
    images = images_now(query.dataset, context.settings.data) if query.dataset in DATASETS else ""
    return as_json(kept_answer(context, query.dataset, (query.model_dump_json(), prices, images), plotted))
