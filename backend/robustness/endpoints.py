"""Routes of a run's robustness: ask for it to be measured, look how far that is and what it found."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Depends, Query

from backend.context import Context, of
from backend.contract import may
from backend.robustness.service import RobustnessService
from backend.runs.endpoints import RunId
from core.errors import (
    BadValue,
    BundleCorrupt,
    DatasetCorrupt,
    DatasetMissing,
    MeasurementBusy,
    MeasurementFailed,
    NotFound,
    NotReady,
    UnknownLayer,
    UnknownName,
)
from core.schemas.prices import PriceQuery
from core.schemas.robustness import RobustnessRequest, RunRobustness

router = APIRouter(prefix="/runs/{run_id}/robustness", tags=["results"])


def service(context: Annotated[Context, Depends(of)]) -> RobustnessService:
    return RobustnessService(context)


Service = Annotated[RobustnessService, Depends(service)]


@router.post(
    "",
    status_code=202,
    responses=may(NotFound, NotReady, DatasetMissing, DatasetCorrupt, MeasurementBusy, MeasurementFailed),
)
def measure(run_id: RunId, asked: RobustnessRequest, robustness: Service) -> RunRobustness:
    """Measure accuracy and energy under noise, blur and fewer bits of a weight, in the background: minutes."""
    return robustness.measure(run_id, asked)


@router.get("", responses=may(NotFound, NotReady, BundleCorrupt, UnknownName, BadValue, UnknownLayer))
def show(run_id: RunId, query: Annotated[PriceQuery, Query()], robustness: Service) -> RunRobustness:
    """How far it is, and what was measured last, in any mode and profile."""
    return robustness.show(run_id, mode=query.mode, profile=query.profile)
