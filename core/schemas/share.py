"""Links that show results to whoever holds them: what can be asked for, and what each kind of link shows."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any, Literal

from pydantic import Field, StringConstraints, TypeAdapter, field_validator, model_validator
from pydantic_core import PydanticKnownError

from core.energy.modes import DEFAULT_MODE
from core.energy.profiles import DEFAULT_PROFILE
from core.schemas.base import Frozen, Switch, Whole
from core.schemas.bill import Layers
from core.schemas.compare import Comparison
from core.schemas.diagnostics import Confusion
from core.schemas.images import Example, Examples
from core.schemas.pareto import Pareto, ParetoPoint
from core.schemas.prices import AS_PUBLISHED, Factors
from core.schemas.results import Gradients, Metrics, Summary
from core.schemas.run import RunConfig, RunState
from core.schemas.sweep import SweepGroup

Id = Annotated[str, StringConstraints(min_length=1, max_length=64)]
ShareType = Literal["run", "comparison", "sweep", "view"]
#: What a share of an Explore view can lay along its axes.
XAxis = Literal["energy", "params", "synops", "steps", "model_bytes"]
YAxis = Literal["accuracy", "f1_macro"]


class ShareView(Frozen):
    """An Explore view: all succeeded runs on a data set, in these axes."""

    dataset: str
    x: XAxis = "energy"
    y: YAxis = "accuracy"
    x_log: Switch = True
    steps: Annotated[Whole, Field(ge=1, le=64)] | None = Field(
        default=None, description="every run stopped after so many time steps"
    )


class ShareTarget(Factors):
    """What a link leads to: exactly one of a run, two to ten runs side by side, a sweep, an Explore view.

    Prices can be moved for runs side by side and for a view.
    """

    run_id: Id | None = None
    runs: list[Id] | None = Field(default=None, min_length=2, max_length=10)
    sweep_id: Id | None = None
    view: ShareView | None = None
    mode: str = DEFAULT_MODE
    profile: str = DEFAULT_PROFILE

    @field_validator("ac", "mac", "memory", mode="before")
    @classmethod
    def _numbers(cls, value: Any) -> Any:
        """In an address they are text; in the body of a request they are numbers."""
        if isinstance(value, bool | str):
            raise PydanticKnownError("float_type")
        return value

    @model_validator(mode="after")
    def _one_target(self) -> ShareTarget:
        if sum(part is not None for part in (self.run_id, self.runs, self.sweep_id, self.view)) != 1:
            raise ValueError("exactly one of run_id, runs, sweep_id and view must be given")
        if self.factors != AS_PUBLISHED and self.type not in ("comparison", "view"):
            raise ValueError(f"ac, mac and memory must be 1 in a link to a {self.type}: its prices cannot be moved")
        return self

    @property
    def type(self) -> ShareType:
        if self.run_id is not None:
            return "run"
        if self.runs is not None:
            return "comparison"
        return "sweep" if self.sweep_id is not None else "view"


class ShareRequest(ShareTarget):
    """Body of `POST /shares`.

    A live link shows what there is when it is opened. The content of a frozen one is stored when it is made: it
    outlives its runs, and downloads as one file. A double-blind link shows nothing of who made it, when, and where.
    """

    expires_in_days: Annotated[Whole, Field(ge=1, le=3650)] | None = Field(
        default=30, description="null: until revoked"
    )
    with_twin: Switch = Field(default=True, description="of a run: show the twin's answers and figures too")
    with_images: Switch = Field(default=True, description="of a run or a comparison: show test images")
    with_weights: Switch = Field(
        default=False, description="of all but a view: let the networks' weights be downloaded"
    )
    frozen: Switch = False
    blind: Switch = False


class Share(Frozen):
    """A share without its secret: only the token's hash is stored."""

    id: str
    type: ShareType = "run"
    run_id: str | None = Field(description="of a link to one run")
    target: ShareTarget
    label: str
    with_twin: bool
    with_images: bool = True
    with_weights: bool = False
    frozen: bool = False
    blind: bool = False
    bytes: int = Field(default=0, description="stored for a frozen link")
    created_at: datetime
    expires_at: datetime | None
    revoked_at: datetime | None
    views: int
    last_viewed_at: datetime | None


class NewShare(Share):
    """The one answer that carries the token and the address."""

    token: str
    url: str


class SharePage(Frozen):
    items: list[Share]


class SharedFile(Frozen):
    """A file that a link gives: at `/s/{token}?file=name`."""

    name: str
    bytes: int
    sha256: str


class Shared(Frozen):
    """What every link says of itself. A double-blind one has no times and no version."""

    blind: bool = False
    frozen: bool = False
    shared_at: datetime | None
    expires_at: datetime | None
    version: str | None
    files: list[SharedFile] = Field(default_factory=list)


class SharedSummary(Summary):
    """A summary; what tells of the machine is null in a double-blind share."""

    device: str | None
    train_wall_s: float | None
    train_images_per_s: float | None
    evaluate_wall_s: float | None


class SharedTwin(Frozen):
    label: str
    summary: SharedSummary


class SharedRun(Shared):
    """One run; no id, host, path or user. `metrics.wall_s` is empty in a double-blind share."""

    type: Literal["run"] = "run"
    label: str
    config: RunConfig
    summary: SharedSummary
    metrics: Metrics
    layers: Layers
    confusion: Confusion
    examples: Examples
    gradients: Gradients
    twin: SharedTwin | None = None


class ChangedImages(Frozen):
    """Kept test images that the first run of a comparison and this one answer differently: who is right."""

    run_id: str
    gained: list[Example] = Field(description="this one is right")
    lost: list[Example] = Field(description="the first one is right")


class SharedComparison(Shared):
    """Runs side by side, named run-1, run-2, ..."""

    type: Literal["comparison"] = "comparison"
    comparison: Comparison
    images: list[ChangedImages]


class SharedSweep(Shared):
    """A sweep's groups, its runs named run-1, run-2, ..."""

    type: Literal["sweep"] = "sweep"
    title: str | None = Field(description="its name; null in a double-blind share")
    mode: str
    profile: str
    n_runs: int
    states: dict[RunState, int]
    groups: list[SweepGroup]


class SharedPoint(ParetoPoint):
    finished_at: datetime | None


class SharedPareto(Pareto):
    points: list[SharedPoint]


class SharedView(Shared):
    """An Explore view, its runs named run-1, run-2, ...; without tags and sweeps."""

    type: Literal["view"] = "view"
    view: ShareView
    plot: SharedPareto


AnyShared = Annotated[SharedRun | SharedComparison | SharedSweep | SharedView, Field(discriminator="type")]
SHARED: TypeAdapter[AnyShared] = TypeAdapter(AnyShared)
