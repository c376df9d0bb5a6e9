"""Routes of what a run found: curves, layers, confusion, examples, steps and exits, its twin, diagnostics, files."""

from __future__ import annotations

from pathlib import PurePath
from typing import Annotated

from fastapi import APIRouter, Depends, Path, Query
from fastapi.responses import FileResponse, StreamingResponse
from pydantic import Field
from starlette.responses import Response

from backend.context import Context, of
from backend.contract import files, may, routing
from backend.results.images import Cell, Which
from backend.results.ranged import RangedFile
from backend.results.service import ResultService
from backend.runs.endpoints import RunId
from backend.security import asking
from backend.store.actors import Actor
from backend.store.artifacts import BUNDLE_ZIP, MEDIA_TYPES
from core.errors import BadValue, BundleCorrupt, NotFound, NotReady, Unauthorised, UnknownLayer, UnknownName
from core.schemas.base import Frozen
from core.schemas.bill import Layers
from core.schemas.diagnostics import Calibration, Confusion, DiagnosticsReport, Exits, Steps
from core.schemas.history import RunHistory, RunLog
from core.schemas.images import Examples, SeenImage
from core.schemas.prices import PriceQuery
from core.schemas.results import Environment, Gradients, Metrics
from core.schemas.search import RunSearch
from core.schemas.twin import RunTwin

router = APIRouter(
    prefix="/runs/{run_id}",
    tags=["results"],
    responses=may(NotFound, NotReady, BundleCorrupt, UnknownLayer, UnknownName, BadValue),
)
FILE_TYPES = (*MEDIA_TYPES.values(), "application/octet-stream")


def service(context: Annotated[Context, Depends(of)]) -> ResultService:
    return ResultService(context)


Service = Annotated[ResultService, Depends(service)]


class ExamplesQuery(Frozen):
    which: Which = "first"
    limit: int = Field(default=24, ge=1, le=200)
    against: str | None = Field(default=None, description="a run id: only images that it got right and this run not")
    truth: int | None = Field(default=None, ge=0, description="only images of this class, as its position among them")
    answer: int | None = Field(default=None, ge=0, description="only images that the run took for this class")


class ExitsQuery(PriceQuery):
    threshold: float | None = Field(default=None, ge=0, le=1, description="also say where each image stops at it")


@router.get("/metrics")
def metrics(run_id: RunId, results: Service) -> Metrics:
    """Epoch by epoch, also while the run goes on."""
    return results.metrics(run_id)


@router.get("/search")
def search(run_id: RunId, results: Service) -> RunSearch:
    """What a search has found, epoch by epoch, also while it goes on; of a cell also how every trained wiring did."""
    return results.search(run_id)


@router.get("/history")
def history(run_id: RunId, results: Service) -> RunHistory:
    """The loss of steps, evenly thinned, and what the trainer took of the machine; also while the run goes on."""
    return results.history(run_id)


@router.get("/log")
def log(run_id: RunId, results: Service) -> RunLog:
    """The end of the trainer's log, without folders and secrets; also while the run goes on."""
    return results.log(run_id)


@router.get("/layers")
def layers(run_id: RunId, query: Annotated[PriceQuery, Query()], results: Service) -> Layers:
    """Operations, energy and firing rate of each layer per inference, in any mode and profile."""
    return results.layers(run_id, mode=query.mode, profile=query.profile)


@router.get("/confusion")
def confusion(run_id: RunId, results: Service) -> Confusion:
    """The confusion matrix of the test set, with precision, recall and F1 of each class."""
    return results.confusion(run_id)


@router.get("/examples")
def examples(run_id: RunId, query: Annotated[ExamplesQuery, Query()], results: Service) -> Examples:
    """Test images with the answers of this run and of its twin, or of the run that it is held against."""
    cell = Cell(truth=query.truth, answer=query.answer)
    return results.examples(run_id, which=query.which, limit=query.limit, against=query.against, cell=cell)


@router.get("/images/{index}")
def image(
    run_id: RunId,
    index: Annotated[int, Path(ge=0, lt=2**31, description="position in the test set")],
    query: Annotated[PriceQuery, Query()],
    results: Service,
) -> SeenImage:
    """One test image: confidences, spikes of each layer and energy after each step, of the run and of its twin."""
    return results.image(run_id, index, mode=query.mode, profile=query.profile)


@router.get("/calibration")
def calibration(run_id: RunId, results: Service) -> Calibration:
    """Expected calibration error with its bins, Brier score and negative log-likelihood of the test set."""
    return results.calibration(run_id)


@router.get("/steps")
def steps(run_id: RunId, query: Annotated[PriceQuery, Query()], results: Service) -> Steps:
    """Accuracy, firing rate and energy of the network stopped after each T' <= T."""
    return results.steps(run_id, mode=query.mode, profile=query.profile)


@router.get("/exits")
def exits(run_id: RunId, query: Annotated[ExitsQuery, Query()], results: Service) -> Exits:
    """Accuracy, steps and energy where each image stops as soon as the network is sure, over thresholds."""
    return results.exits(run_id, mode=query.mode, profile=query.profile, threshold=query.threshold)


@router.get("/twin")
def twin(run_id: RunId, query: Annotated[PriceQuery, Query()], results: Service) -> RunTwin:
    """The spiking network beside its CNN twin: energies, the CNN at few bits, the break-even firing rate."""
    return results.twin(run_id, mode=query.mode, profile=query.profile)


@router.get("/diagnostics")
def diagnostics(run_id: RunId, results: Service) -> DiagnosticsReport:
    """Gradients at the spikes, active zone, dead and saturated neurons, firing rate per layer, epoch and step."""
    return results.diagnostics(run_id)


@router.get("/gradients")
def gradients(run_id: RunId, results: Service) -> Gradients:
    """Gradient norm of each layer over the epochs."""
    return results.gradients(run_id)


@router.get("/environment")
def environment(run_id: RunId, results: Service) -> Environment:
    """What the numbers were made with: versions, processor, threads, device, commit."""
    return results.environment(run_id)


@router.get(
    "/artifacts/{name}",
    response_class=FileResponse,
    responses=routing(400, 416)
    | {
        200: files(*FILE_TYPES, what="the file"),
        206: files(*FILE_TYPES, "multipart/byteranges", what="the ranges of it that were asked for"),
    },
)
def artifact(
    run_id: RunId,
    name: str,
    results: Service,
    context: Annotated[Context, Depends(of)],
    actor: Annotated[Actor | None, Depends(asking)],
    expires: int | None = None,
    signature: str | None = None,
) -> Response:
    """One file of the bundle, whole or in ranges, or all as `bundle.zip`.

    Opened by a bearer token, or by the signed address of the run's answer.
    """
    if actor is None:
        if expires is None or signature is None:
            raise Unauthorised()
        context.urls.check(run_id, name, expires=expires, signature=signature)
    if name == BUNDLE_ZIP:
        headers = {"Content-Disposition": f'attachment; filename="{run_id}-{name}"'}
        return StreamingResponse(results.archive(run_id), media_type="application/zip", headers=headers)
    path = results.artifact(run_id, name)
    media_type = MEDIA_TYPES.get(PurePath(name).suffix, "application/octet-stream")
    return RangedFile(path, media_type=media_type, filename=f"{run_id}-{name}")
