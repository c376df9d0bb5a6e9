"""Routes of runs: make, list, show, stop, repeat, mark, remove, follow."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from typing import Annotated

from anyio import to_thread
from fastapi import APIRouter, Depends, Header, Path, Query, Request, Response
from fastapi.sse import EventSourceResponse, ServerSentEvent
from pydantic import Field

from backend.context import Context, of
from backend.contract import Responses, as_json, may
from backend.runs.columns import columns_json, counts_json
from backend.runs.events import Batch, read_batch, read_last_event_id, stream
from backend.runs.repository import RunWhere
from backend.runs.service import RunService
from backend.security import acting, bearer
from backend.store.actors import Actor
from backend.store.credentials import identify
from core.backbones.catalog import BACKBONES, parse_mask
from core.errors import (
    BadValue,
    BundleCorrupt,
    DatasetCorrupt,
    DatasetMissing,
    IdempotencyConflict,
    ImpossibleMask,
    NotFound,
    NotYours,
    QueueFull,
    SpikefrontError,
    StateConflict,
    StorageFull,
    UnknownName,
)
from core.recipes.catalog import RECIPES
from core.schemas.base import Frozen
from core.schemas.prices import DEFAULT_MODE, DEFAULT_PROFILE
from core.schemas.request import ForkRequest, RunRequest
from core.schemas.run import Kind, RunState
from core.schemas.run_table import RunColumns, RunCounts
from core.schemas.runs import LONGEST_PAGE, BulkAnswers, BulkRequest, Run, RunChange, RunPage

router = APIRouter(tags=["runs"])

RunId = Annotated[str, Path(max_length=64)]
Key = Annotated[str | None, Header(alias="Idempotency-Key", description="the same key makes the same run only once")]


def service(context: Annotated[Context, Depends(of)], actor: Annotated[Actor, Depends(acting)]) -> RunService:
    return RunService(context, actor)


Service = Annotated[RunService, Depends(service)]


class RunFilters(Frozen):
    """Filters of lists of runs; a filter that is left out lets everything pass."""

    state: list[RunState] = Field(default=[], description="may be given more than once")
    kind: Kind | None = None
    dataset: str | None = None
    backbone: str | None = None
    mask: str | None = Field(default=None, description="kept blocks, such as F4,F6, or a mask's name")
    recipe: str | None = None
    tag: str | None = Field(default=None, max_length=40)
    submitter: str | None = Field(default=None, max_length=64, description="the name of the account whose they are")
    project: str | None = Field(default=None, max_length=64)
    q: str | None = Field(
        default=None, max_length=100, description="in name, label, note and tags, or the id's beginning"
    )
    sweep: str | None = Field(default=None, max_length=64, description="id of a sweep")
    deleted: bool = Field(default=False, description="what is in the bin, instead of what is not")
    archived: bool = Field(default=False, description="archived runs too")

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
            submitter=self.submitter,
            project=self.project,
            q=self.q,
            sweep=self.sweep,
            deleted=self.deleted,
            archived=self.archived,
        )


class RunQuery(RunFilters):
    """Filters and paging of `GET /runs`."""

    cursor: str | None = Field(default=None, max_length=200, description="next_cursor of the page before")
    limit: int = Field(default=50, ge=1, le=LONGEST_PAGE)


class ColumnsQuery(RunFilters):
    """Filters of `GET /runs/columns`, and how its energies are priced."""

    mode: str = DEFAULT_MODE
    profile: str = DEFAULT_PROFILE


def _masks(text: str, backbone: str | None) -> list[tuple[str, ...]]:
    """The masks that `text` means, for one backbone or for each that knows its blocks."""
    masks, unknown = [], None
    for name in [backbone] if backbone is not None else BACKBONES:
        try:
            masks.append(parse_mask(name, text))
        except SpikefrontError as error:
            unknown = error
    if not masks and unknown is not None:
        raise unknown
    return masks


MADE_BEFORE: Responses = {200: {"model": Run, "description": "made before with this key"}}
#: What can be wrong with a config that is asked for: one may name runs as teachers or starts.
ASKED = (UnknownName, BadValue, ImpossibleMask, DatasetCorrupt, NotFound, BundleCorrupt)
REFUSED = (*ASKED, DatasetMissing, IdempotencyConflict, QueueFull, StorageFull)


@router.post("/runs", status_code=201, responses=may(*REFUSED) | MADE_BEFORE)
def create_run(request: RunRequest, response: Response, runs: Service, key: Key = None) -> Run:
    """Queue a run. With the broker away it is kept all the same, and sent when the broker is back."""
    run, created = runs.create(request, key=key)
    return _made(response, run, created)


@router.get("/runs", response_model=RunPage, responses=may(UnknownName, BadValue, ImpossibleMask, DatasetCorrupt))
def list_runs(query: Annotated[RunQuery, Query()], runs: Service) -> Response:
    """Newest first, a page at a time."""
    return as_json(runs.page_json(query.where(), cursor=query.cursor, limit=query.limit))


#: What a filter may be refused for.
UNFIT = (UnknownName, BadValue, ImpossibleMask, DatasetCorrupt)


@router.get("/runs/columns", response_model=RunColumns, responses=may(*UNFIT))
def list_columns(query: Annotated[ColumnsQuery, Query()], context: Annotated[Context, Depends(of)]) -> Response:
    """All runs that fit, newest first, as columns: what a table of them shows, energies in any mode and profile."""
    return as_json(columns_json(context, query.where(), mode=query.mode, profile=query.profile))


@router.get("/runs/counts", response_model=RunCounts, responses=may(*UNFIT))
def count_runs(query: Annotated[RunFilters, Query()], context: Annotated[Context, Depends(of)]) -> Response:
    """How many runs fit, by state: cheap enough to ask every few seconds whether anything changed."""
    return as_json(counts_json(context, query.where()))


@router.get("/runs/{run_id}", responses=may(NotFound))
def show_run(run_id: RunId, runs: Service) -> Run:
    """One run, with its files once it has succeeded."""
    return runs.show(run_id)


@router.patch("/runs/{run_id}", responses=may(NotFound, NotYours, StateConflict, StorageFull))
def change_run(run_id: RunId, change: RunChange, runs: Service) -> Run:
    """Set a run's tags, note, name, project, priority, whether it is archived; what is left out stays as it is."""
    return runs.change(run_id, change)


