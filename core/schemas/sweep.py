"""A sweep: the cross product of choices as runs, and what they show together."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Literal

from pydantic import Field, StringConstraints

from core.schemas.base import Frozen, Switch, Whole
from core.schemas.preview import EqualRun, TimeEstimate
from core.schemas.prices import DEFAULT_MODE, DEFAULT_PROFILE
from core.schemas.request import RunRequest
from core.schemas.run import RunConfig, RunState

MAX_COMBINATIONS = 512
ANY_MASK = "any"  # the one value of a study's axis `mask` whose blocks are chosen one by one

AxisValue = str | int | float | bool | list[str] | None
Axis = Annotated[list[AxisValue], Field(min_length=1, max_length=MAX_COMBINATIONS)]
AxisName = Annotated[str, StringConstraints(min_length=1, max_length=100)]


class Study(Frozen):
    """Trials instead of every combination. An axis is then a list of choices, or one text LOW:HIGH or LOW:HIGH:log for all numbers
    between (whole ones where both ends are); `mask: ["any"]` makes each removable block a choice of its own.

    random: all drawn at once. pareto: multi-objective TPE (Optuna) for validation accuracy and energy in `mode` at `profile`, at
    most `at_once` trials waiting or running, each asked for when there is room. A cancelled trial ends a study.
    `asked` and `is_closed` are kept by the server.
    """

    sampler: Literal["random", "pareto"] = "random"
    trials: Whole = Field(ge=1, le=MAX_COMBINATIONS)
    seed: Whole = Field(default=0, ge=0, le=2**31 - 1, description="of the sampler's choices")
    at_once: Whole = Field(default=4, ge=1, le=64)
    mode: str = Field(default=DEFAULT_MODE, max_length=64)
    profile: str = Field(default=DEFAULT_PROFILE, max_length=64)
    asked: tuple[dict[AxisName, AxisValue], ...] = Field(default=(), description="what each trial was given, in order")
    is_closed: bool = Field(default=False, description="no more trials are asked for, though some are left")

    @property
    def is_open(self) -> bool:
        """Whether trials are still to be asked for."""
        return not self.is_closed and len(self.asked) < self.trials


class SweepRequest(Frozen):
    """Body of `POST /sweeps` and `POST /sweeps/preview`: every combination of the axes, on top of `base`, or the trials of a study.

    An axis is a field of RunRequest (`backbone`, `definition`, `kind`, `mask`, `dataset`, `recipe`, `seed`) or the
    name of an override, such as `training.lr`. The last axis varies fastest.
    """

    name: Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=100, pattern=r"^[^\x00]*$")]
    base: RunRequest = RunRequest()
    axes: dict[AxisName, Axis] = Field(min_length=1, max_length=16)
    study: Study | None = None
    repeat: Switch = Field(default=False, description="train again what an equal run has done or will do")


class Combination(Frozen):
    """One point of the cross product."""

    label: str
    values: dict[str, AxisValue] = Field(description="axis -> value")
    config_hash: str = Field(description="equal for combinations that are one run, as a CNN's at any T")
    equal_run: EqualRun | None = Field(description="the run that is taken instead of a new one")
    time_s: float = Field(description="estimate, were it to be trained")


class SweepPreview(Frozen):
    """What a sweep would be; nothing is stored."""

    n_combinations: int
    n_runs: int = Field(description="different runs: equal combinations are one")
    n_new: int
    n_existing: int
    time: TimeEstimate = Field(description="of the new runs one after another")
    combinations: list[Combination]


class Aggregate(Frozen):
    """Several measurements of one quantity, as `mean ± deviation (n)` with a 95 % interval of the mean."""

    n: int
    mean: float
    deviation: float | None = Field(description="of the sample (n - 1); null for n = 1")
    low: float | None = Field(
        description="Student-t interval of the mean, 95 %; null for n = 1 and where all measurements are equal"
    )
    high: float | None


class SweepGroup(Frozen):
    """Runs that are equal but for their seed. Aggregates are over the n that have succeeded; none for n = 0."""

    label: str
    values: dict[str, AxisValue] = Field(description="axis -> value; without the seed, and without what a CNN has not")
    config: RunConfig = Field(description="of the group's first run")
    run_ids: list[str]
    seeds: list[int] = Field(description="of `run_ids`, in the same order")
    states: dict[RunState, int]
    n: int
    accuracy: Aggregate | None
    f1_macro: Aggregate | None
    energy_pj: Aggregate | None
    params: Aggregate | None
    firing_rate: Aggregate | None = Field(description="none for a CNN")
    run_accuracy: list[float | None] = Field(
        default_factory=list, description="of `run_ids`, in the same order; null for a run without a result"
    )
    run_energy_pj: list[float | None] = Field(
        default_factory=list, description="of `run_ids`, in the same order; null for a run without a result"
    )


class Sweep(Frozen):
    id: str
    name: str
    created_at: datetime
    request: SweepRequest
    n_runs: int
    states: dict[RunState, int]
    submitter: str | None = Field(default=None, description="whose it is; null while nobody has a name here")


class SweepDetail(Sweep):
    """A sweep with its groups, priced in `mode` at `profile`."""

    mode: str
    profile: str
    groups: list[SweepGroup]


class SweepPage(Frozen):
    items: list[Sweep]
    next_cursor: str | None = None
    total: int
