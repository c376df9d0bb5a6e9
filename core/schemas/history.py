"""What a worker notes of a run while it trains: the loss of steps, what the trainer takes of the machine, its log."""

from __future__ import annotations

from pydantic import Field

from core.schemas.base import Column, Frozen, Real
from core.schemas.results import Part


class StepHistory(Frozen):
    """Moments of training, as columns of equal length; evenly thinned, so that a long run has as many as a short one."""

    part: Column[Part] = Field(default_factory=list)
    epoch: Column[int] = Field(default_factory=list, description="from 1")
    step: Column[int] = Field(default_factory=list, description="steps done in that epoch")
    steps: Column[int] = Field(default_factory=list, description="steps of that epoch")
    loss: Column[Real] = Field(default_factory=list, description="mean over the last steps, at most 20")
    every: int = Field(default=1, ge=1, description="of so many moments that were seen one is kept")


class UsageHistory(Frozen):
    """What the trainer's process and the machine were at, as columns of equal length. None where that is not known."""

    at_s: Column[float] = Field(default_factory=list, description="seconds since 1970, UTC")
    cpu_cores: Column[float | None] = Field(default_factory=list, description="cores that the trainer kept busy")
    machine_busy: Column[float | None] = Field(
        default_factory=list, description="share of all cores, by anybody, in [0, 1]"
    )
    memory_bytes: Column[int | None] = Field(default_factory=list, description="resident memory of the trainer")
    gpu_busy: Column[float | None] = Field(default_factory=list, description="share of the time, by anybody, in [0, 1]")
    gpu_memory_bytes: Column[int | None] = Field(default_factory=list, description="in use on its GPU, by anybody")
    every: int = Field(default=1, ge=1, description="of so many samples one is kept")


class RunHistory(Frozen):
    """Empty columns for a run that no worker trained here, or none of a version that noted it."""

    steps: StepHistory = Field(default_factory=StepHistory)
    usage: UsageHistory = Field(default_factory=UsageHistory)


class RunLog(Frozen):
    """The end of what the trainer wrote to its log; without folders and secrets."""

    lines: list[str] = Field(default_factory=list)
    cut: bool = Field(default=False, description="whether there was more before these lines")