@router.delete("/runs/{run_id}", status_code=204, responses=may(NotFound, NotYours, StateConflict, StorageFull))
def delete_run(run_id: RunId, runs: Service) -> None:
    """Put a run that has ended into the bin: it is shown nowhere, its shares lead nowhere, a day later it is gone."""
    runs.delete(run_id)


@router.post("/runs/{run_id}/restore", responses=may(NotFound, NotYours, StorageFull))
def restore_run(run_id: RunId, runs: Service) -> Run:
    """Undo a deletion, until the run has been purged."""
    return runs.restore(run_id)


@router.post("/runs/bulk", responses=may(BadValue))
def change_runs(request: BulkRequest, runs: Service, key: Key = None) -> BulkAnswers:
    """One action on many runs, each by itself; the answer says for each id what became of it."""
    return runs.bulk(request, key=key)


@router.post("/runs/{run_id}/cancel", responses=may(NotFound, NotYours, StateConflict, StorageFull))
def cancel_run(run_id: RunId, runs: Service) -> Run:
    """A queued run is cancelled at once; a running one is `cancelling` until its process is gone."""
    return runs.cancel(run_id)


@router.post("/runs/{run_id}/retry", status_code=201, responses=may(StateConflict, *REFUSED) | MADE_BEFORE)
def retry_run(run_id: RunId, response: Response, runs: Service, key: Key = None) -> Run:
    """A new run with the config of one that failed, was cancelled or is lost."""
    run, created = runs.retry(run_id, key=key)
    return _made(response, run, created)


@router.post("/runs/{run_id}/fork", status_code=201, responses=may(*REFUSED) | MADE_BEFORE)
def fork_run(run_id: RunId, request: ForkRequest, response: Response, runs: Service, key: Key = None) -> Run:
    """A new run with another run's config and some changes; an empty body repeats it."""
    run, created = runs.fork(run_id, request, key=key)
    return _made(response, run, created)


async def still_admitted(
    request: Request, context: Annotated[Context, Depends(of)], actor: Annotated[Actor, Depends(acting)]
) -> Callable[[], bool] | None:
    """Dependency: whether the credential of this request is still an account's; None of the installation's own."""
    if actor.name is None:
        return None
    given = bearer(request)
    return lambda: identify(context.database, given) is not None


@dataclass(frozen=True, kw_only=True)
class Opening:
    """Where a reader of events goes on from, and the first look."""

    first: Batch
    after: int

    @property
    def nothing_left(self) -> bool:
        return self.first.over


async def opening(
    run_id: RunId,
    context: Annotated[Context, Depends(of)],
    response: Response,
    last_event_id: Annotated[str | None, Header(alias="Last-Event-ID")] = None,
) -> Opening:
    """What can still be refused, or answered in another way, before a stream has begun."""
    after = read_last_event_id(last_event_id)
    found = Opening(first=await to_thread.run_sync(read_batch, context.database, run_id, after), after=after)
    response.headers["Cache-Control"] = "no-store"  # FastAPI's own word on a stream, no-cache, lets it be kept
    if found.nothing_left:
        response.status_code = 204
    return found


@router.get(
    "/runs/{run_id}/events",
    response_class=EventSourceResponse,
    responses=may(NotFound, BadValue)
    | {
        200: {"description": "started, progress, epoch and state events"},
        204: {"description": "the run has ended and this reader has seen all of it"},
    },
)
async def follow_run(
    run_id: RunId,
    context: Annotated[Context, Depends(of)],
    opened: Annotated[Opening, Depends(opening)],
    admitted: Annotated[Callable[[], bool] | None, Depends(still_admitted)],
) -> AsyncIterator[ServerSentEvent]:
    """What happens to a run, as server-sent events, until it ends; `Last-Event-ID` resumes."""
    if opened.nothing_left:
        return
    async for event in stream(context.database, run_id, opened.first, opened.after, admitted=admitted):
        yield event


def _made(response: Response, run: Run, created: bool) -> Run:
    response.status_code = 201 if created else 200
    response.headers["Location"] = f"/api/v1/runs/{run.id}"
    return run
