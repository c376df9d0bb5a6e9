"""New runs: the row, the config of a fork, and the bell for the workers."""

from __future__ import annotations

import logging
import secrets
from collections.abc import Container, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from backend.context import Context
from backend.store.db import alone
from backend.store.fleet import Fleet
from backend.store.identity import hashes
from backend.store.lifecycle import WAITING, add_state_event, plain
from backend.store.models import RunRow
from backend.store.turns import PERSON
from core.backbones.naming import config_label
from core.datasets.identity import WHOLE, present_digest
from core.datasets.load import status
from core.errors import DatasetMissing, QueueDown, QueueFull
from core.forecast import training_memory_bytes
from core.recipes.build import build_config, options_of, override, plan_of
from core.recipes.differences import differs
from core.schemas.base import digest
from core.schemas.request import ForkRequest, RunRequest
from core.schemas.run import RunConfig, RunState

log = logging.getLogger("spikefront.runs")


def require_dataset(name: str, data: Path, fleet: Fleet) -> None:
    """A run that could only wait for ever is refused at once: its data set is neither here nor at a worker that lives.

    Raises DatasetMissing.
    """
    if name not in fleet.holders:
        require_here(name, data)


def require_here(name: str, data: Path) -> None:
    """Raises DatasetMissing where this machine lacks the data set."""
    found = status(name, data)
    if not found.ready:
        raise DatasetMissing(name=name, folder=str(data / name), how=found.note or "Add it first.")


def images_for(dataset: str, data: Path, fleet: Fleet) -> str:
    """The digest of the images that a run made now is on; of a set that is not here, as a worker that has it says."""
    return present_digest(dataset, data) or fleet.images.get(dataset, WHOLE)


@dataclass(frozen=True, kw_only=True)
class Wish:
    """How a run is queued, which changes nothing of its results. `submitter`: null while nobody has a name here."""

    priority: int = 0
    device: str | None = None
    project: str | None = None
    submitter: str | None = None

    @staticmethod
    def of(request: RunRequest | ForkRequest, *, submitter: str | None = None) -> Wish:
        return Wish(priority=request.priority, device=request.device, project=request.project, submitter=submitter)


def queued_row(config: RunConfig, wish: Wish, *, now: datetime, data: str = WHOLE, place: int = 0) -> RunRow:
    """A run that waits, with what a claim asks of it. `place`: its position among those made with it."""
    row, plan = new_row(config, now=now, data=data), plan_of(config)
    row.priority, row.submitter, row.wants_device, row.place = wish.priority, wish.submitter, wish.device, place
    row.project = wish.project
    row.memory_cpu = training_memory_bytes(plan, config)
    row.memory_gpu = training_memory_bytes(plan, config, fused=False)
    return row


def new_row(config: RunConfig, *, now: datetime, data: str = WHOLE) -> RunRow:
    """A queued run. `data`: the digest of the images that it will be on, as far as is known now."""
    return RunRow(
        id=secrets.token_hex(8),
        config=config.model_dump(mode="json"),
        **hashes(config, data),
        backbone=config.backbone,
        kind=config.kind,
        mask=config.mask,
        dataset=config.dataset,
        recipe=config.recipe,
        seed=config.seed,
        time_steps=config.steps,
        state=RunState.QUEUED,
        created_at=now,
        progress=plain(WAITING),
        label=config_label(config),
        differs=differs(config),
    )


def queued_rows(
    configs: Mapping[str, RunConfig],
    images: Mapping[str, str],
    wish: Wish,
    *,
    now: datetime,
    first: int = 0,
    known: Container[str] = (),
) -> dict[str, RunRow]:
    """Config hash -> a run that waits, for those that are not `known`. Their places count from `first`, and they are a microsecond
    apart, so that lists keep the order of a sweep."""
    return {
        config_hash: queued_row(
            config, wish, now=now + timedelta(microseconds=place), data=images[config_hash], place=place
        )
        for place, (config_hash, config) in enumerate(configs.items(), start=first)
        if config_hash not in known
    }


def enqueue(session: Session, rows: Iterable[RunRow], *, now: datetime) -> None:
    """Let them wait, each with the event that says so."""
    rows = list(rows)
    session.add_all(rows)
    session.flush()
    for row in rows:
        add_state_event(session, row.id, RunState.QUEUED, now=now)


def require_place(session: Session, submitter: str | None, *, wanted: int, limit: int) -> None:
    """That many more runs of this person may wait; to be asked in the transaction that makes them. Raises QueueFull."""
    if wanted == 0:
        return
    person = submitter or ""
    alone(session, [digest({"queue": person})])  # two requests at once would both find room for the last one
    theirs = select(func.count()).select_from(RunRow).where(
        RunRow.state == RunState.QUEUED, RunRow.deleted_at.is_(None), PERSON == person
    )  # fmt: skip
    waiting = session.scalar(theirs) or 0
    if waiting + wanted > limit:
        raise QueueFull(limit=limit, waiting=waiting, wanted=wanted)


def forked(config: RunConfig, request: ForkRequest) -> RunConfig:
    """`config` with changes. A recipe replaces all that a recipe decides; overrides come last.

    Raises UnknownName, ImpossibleMask, or BadValue with the field at fault.
    """
    kind, seed = request.kind or config.kind, config.seed if request.seed is None else request.seed
    if request.recipe is not None:
        kept = {name: getattr(config, name) for name in ("backbone", "definition", "dataset")}
        changes: dict[str, Any] = {"kind": kind, "seed": seed, "mask": list(config.mask), "recipe": request.recipe}
        config = build_config(RunRequest(**kept, **changes, overrides=options_of(config)))
    changed = override(config.model_copy(update={"kind": kind, "seed": seed}), request.overrides, mask=request.mask)
    plan_of(changed)  # a network that cannot be built is refused here, not in the queue
    return changed


def send(context: Context, n_runs: int) -> None:
    """Ring for new runs, after the commit. With the broker away workers see them a few seconds later by themselves."""
    try:
        for queue, slots in context.lifecycle.queues().items():
            context.queue.ring(queue, times=min(n_runs, slots))
    except QueueDown:  # it is not tried again: each try may wait for a second
        log.warning("queue.not_rung", extra={"runs": n_runs, "reason": "queue-down"})
