"""What a link shows, made from the runs as they are now. No id of a run is in it: runs are named by their place."""

from __future__ import annotations

import hashlib
import json
import re
import struct
from collections.abc import Iterator
from typing import Any, TypeVar

from backend.catalog.service import program_version
from backend.comparisons.service import ComparisonService
from backend.context import Context
from backend.pareto.service import pareto
from backend.results.images import alike
from backend.results.service import Measured, confusion_of, examples_of, layers_of, measured
from backend.runs.as_run import row_label
from backend.runs.repository import RunRepository
from backend.store.models import RunRow, ShareRow
from backend.sweeps.repository import SweepRepository
from backend.sweeps.service import SweepService
from core.errors import NotFound
from core.schemas.base import Frozen
from core.schemas.compare import Comparison
from core.schemas.images import Examples
from core.schemas.run import RunConfig, RunState
from core.schemas.share import SHARED, AnyShared, ChangedImages, SharedFile, ShareRequest, ShareView
from core.schemas.sweep import SweepGroup

EXAMPLES_SHOWN = 24
CHANGED_SHOWN = 6  # of each side of a comparison
THIS, TWIN = "this", "twin"  # stand where an id would
RUN_ID = re.compile(r'"[0-9a-f]{16}"')

#: What a double-blind share leaves out, wherever it stands, and what stands in its place.
IDENTIFYING: dict[str, Any] = {
    "device": None, "train_wall_s": None, "train_images_per_s": None, "evaluate_wall_s": None, "wall_s": [],
    "shared_at": None, "expires_at": None, "finished_at": None, "version": None, "title": None, "data_digest": None,
}  # fmt: skip

Model = TypeVar("Model", bound=Frozen)


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
        **make(context, share, request),
    }
    plain = {name: _dumped(value) for name, value in content.items()}
    return SHARED.validate_python(without_identity(plain) if request.blind else plain)


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


def without_identity(value: Any) -> Any:
    """JSON with everything in IDENTIFYING blanked, at any depth."""
    if isinstance(value, dict):
        return {
            name: IDENTIFYING[name] if name in IDENTIFYING else without_identity(part) for name, part in value.items()
        }
    return [without_identity(part) for part in value] if isinstance(value, list) else value


def without_metadata(safetensors: bytes) -> bytes:
    """The same tensors without the free text that the header of a safetensors file may hold."""
    (length,) = struct.unpack_from("<Q", safetensors)
    header = json.loads(safetensors[8 : 8 + length])
    if "__metadata__" not in header:
        return safetensors
    del header["__metadata__"]
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)  # the format wants its tensors aligned
    return struct.pack("<Q", len(text)) + text + safetensors[8 + length :]


def _run(context: Context, share: ShareRow, request: ShareRequest) -> dict[str, Any]:
    row, *twins = _rows(context, share, request)
    twin = twins[0] if twins else None
    own = measured(context, row, name=THIS)
    other = measured(context, twin, name=TWIN) if twin is not None else None
    if other is not None and not alike(own, other):  # from before a data set could be told from its earlier images
        twin = other = None
    return {
        "label": row_label(row),
        "config": RunConfig.model_validate(row.config),
        "summary": row.summary,
        "metrics": own.bundle.metrics(),
        "layers": layers_of(own.bundle, mode=request.mode, profile=request.profile),
        "confusion": confusion_of(own.bundle),
        "examples": _telling_examples(own, other, limit=EXAMPLES_SHOWN if request.with_images else 0),
        "gradients": own.bundle.gradients(),
        "twin": {"label": row_label(twin), "summary": twin.summary} if twin is not None else None,
    }


def _telling_examples(own: Measured, twin: Measured | None, *, limit: int) -> Examples:
    """Where the twins disagree; else where the run errs; else the first images."""
    for which in ("disagree", "wrong"):
        found = examples_of(own, twin, which=which, limit=limit)
        if found.items:
            return found
    return examples_of(own, twin, which="first", limit=limit)


