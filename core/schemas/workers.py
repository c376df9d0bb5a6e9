"""Workers, what waits for them, and whether the services are well."""

from __future__ import annotations

from datetime import datetime

from pydantic import Field

from core.schemas.base import Frozen
from core.schemas.run import RunState


class RunBrief(Frozen):
    """A run as a worker holds it."""

    id: str
    label: str
    state: RunState
    started_at: datetime | None


class WorkerInfo(Frozen):
    """A worker that gave a sign of life lately."""

    name: str
    queue: str
    slots: int
    busy: int
    seen_at: datetime
    runs: list[RunBrief]
    paused: str | None = Field(default=None, description="why it starts no run, in a sentence")


class Workers(Frozen):
    items: list[WorkerInfo]


class QueuedRun(Frozen):
    """A run that waits; times are estimates from the forecast."""

    position: int = Field(description="from 1: the next one to start")
    id: str
    label: str
    created_at: datetime
    waiting_s: float
    run_s: float = Field(description="how long it will train")
    starts_in_s: float | None = Field(description="null while no worker takes runs")


class WaitingRuns(Frozen):
    """`GET /queue`: oldest first, which is the order in which workers take them."""

    queue: str
    slots: int = Field(description="of all workers of this queue that answered lately")
    total: int
    ends_in_s: float | None = Field(description="until all that waits has run; null while no worker takes runs")
    items: list[QueuedRun]
    paused: str | None = Field(default=None, description="why nothing starts, in a sentence; null while runs start")


class ReadyCheck(Frozen):
    """`GET /health/ready`: each part with `ok` or a sentence."""

    ok: bool
    database: str
    broker: str
    workers: list[str] = Field(description="workers that answered lately")
    training: str = Field(default="ok", description="`ok`, or why no run starts; `ok` above does not depend on it")
