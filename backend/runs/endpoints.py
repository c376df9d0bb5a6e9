"""Routes of runs: make, list, show, stop, repeat, mark, remove, follow, and the Pareto plot."""

from __future__ import annotations

from typing import Annotated

from anyio import to_thread
from fastapi import APIRouter, Depends, Header, Path, Query, Response
from fastapi.responses import StreamingResponse
from pydantic import Field

from backend.context import Context, of
from backend.contract import Responses, may
from backend.pareto.service import pareto
from backend.runs.events import read_batch, read_last_event_id, stream
from backend.runs.repository import RunWhere
from backend.runs.service import RunService
from core.backbones.catalog import BACKBONES, parse_mask
from core.energy.modes import DEFAULT_MODE
from core.energy.profiles import DEFAULT_PROFILE
from core.errors import (
    BadValue,
    DatasetCorrupt,
    DatasetMissing,
    IdempotencyConflict,
    ImpossibleMask,
    NotFound,
    SpikefrontError,
    StateConflict,
    StorageFull,
    UnknownName,
)
from core.recipes.catalog import RECIPES
from core.schemas.base import Frozen
from core.schemas.pareto import Pareto, ParetoColumns
from core.schemas.prices import Factors
from core.schemas.request import ForkRequest, RunRequest
from core.schemas.run import Kind, RunState
from core.schemas.runs import BulkAnswers, BulkRequest, Run, RunChange, RunPage

router = APIRouter(tags=["runs"])

RunId = Annotated[str, Path(max_length=64)]
Key = Annotated[str | None, Header(alias="Idempotency-Key", description="the same key makes the same run only once")]


def service(context: Annotated[Context, Depends(of)]) -> RunService:
    return RunService(context)


Service = Annotated[RunService, Depends(service)]


class RunQuery(Frozen):
    """Filters and paging of `GET /runs`; a filter that is left out lets everything pass."""

    state: list[RunState] = Field(default=[], description="may be given more than once")
    kind: Kind | None = None
    dataset: str | None = None
    backbone: str | None = None
    mask: str | None = Field(default=None, description="kept blocks, such as F4,F6, or a mask's name")
    recipe: str | None = None
    tag: str | None = Field(default=None, max_length=40)
    q: str | None = Field(default=None, max_length=100, description="in label, note and tags, or the id's beginning")
    sweep: str | None = Field(default=None, max_length=64, description="id of a sweep")
    deleted: bool = Field(default=False, description="what is in the bin, instead of what is not")
    cursor: str | None = Field(default=None, max_length=200, description="next_cursor of the page before")
    limit: int = Field(default=50, ge=1, le=200)

    def where(self) -> RunWhere:
        """Raises UnknownName for a name that is in no table; runs may be on a data set that was taken away."""
        for registry, name in ((BACKBONES, self.backbone), (RECIPES, self.recipe)):
            if name is not None:
                registry[name]
        return RunWhere(
            states=self.state,
            kind=self.kind,
            dataset=self.dataset,
            backbone=self.backbone,
            masks=_masks(self.mask, self.backbone) if self.mask is not None else (),
            recipe=self.recipe,
            tag=self.tag,
            q=self.q,
            sweep=self.sweep,
            deleted=self.deleted,
        )


class ParetoQuery(Factors):
    """What to plot, and how to price it."""

    dataset: str
    profile: str = DEFAULT_PROFILE
    mode: str = DEFAULT_MODE
    steps: int | None = Field(default=None, ge=1, le=1024, description="stop every run after so many time steps")
    columns: bool = Field(default=False, description="points as columns: smaller for many runs")


def _masks(text: str, backbone: str | None) -> list[str]:
    """The stored masks that `text` means, for one backbone or for each that knows its blocks."""
    masks, unknown = [], None
    for name in [backbone] if backbone is not None else BACKBONES:
        try:
            masks.append(",".join(parse_mask(name, text)))
        except SpikefrontError as error:
            unknown = error
    if not masks and unknown is not None:
        raise unknown
    return masks


MADE_BEFORE: Responses = {200: {"model": Run, "description": "made before with this key"}}
REFUSED = (UnknownName, BadValue, ImpossibleMask, DatasetMissing, DatasetCorrupt, IdempotencyConflict, StorageFull)


@router.post("/runs", status_code=201, responses=may(*REFUSED) | MADE_BEFORE)
def create_run(request: RunRequest, response: Response, runs: Service, key: Key = None) -> Run:
    """Queue a run. With the broker away it is kept all the same, and sent when the broker is back."""
    run, created = runs.create(request, key=key)
    return _made(response, run, created)