def _comparison(context: Context, share: ShareRow, request: ShareRequest) -> dict[str, Any]:
    found = ComparisonService(context).compare(
        list(request.runs), mode=request.mode, profile=request.profile, factors=request.factors
    )
    names = _names([run.id for run in found.runs])
    # a twin that exists beside the runs was not shared
    inside = [pair for pair in found.twins if pair.snn_id in names and pair.cnn_id in names]
    found = _renamed(Comparison, found.model_copy(update={"twins": inside}), names)
    return {"comparison": found, "images": _changed(context, share, request) if request.with_images else []}


def _changed(context: Context, share: ShareRow, request: ShareRequest) -> list[ChangedImages]:
    rows = _rows(context, share, request)
    first, *others = [measured(context, row, name=f"run-{place}") for place, row in enumerate(rows, 1)]
    options = {"which": "first", "limit": CHANGED_SHOWN, "lost_only": True}
    return [
        ChangedImages(
            run_id=other.name,
            gained=examples_of(first, other, **options).items,
            lost=examples_of(other, first, **options).items,
        )
        for row, other in zip(rows[1:], others, strict=True)
        if (row.dataset, row.data_digest) == (rows[0].dataset, rows[0].data_digest) and alike(first, other)
    ]


def _sweep(context: Context, share: ShareRow, request: ShareRequest) -> dict[str, Any]:
    found = SweepService(context).show(request.sweep_id, mode=request.mode, profile=request.profile)
    names = _names([run_id for group in found.groups for run_id in group.run_ids])
    groups = [_renamed(SweepGroup, group, names) for group in found.groups]
    shown = found.model_dump(mode="json", include={"mode", "profile", "n_runs", "states"})
    return {"title": found.name, "groups": groups, **shown}


def _view(context: Context, share: ShareRow, request: ShareRequest) -> dict[str, Any]:
    view: ShareView = request.view
    plot = pareto(
        context,
        dataset=view.dataset,
        mode=request.mode,
        profile=request.profile,
        steps=view.steps,
        factors=request.factors,
    ).points()
    points = [point.model_copy(update={"tags": [], "sweep_ids": []}) for point in plot.points]
    names = _names([point.run_id for point in points])
    alike = dict.fromkeys(value for point in points for value in (point.repeat, point.twin))
    names |= {value: f"alike-{place}" for place, value in enumerate(alike, 1)}
    return {"view": view, "plot": _renamed(type(plot), plot.model_copy(update={"points": points}), names)}


def _rows(context: Context, share: ShareRow, request: ShareRequest) -> list[RunRow]:
    """The shared runs in the order of their names; raises NotFound or NotReady for a run or a sweep that is gone."""
    with context.database.read() as session:
        runs = RunRepository(session)
        if request.sweep_id is not None:
            sweeps = SweepRepository(session)
            sweeps.require(request.sweep_id)
            return [row for row in sweeps.runs(request.sweep_id) if row.state == RunState.SUCCEEDED]
        found = [runs.require_succeeded(run_id, what="results to share") for run_id in request.runs or [request.run_id]]
        twin = runs.get(share.twin_run_id) if share.twin_run_id is not None else None
        return [*found, twin] if twin is not None else found


def _names(run_ids: list[str]) -> dict[str, str]:
    return {run_id: f"run-{place}" for place, run_id in enumerate(run_ids, 1)}


def _renamed(model: type[Model], content: Model, names: dict[str, str]) -> Model:
    """`content` with every run id, wherever it stands, replaced by the run's name. Raises NotFound for an id
    without a name: it belongs to a run that was not shared."""

    def name(found: re.Match[str]) -> str:
        run_id = found[0].strip('"')
        if run_id not in names:
            raise NotFound(kind="shared run", id=run_id)
        return f'"{names[run_id]}"'

    return model.model_validate_json(RUN_ID.sub(name, content.model_dump_json()))


def _dumped(value: Any) -> Any:
    if isinstance(value, Frozen):
        return value.model_dump(mode="json")
    return [_dumped(part) for part in value] if isinstance(value, list) else value
