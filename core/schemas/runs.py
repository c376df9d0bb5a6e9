"""Runs as the API shows and changes them. Times are ISO 8601 in UTC."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Literal

from pydantic import Field, StringConstraints

from core.schemas.base import Frozen
from core.schemas.named import OwnName, described
from core.schemas.problem import Problem
from core.schemas.request import Priority, Project
from core.schemas.results import RunError, RunProgress, Summary
from core.schemas.run import Kind, RunConfig, RunState
from core.schemas.workers import Device

MOST_TAGS = 20  # of one run
MOST_IDS = 200  # of one request about many runs
LONGEST_PAGE = 200  # entries of one page of a list

Tag = Annotated[
    str, StringConstraints(strip_whitespace=True, min_length=1, max_length=40, pattern=r"^[^\x00-\x1f\x7f]+$")
]


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
    differs: str = Field(default="", description="what is not as its recipe has it: epochs 2, 300 images")
    name: str | None = Field(default=None, description="the name that somebody gave it")
    archived: bool = Field(default=False, description="left out of lists and plots unless asked for")
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
    priority: int = Field(default=0, description="-10 to 10; the higher, the sooner")
    submitter: str | None = Field(default=None, description="whose it is; null while nobody has a name here")
    project: str | None = Field(default=None, description="the project that it belongs to")
    device: Device | None = Field(default=None, description="trained on this alone; null: where a worker is free")
    waits: str | None = Field(default=None, description="why no worker can do it, in a sentence; of one run alone")

    @property
    def described(self) -> str:
        """The network, and what sets the run apart from its recipe."""
        return described(self.label, self.differs)

    @property
    def title(self) -> str:
        """What people read: a name of its own, else the description."""
        return self.name or self.described


class RunPage(Frozen):
    items: list[Run]
    next_cursor: str | None = None
    total: int


class RunChange(Frozen):
    """Body of `PATCH /runs/{id}`: what is left out stays as it is."""

    tags: list[Tag] = Field(default_factory=list, max_length=MOST_TAGS)
    note: str = Field(default="", max_length=4000, pattern=r"^[^\x00]*$")  # a sign that PostgreSQL's texts cannot hold
    name: OwnName | None = Field(default=None, description="shown in place of the label; empty or null: none")
    archived: bool = False
    priority: Priority = 0
    project: Project | None = Field(default=None, description="null: it belongs to none")


class BulkRequest(Frozen):
    """Body of `POST /runs/bulk`: one action on many runs, each by itself."""

    action: Literal["cancel", "retry", "delete", "restore", "purge", "tag", "archive", "unarchive"]
    ids: list[Annotated[str, StringConstraints(max_length=64)]] = Field(min_length=1, max_length=MOST_IDS)
    tag: Tag | None = Field(default=None, description="for `tag`: the word to add")


class OptionInfo(Frozen):
    """One field of `config.architecture` that a definition lets one choose."""

    field: str = Field(description="dotted, as overrides name it: architecture.stem_width")
    default: int | float | str = Field(description="what the definition has; null in a config stands for it")
    values: tuple[int | float | str, ...] = Field(description="worth trying, the default first")
    closed: bool = Field(description="no other value is allowed")


class TakenUp(Frozen):
    """Runs that are listed again."""

    ids: list[str]


class BulkAnswer(Frozen):
    """What became of one id; `run_id` is the new run of a retry, else the run itself."""

    id: str
    ok: bool
    run_id: str | None = None
    problem: Problem | None = None


class BulkAnswers(Frozen):
    items: list[BulkAnswer]
