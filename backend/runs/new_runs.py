"""New runs: the row, the config of a fork, and the message to the workers."""

from __future__ import annotations

import logging
import secrets
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path

from backend.context import Context
from backend.store.lifecycle import WAITING, plain
from backend.store.models import RunRow
from core.backbones.naming import config_label
from core.datasets.load import status
from core.errors import DatasetMissing, QueueDown
from core.recipes.build import build_config, options_of, override, plan_of
from core.repeats import repeat_key
from core.schemas.request import ForkRequest, RunRequest
from core.schemas.run import RunConfig, RunState

log = logging.getLogger("spikefront.runs")


def require_dataset(name: str, data: Path) -> None:
    """A run that could only fail is refused at once. Raises DatasetMissing."""
    found = status(name, data)
    if not found.ready:
        raise DatasetMissing(name=name, folder=str(data / name), how=found.note or "Add it first.")


def new_row(config: RunConfig, *, now: datetime) -> RunRow:
    return RunRow(
        id=secrets.token_hex(8),
        config=config.model_dump(mode="json"),
        config_hash=config.config_hash,
        twin_hash=config.twin_hash,
        repeat_hash=repeat_key(config, None),
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
        label=config_label(config),
    )


def forked(config: RunConfig, request: ForkRequest) -> RunConfig:
    """`config` with changes. A recipe replaces all that a recipe decides; overrides come last.

    Raises UnknownName, ImpossibleMask, or BadValue with the field at fault.
    """
    kind, seed = request.kind or config.kind, config.seed if request.seed is None else request.seed
    if request.recipe is not None:
        kept = {name: getattr(config, name) for name in ("backbone", "definition", "dataset")}
        changes = {"kind": kind, "seed": seed, "mask": list(config.mask), "recipe": request.recipe}
        config = build_config(RunRequest(**kept, **changes, overrides=options_of(config)))
    changed = override(config.model_copy(update={"kind": kind, "seed": seed}), request.overrides, mask=request.mask)
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
