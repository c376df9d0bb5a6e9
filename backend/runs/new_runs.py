"""New runs: the row, the config of a fork, the message to the workers, and the names of older rows."""

from __future__ import annotations

import logging
import secrets
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path

from sqlalchemy import select, update

from backend.context import Context
from backend.runs.as_run import label
from backend.runs.identity import hashes
from backend.store.lifecycle import WAITING, plain
from backend.store.models import RunRow
from core.backbones.catalog import parse_mask
from core.datasets.identity import WHOLE
from core.datasets.load import status
from core.errors import DatasetMissing, QueueDown
from core.recipes.build import build_config, override, plan_of
from core.schemas.request import ForkRequest, RunRequest
from core.schemas.run import RunConfig, RunState

log = logging.getLogger("spikefront.runs")


def require_dataset(name: str, data: Path) -> None:
    """A run that could only fail is refused at once. Raises DatasetMissing."""
    found = status(name, data)
    if not found.ready:
        raise DatasetMissing(name=name, folder=str(data / name), how=found.note or "Add it first.")


def new_row(config: RunConfig, *, now: datetime, data: str = WHOLE) -> RunRow:
    """A queued run. `data`: the digest of the images that it will be on, as far as is known now."""
    return RunRow(
        id=secrets.token_hex(8),
        config=config.model_dump(mode="json"),
        **hashes(config, data),
        backbone=config.backbone,
        kind=config.kind,
        mask=",".join(config.mask),
        dataset=config.dataset,
        recipe=config.recipe,
        seed=config.seed,
        time_steps=config.steps,
        state=RunState.QUEUED,
        created_at=now,
        progress=plain(WAITING),
        label=label(kind=config.kind, backbone=config.backbone, mask=config.mask),
    )


def forked(config: RunConfig, request: ForkRequest) -> RunConfig:
    """`config` with changes. A recipe replaces all that a recipe decides; overrides come last.

    Raises UnknownName, ImpossibleMask, or BadValue with the field at fault.
    """
    kind, seed = request.kind or config.kind, config.seed if request.seed is None else request.seed
    mask = config.mask if request.mask is None else parse_mask(config.backbone, request.mask)
    if request.recipe is not None:
        kept = {name: getattr(config, name) for name in ("backbone", "definition", "dataset")}
        changes = {"kind": kind, "seed": seed, "mask": list(mask), "recipe": request.recipe}
        return build_config(RunRequest(**kept, **changes, overrides=request.overrides))
    changed = override(config.model_copy(update={"kind": kind, "seed": seed, "mask": mask}), request.overrides)
    plan_of(changed)  # a network that cannot be built is refused here, not in the queue
    return changed


def send(context: Context, run_ids: Sequence[str]) -> None:
    """After the commit. With the broker away the runs stay queued, and the reaper sends them later."""
    queue, sent = context.lifecycle.preferred_queue(), []
    try:
        for run_id in run_ids:
            context.queue.send(run_id, queue=queue)
            sent.append(run_id)
    except QueueDown:  # it is not tried for the others: each try may wait for a second
        for run_id in run_ids[len(sent) :]:
            log.warning("run.not_sent", extra={"run_id": run_id, "reason": "queue-down"})
    if sent:
        context.lifecycle.mark_sent(*sent)


def label_older_runs(context: Context) -> None:
    """At start: the searched label of runs from before it was kept, or from before a mask had its present name."""
    with context.database.read() as session:
        columns = (RunRow.kind, RunRow.backbone, RunRow.mask, RunRow.label)
        stored = session.execute(select(*columns).distinct()).all()
    for kind, backbone, mask, old in stored:
        new = label(kind=kind, backbone=backbone, mask=tuple(mask.split(",")))
        if new != old:
            same = (RunRow.kind == kind, RunRow.backbone == backbone, RunRow.mask == mask)
            with context.database.write() as session:
                session.execute(update(RunRow).where(*same).values(label=new))