@router.get("/runs", responses=may(UnknownName, BadValue, ImpossibleMask, DatasetCorrupt))
def list_runs(query: Annotated[RunQuery, Query()], runs: Service) -> RunPage:
    """Newest first, a page at a time."""
    return runs.page(query.where(), cursor=query.cursor, limit=query.limit)


@router.get("/runs/{run_id}", responses=may(NotFound))
def show_run(run_id: RunId, runs: Service) -> Run:
    """One run, with its files once it has succeeded."""
    return runs.show(run_id)


@router.patch("/runs/{run_id}", responses=may(NotFound, StorageFull))
def change_run(run_id: RunId, change: RunChange, runs: Service) -> Run:
    """Set a run's tags, its note, or both; what is left out stays as it is."""
    return runs.change(run_id, change)


@router.delete("/runs/{run_id}", status_code=204, responses=may(NotFound, StateConflict, StorageFull))
def delete_run(run_id: RunId, runs: Service) -> None:
    """Put a run that has ended into the bin: it is shown nowhere, its shares lead nowhere, a day later it is gone."""
    runs.delete(run_id)


@router.post("/runs/{run_id}/restore", responses=may(NotFound, StorageFull))
def restore_run(run_id: RunId, runs: Service) -> Run:
    """Undo a deletion, until the run has been purged."""
    return runs.restore(run_id)


@router.post("/runs/bulk", responses=may(BadValue))
def change_runs(request: BulkRequest, runs: Service, key: Key = None) -> BulkAnswers:
    """One action on many runs, each by itself; the answer says for each id what became of it."""
    return runs.bulk(request, key=key)


@router.post("/runs/{run_id}/cancel", responses=may(NotFound, StateConflict, StorageFull))
def cancel_run(run_id: RunId, runs: Service) -> Run:
    """A queued run is cancelled at once; a running one is `cancelling` until its process is gone."""
    return runs.cancel(run_id)


@router.post("/runs/{run_id}/retry", status_code=201, responses=may(NotFound, StateConflict, *REFUSED) | MADE_BEFORE)
def retry_run(run_id: RunId, response: Response, runs: Service, key: Key = None) -> Run:
    """A new run with the config of one that failed, was cancelled or is lost."""
    run, created = runs.retry(run_id, key=key)
    return _made(response, run, created)


@router.post("/runs/{run_id}/fork", status_code=201, responses=may(NotFound, *REFUSED) | MADE_BEFORE)
def fork_run(run_id: RunId, request: ForkRequest, response: Response, runs: Service, key: Key = None) -> Run:
    """A new run with another run's config and some changes; an empty body repeats it."""
    run, created = runs.fork(run_id, request, key=key)
    return _made(response, run, created)


@router.get(
    "/runs/{run_id}/events",
    response_class=StreamingResponse,
    responses=may(NotFound, BadValue)
    | {
        200: {"content": {"text/event-stream": {}}, "description": "started, progress, epoch and state events"},
        204: {"description": "the run has ended and this reader has seen all of it"},
    },
)
async def follow_run(
    run_id: RunId,
    context: Annotated[Context, Depends(of)],
    last_event_id: Annotated[str | None, Header(alias="Last-Event-ID")] = None,
) -> Response:
    """What happens to a run, as server-sent events, until it ends; `Last-Event-ID` resumes."""
    after = read_last_event_id(last_event_id)
    first = await to_thread.run_sync(read_batch, context.database, run_id, after)
    if first.ended and not first.rows:
        return Response(status_code=204)
    return StreamingResponse(
        stream(context.database, run_id, first, after),
        media_type="text/event-stream",
        headers={"X-Accel-Buffering": "no"},  # a proxy shall not hold events back
    )


@router.get("/pareto", tags=["results"], responses=may(UnknownName, BadValue, DatasetCorrupt))
def get_pareto(
    query: Annotated[ParetoQuery, Query()], context: Annotated[Context, Depends(of)]
) -> Pareto | ParetoColumns:
    """Own runs with their front, and the printed points, in any mode and profile."""
    plot = pareto(
        context, dataset=query.dataset, mode=query.mode, profile=query.profile, steps=query.steps, factors=query.factors
    )
    return plot.columns() if query.columns else plot.points()


def _made(response: Response, run: Run, created: bool) -> Run:
    response.status_code = 201 if created else 200
    response.headers["Location"] = f"/api/v1/runs/{run.id}"
    return run
