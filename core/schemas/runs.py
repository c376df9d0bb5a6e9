"""Runs as the API shows and changes them. Times are ISO 8601 in UTC."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any, Literal

from pydantic import Field, StringConstraints

from core.schemas.base import Frozen, Real
from core.schemas.problem import Problem
from core.schemas.results import Part, Summary
from core.schemas.run import Kind, RunConfig, RunState

Tag = Annotated[
    str, StringConstraints(strip_whitespace=True, min_length=1, max_length=40, pattern=r"^[^\x00-\x1f\x7f]+$")
]


class RunProgress(Frozen):
    """The newest progress of a run."""

    phase: Literal["waiting", "starting", "training", "validating", "testing", "done"]
    epoch: int = 0
    max_epochs: int = 0
    step: int = 0
    steps: int = 0
    loss: Real | None = None
    images_per_s: float | None = None
    eta_s: float | None = None
    part: Part = "run"


class RunError(Frozen):
    code: str
    message: str
    fields: dict[str, Any] = Field(default_factory=dict)


class TwinRef(Frozen):
    """The newest run of the other kind with the same config."""

    id: str
    kind: Kind
    state: RunState


class Artifact(Frozen):
    """One file of a bundle. `url` is signed and short-lived, so a browser can follow it without the token."""

    name: str
    bytes: int
    sha256: str
    url: str


class Run(Frozen):
    """One training of one network with one seed, as the API shows it."""

    id: str
    state: RunState
    config: RunConfig
    config_hash: str
    twin_hash: str
    label: str = Field(description="such as SNN-SqueezeNet Ref-1")
    created_at: datetime
    started_at: datetime | None = None
    finished_at: datetime | None = None
    attempt: int = 0
    worker: str | None = None
    progress: RunProgress
    summary: Summary | None = None
    error: RunError | None = None
    twin: TwinRef | None = None
    command: str = Field(description="the shell command that repeats this run")
    artifacts: list[Artifact] = Field(default_factory=list)
    bundle_url: str | None = Field(default=None, description="all of them as one zip; signed like theirs")
    tags: list[str] = Field(default_factory=list)
    note: str = ""
    sweep_ids: list[str] = Field(default_factory=list)
    imported: bool = Field(default=False, description="its bundle was trained elsewhere and uploaded")
    deleted_at: datetime | None = Field(default=None, description="in the bin since then; purged a day later")


class RunPage(Frozen):
    items: list[Run]
    next_cursor: str | None = None
    total: int


class RunChange(Frozen):
    """Body of `PATCH /runs/{id}`: what is left out stays as it is."""

    tags: list[Tag] = Field(default_factory=list, max_length=20)
    note: str = Field(default="", max_length=4000)


class BulkRequest(Frozen):
    """Body of `POST /runs/bulk`: one action on many runs, each by itself."""

    action: Literal["cancel", "retry", "delete", "restore", "tag"]
    ids: list[Annotated[str, StringConstraints(max_length=64)]] = Field(min_length=1, max_length=200)
    tag: Tag | None = Field(default=None, description="for `tag`: the word to add")


class BulkAnswer(Frozen):
    """What became of one id; `run_id` is the new run of a retry, else the run itself."""

    id: str
    ok: bool
    run_id: str | None = None
    problem: Problem | None = None


class BulkAnswers(Frozen):
    items: list[BulkAnswer]
