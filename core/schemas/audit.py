"""What was measured here beside a printed table. `GET /audit/measured`."""

from __future__ import annotations

from pydantic import Field

from core.schemas.base import Frozen
from core.schemas.sweep import Aggregate


class MeasuredMode(Frozen):
    """Operations and estimated energy per inference in one accounting mode; means over the seeds."""

    mode: str
    acs: float
    macs: float
    energy_pj: Aggregate
    difference: str = Field(description="what separates this energy from the printed one, computed from the figures")


class MeasuredPrint(Frozen):
    """Runs of a printed row's network that differ in nothing but the seed."""

    row: str = Field(description="id of the printed row, such as table1/cifar10/SqueezeNet-P")
    run_ids: list[str]
    seeds: list[int] = Field(description="of `run_ids`, in the same order")
    recipe: str
    time_steps: int
    n_train: int
    n_train_available: int
    n_test: int
    dataset_complete: bool
    params: int
    accuracy: Aggregate
    f1_macro: Aggregate
    modes: list[MeasuredMode]


class MeasuredAudit(Frozen):
    """All of them, at the paper's own prices; of a row, those trained as in the paper and on the most images first."""

    profile: str
    measured: list[MeasuredPrint]
