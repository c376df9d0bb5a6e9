"""Many runs as points of accuracy against energy."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from pydantic import Field

from core.schemas.base import Frozen
from core.schemas.prices import Factors
from core.schemas.run import Kind


class ParetoPoint(Frozen):
    run_id: str
    label: str
    backbone: str
    kind: Kind
    mask: tuple[str, ...]
    mask_name: str | None
    dataset: str
    recipe: str
    seed: int
    accuracy: float
    f1_macro: float
    params: int
    acs: float
    macs: float
    energy_pj: float
    firing_rate: float | None
    time_steps: int
    n_train: int
    n_test: int
    dataset_complete: bool
    on_front: bool
    finished_at: datetime
    sweep_ids: list[str] = Field(default_factory=list)
    tags: list[str] = Field(default_factory=list)
    model_bytes: int | None = Field(default=None, description="weights in float32: 4 bytes a parameter")
    other: dict[str, float] = Field(
        default_factory=dict, description="operations beside ACs and MACs, per inference: memory accesses and addresses"
    )
    repeat: str = Field(default="", description="equal for runs that differ in nothing but their seed")
    twin: str = Field(default="", description="equal for a spiking run and its CNN twin")


class PublishedPoint(Frozen):
    """A printed row of Kabir et al.; its energy is that of one time step, at the paper's own prices."""

    model: str
    kind: Kind
    table: str
    accuracy: float
    f1_macro: float | None
    params: int | None
    acs: float | None
    macs: float | None
    energy_pj: float


class Pareto(Factors):
    dataset: str
    mode: str
    profile: str
    points: list[ParetoPoint]
    front: list[str] = Field(description="run ids on the front, cheapest first")
    published: list[PublishedPoint]
    steps: int | None = Field(default=None, description="every run stopped after so many steps; null: after all its T")
    missing: int = Field(default=0, description="runs left out since their figures at these steps are not known")
    exchanged: int = Field(default=0, description="runs left out since the data set's name stands for other images now")


class ParetoColumns(Factors):
    """The same plot with its points as columns of equal length, one a field of ParetoPoint: smaller for many runs."""

    dataset: str
    mode: str
    profile: str
    n: int
    columns: dict[str, list[Any]]
    front: list[str]
    published: list[PublishedPoint]
    steps: int | None = None
    missing: int = 0
    exchanged: int = 0
