"""Routes: what can be chosen, what a choice would be, and what the paper printed."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Depends, Response

from backend.catalog.service import CatalogService
from backend.context import Context, of
from backend.contract import as_json, may
from backend.runs.endpoints import ASKED
from core.datasets.catalog import DATASETS
from core.errors import DatasetCorrupt, UnknownName
from core.paper.printed import published
from core.schemas.catalog import Catalog
from core.schemas.pareto import PublishedPoint
from core.schemas.preview import Preview
from core.schemas.request import RunRequest

router = APIRouter(tags=["catalog"])


def service(context: Annotated[Context, Depends(of)]) -> CatalogService:
    return CatalogService(context)


Service = Annotated[CatalogService, Depends(service)]


@router.get("/catalog")
def get_catalog(catalog: Service) -> Catalog:
    """Backbones with their masks, data sets and whether they are here, recipes, profiles and modes."""
    return catalog.catalog()


@router.post("/preview", response_model=Preview, responses=may(*ASKED))
def preview(request: RunRequest, catalog: Service) -> Response:
    """What a run would be: network, memory, time here, and an equal run if there is one. Nothing is queued."""
    return as_json(catalog.preview_json(request))


@router.get("/published", responses=may(UnknownName, DatasetCorrupt))
def get_published(dataset: str) -> list[PublishedPoint]:
    """The printed points of Kabir et al. for a data set; none for one that the paper does not use."""
    return published(DATASETS[dataset].name)
