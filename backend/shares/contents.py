"""What a link shows, made from the runs as they are now. No id of a run is in it: runs are named by their place."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from typing import Any

from backend.comparisons.service import ComparisonService
from backend.context import Context
from backend.pareto.service import pareto
from backend.results.images import Measured, alike, examples_of
from backend.results.service import confusion_of, layers_of, measured
from backend.runs.repository import RunRepository
from backend.shares.blind import names, renamed, renamed_plot, without_identity, without_metadata, without_own_profile
from backend.store.models import RunRow, ShareRow
from backend.sweeps.repository import SweepRepository
from backend.sweeps.service import SweepService
from core.analysis import robustness
from core.analysis.compare import paired
from core.analysis.ensemble import default_pair
from core.energy.modes import MODES
from core.energy.profiles import profiles, shipped_profiles
from core.errors import BadValue
from core.host.versions import program_version
from core.paper.tables import paper_audit_of
from core.report import recount_words
from core.report.faults import faults
from core.schemas.base import Frozen
from core.schemas.compare import Comparison, Paired
from core.schemas.ensemble import ComparedEnsemble
from core.schemas.images import Example, Examples
from core.schemas.run import Kind, RunConfig, RunState
from core.schemas.share import SHARED, AnyShared, ChangedImages, SharedFile, ShareRequest
from core.schemas.sweep import SweepGroup

EXAMPLES_SHOWN = 24
CHANGED_SHOWN = 6  # of each side of a comparison
THIS, TWIN = "this", "twin"  # stand where an id would


def content_of(context: Context, share: ShareRow) -> AnyShared:
    """All that `share` shows now. Raises NotFound, NotReady or BadValue where its runs are not there any more."""
    request = request_of(share)
    make = {"run": _run, "comparison": _comparison, "sweep": _sweep, "view": _view}[request.type]
    content = {
        "type": request.type,
        "blind": request.blind,
        "frozen": share.frozen,
        "shared_at": share.created_at,
        "expires_at": share.expires_at,
        "version": program_version(),
        "files": [
            SharedFile(name=name, bytes=len(file), sha256=hashlib.sha256(file).hexdigest())
            for name, file in weights_of(context, share)
        ],
        "prices": profiles()[request.profile],
        **make(context, share, request),
    }
    plain = {name: _dumped(value) for name, value in content.items()}
    return SHARED.validate_python(_blind(plain, request.profile) if request.blind else plain)


def _blind(content: Any, profile: str) -> Any:
    named = (
        content if profile in shipped_profiles() else without_own_profile(content, profile, known=shipped_profiles())
    )
    return without_identity(named)


def request_of(share: ShareRow) -> ShareRequest:
    """What was asked for, whenever the link was made."""
    if share.request is None:
        return ShareRequest(run_id=share.run_id, with_twin=share.with_twin)
    return ShareRequest.model_validate(share.request)


def weights_of(context: Context, share: ShareRow) -> Iterator[tuple[str, bytes]]:
    """(file name, content) of the weights that `share` gives; none unless it was asked for."""
    request = request_of(share)
    if not request.with_weights:
        return
    for place, row in enumerate(_rows(context, share, request), 1):
        name = f"weights-{place}-{row.kind}-{row.backbone}-{row.dataset}.safetensors"
        yield name, without_metadata(context.artifacts.bundle(row.id).read("weights.safetensors"))


def _run(context: Context, share: ShareRow, request: ShareRequest) -> dict[str, Any]:
    row, *twins = _rows(context, share, request)
    twin = twins[0] if twins else None
    own = measured(context, row, name=THIS)
    other = measured(context, twin, name=TWIN) if twin is not None else None
    if other is not None and not alike(own, other):  # linked before a data set could be told from its earlier images
        twin = other = None
    recount, stands = own.bundle.recount(), robustness.kept(own.bundle)
    return {
        **_called(row),
        "config": RunConfig.model_validate(row.config),
        "summary": row.summary,
        "metrics": own.bundle.metrics(),
        "layers": layers_of(own.bundle, mode=request.mode, profile=request.profile),
        "confusion": confusion_of(own.bundle),
        "examples": _telling_examples(own, other, limit=EXAMPLES_SHOWN if request.with_images else 0),
        "gradients": own.bundle.gradients(),
        "search": own.bundle.search(),
        # why a recount failed may name a path
        "recount": recount_words.shared(recount) if recount is not None and recount.failure is None else None,
        "robustness": None
        if stands is None
        else robustness.priced(stands, MODES[request.mode], profiles()[request.profile]),
        "twin": None
        if twin is None or other is None
        else {**_called(twin), "summary": twin.summary, "paired": _dumped(_paired(own, other))},
    }


def _called(row: RunRow) -> dict[str, Any]:
    """The fields of `core.schemas.named`."""
    return {"label": row.label, "differs": row.differs or "", "own_name": row.name}


def _paired(own: Measured, twin: Measured) -> Paired | None:
    """The spiking network against the CNN, whichever of the two was shared."""
    snn, cnn = (own, twin) if own.kind is Kind.SNN else (twin, own)
    return paired(cnn.bundle.predictions(), snn.bundle.predictions())


def _telling_examples(own: Measured, twin: Measured | None, *, limit: int) -> Examples:
    """Where the twins disagree; else where the run errs; else the first images."""
    for which in ("disagree", "wrong"):
        found = examples_of(own, twin, which=which, limit=limit)
        if found.items:
            return found
    return examples_of(own, twin, which="spread", limit=limit)


def _comparison(context: Context, share: ShareRow, request: ShareRequest) -> dict[str, Any]:
    found = ComparisonService(context).compare(
        request.run_ids, mode=request.mode, profile=request.profile, factors=request.factors
    )
    named = names(run.id for run in found.runs)
    # a twin that exists beside the runs was not shared
    inside = [pair for pair in found.twins if pair.snn_id in named and pair.cnn_id in named]
    shown = renamed(Comparison, found.model_copy(update={"twins": inside}), named)
    return {
        "comparison": shown,
        "images": _changed(context, share, request) if request.with_images else [],
        "ensemble": _ensemble(context, request, found),
    }


def _ensemble(context: Context, request: ShareRequest, found: Comparison) -> ComparedEnsemble | None:
    pair = request.pair or default_pair(found.runs)
    if pair is None:
        return None
    first, second = pair
    try:
        together = ComparisonService(context).ensemble(
            first, second, mode=request.mode, profile=request.profile, factors=request.factors
        )
    except BadValue:  # on as many images, and not the same ones
        return None
    return renamed(ComparedEnsemble, together, names(run.id for run in found.runs))


def _changed(context: Context, share: ShareRow, request: ShareRequest) -> list[ChangedImages]:
    rows = _rows(context, share, request)
    first, *others = [measured(context, row, name=f"run-{place}") for place, row in enumerate(rows, 1)]

    def lost(one: Measured, other: Measured) -> list[Example]:
        return examples_of(one, other, which="first", limit=CHANGED_SHOWN, lost_only=True).items

    return [
        ChangedImages(run_id=other.name, gained=lost(first, other), lost=lost(other, first))
        for other in others
        if alike(first, other)
    ]


def _sweep(context: Context, share: ShareRow, request: ShareRequest) -> dict[str, Any]:
    assert request.sweep_id is not None, "the share is of a sweep"
    found = SweepService(context).show(request.sweep_id, mode=request.mode, profile=request.profile)
    named = names(run_id for group in found.groups for run_id in group.run_ids)
    groups = [renamed(SweepGroup, group, named) for group in found.groups]
    shown = found.model_dump(mode="json", include={"mode", "profile", "n_runs", "states"})
    return {"title": found.name, "groups": groups, **shown}


def _view(context: Context, share: ShareRow, request: ShareRequest) -> dict[str, Any]:
    view = request.view
    assert view is not None, "the share is of a view"
    plot = pareto(
        context,
        dataset=view.dataset,
        mode=request.mode,
        profile=request.profile,
        steps=view.steps,
        factors=request.factors,
        at_most_pj=view.at_most_pj,
    ).points()
    if view.narrowed:  # here, since a link has no tags to look at
        points = [point for point in plot.points if view.lets(point)]
        kept = {point.run_id for point in points}
        front = [run_id for run_id in plot.front if run_id in kept]
        plot = plot.model_copy(update={"points": points, "front": front})
    return {
        "view": view.model_copy(update={"tag": None}),
        "plot": renamed_plot(plot, with_sweeps="sweep" in (view.colour, view.shape)),
        "faults": faults(paper_audit_of(view.dataset).findings, view.dataset) if plot.published else {},
    }


def _rows(context: Context, share: ShareRow, request: ShareRequest) -> list[RunRow]:
    """The shared runs in the order of their names; raises NotFound or NotReady for a run or a sweep that is gone."""
    with context.database.read() as session:
        runs = RunRepository(session)
        if request.sweep_id is not None:
            sweeps = SweepRepository(session)
            sweeps.require(request.sweep_id)
            return [row for row in sweeps.runs(request.sweep_id) if row.state == RunState.SUCCEEDED]
        found = [runs.require_succeeded(run_id, what="results to share") for run_id in request.run_ids]
        twin = runs.get(share.twin_run_id) if share.twin_run_id is not None else None
        return [*found, twin] if twin is not None else found


def _dumped(value: Any) -> Any:
    if isinstance(value, Frozen):
        return value.model_dump(mode="json")
    return [_dumped(part) for part in value] if isinstance(value, list) else value
