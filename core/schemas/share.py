"""Links that show results to whoever holds them: what can be asked for, and what each kind of link shows."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any, Literal

from pydantic import Field, StringConstraints, TypeAdapter, field_validator, model_validator
from pydantic_core import PydanticKnownError

from core.schemas.base import Frozen, Switch, Whole
from core.schemas.bill import Layers
from core.schemas.compare import FEWEST, MOST, Comparison, Paired
from core.schemas.diagnostics import Confusion
from core.schemas.ensemble import ComparedEnsemble
from core.schemas.images import Example, Examples
from core.schemas.named import Named
from core.schemas.pareto import Pareto, ParetoPoint, View
from core.schemas.prices import AS_PUBLISHED, DEFAULT_MODE, DEFAULT_PROFILE, Factors, Profile
from core.schemas.recount import SharedRecount
from core.schemas.results import Gradients, Metrics, Summary
from core.schemas.robustness import PricedRobustness
from core.schemas.run import RunConfig, RunState
from core.schemas.search import SearchFound
from core.schemas.stages import MOST_STEPS
from core.schemas.sweep import SweepGroup

Id = Annotated[str, StringConstraints(min_length=1, max_length=64)]
ShareType = Literal["run", "comparison", "sweep", "view"]


class ShareView(View):
    """An Explore view: all succeeded runs on a data set, drawn as its maker saw them."""

    dataset: str
    steps: Annotated[Whole, Field(ge=1, le=MOST_STEPS)] | None = Field(
        default=None, description="every run stopped after so many time steps"
    )
    at_most_pj: Annotated[float, Field(gt=0, allow_inf_nan=False)] | None = Field(
        default=None, description="every run stopped where it is most accurate at no more energy than this"
    )


class ShareTarget(Factors):
    """What a link leads to: exactly one of a run, two to ten runs side by side, a sweep, an Explore view.

    Prices can be moved for runs side by side and for a view.
    """

    run_id: Id | None = None
    runs: list[Id] | None = Field(default=None, min_length=FEWEST, max_length=MOST)
    pair: list[Id] | None = Field(
        default=None,
        min_length=2,
        max_length=2,
        description="of runs side by side, the two that answer together: which first, and which is asked. Left out: a "
        "spiking network, then a CNN",
    )
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
        if self.pair is not None and (len(set(self.pair)) < 2 or not set(self.pair) <= set(self.runs or ())):
            raise ValueError("pair must name two different runs out of those in runs")
        if self.factors != AS_PUBLISHED and self.type not in ("comparison", "view"):
            raise ValueError(f"ac, mac and memory must be 1 in a link to a {self.type}: its prices cannot be moved")
        return self

    @property
    def run_ids(self) -> list[str]:
        """The runs that are named: one, several, or none where the link leads to a sweep or a view."""
        return self.runs or ([] if self.run_id is None else [self.run_id])

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
    made_by: str | None = Field(default=None, description="the account; null while nobody has a name here")


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
    prices: Profile | None = Field(
        default=None,
        description="the hardware profile that the energies rest on, as it was then; null in links frozen without it",
    )
    files: list[SharedFile] = Field(default_factory=list)


class SharedSummary(Summary):
    """A summary; what tells of the machine is null in a double-blind share."""

    device: str | None  # type: ignore[assignment]  # wider than in the base: it may be withheld
    train_wall_s: float | None  # type: ignore[assignment]  # wider than in the base: it may be withheld
    train_images_per_s: float | None  # type: ignore[assignment]  # wider than in the base: it may be withheld
    evaluate_wall_s: float | None  # type: ignore[assignment]  # wider than in the base: it may be withheld


class SharedTwin(Named):
    summary: SharedSummary
    paired: Paired | None = Field(
        default=None,
        description="the spiking network against the CNN on the same test images; null where these differ, and in "
        "links frozen without it",
    )


class SharedRun(Shared, Named):
    """One run; no id, host, path or user. `metrics.wall_s` is empty in a double-blind share."""

    type: Literal["run"] = "run"
    config: RunConfig
    summary: SharedSummary
    metrics: Metrics
    layers: Layers
    confusion: Confusion
    examples: Examples
    gradients: Gradients
    twin: SharedTwin | None = None
    recount: SharedRecount | None = Field(default=None, description="the run counted again; null where it was not")
    robustness: PricedRobustness | None = Field(
        default=None, description="accuracy and energy under disturbances; null where they were not measured"
    )
    search: SearchFound | None = Field(default=None, description="of a run that searched: its course and what it found")


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
    ensemble: ComparedEnsemble | None = Field(
        default=None,
        description="two of the runs answering together; null where no two were tested on the same images, and in links "
        "frozen without it",
    )


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
    finished_at: datetime | None  # type: ignore[assignment]  # wider than in the base: it may be withheld


class SharedPareto(Pareto):
    points: list[SharedPoint]  # type: ignore[assignment]  # never appended to, so the narrower list does no harm


class SharedView(Shared):
    """An Explore view, its runs named run-1, run-2, ...; without tags, and sweeps, if they are told apart, by number."""

    type: Literal["view"] = "view"
    view: ShareView
    plot: SharedPareto
    faults: dict[str, str] = Field(
        default_factory=dict, description="printed table and model -> what the audit contradicts of it"
    )


AnyShared = Annotated[SharedRun | SharedComparison | SharedSweep | SharedView, Field(discriminator="type")]
SHARED: TypeAdapter[AnyShared] = TypeAdapter(AnyShared)
