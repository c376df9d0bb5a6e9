"""A trainer's order, as its supervisor writes it and the trainer reads it, and how a trainer ends."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from pydantic import Field

from core.schemas.base import Frozen

EXIT_ORPHANED = 3  # the supervisor died: nothing more was saved
EXIT_INTERRUPTED = 75  # EX_TEMPFAIL of sysexits.h: stopped on request, a checkpoint is kept


class TrainRequest(Frozen):
    """The one line that a supervisor sends to `spikefront trainer`."""

    config: dict[str, Any] = Field(description="a RunConfig as it is stored; it is parsed where it trains")
    out: Path
    data: Path
    threads: int | None = Field(default=1, ge=1)
    device: str = "auto"
    teacher: Path | None = Field(
        default=None, description="the bundle that the config names as its teacher, or one that may be its twin"
    )
    attempt: int | None = Field(default=None, description="of the supervisor's claim; a later one ends this trainer")
    request_id: str | None = Field(default=None, description="of the request that made the run, for log lines")
    start: Path | None = Field(default=None, description="the bundle that the config starts from")
