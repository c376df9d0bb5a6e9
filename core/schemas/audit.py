"""What was measured here beside a printed table. `GET /audit/measured`."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from core.schemas.base import Frozen
from core.schemas.sweep import Aggregate

DEFAULT_SOURCE = "kabir"


class AuditFinding(Frozen):
    """One printed figure and what the arithmetic says of it."""

    row: str = Field(
        description="such as table1/cifar10/SqueezeNet or text/headline; a check of several rows names them all"
    )
    table: str
    model: str
    datasets: list[str] = Field(description="data sets of the rows looked at; none for a table that a user brings")
    field: str
    unit: str
    printed: float | None = Field(description="as printed, in `unit`; null for a check of several rows")
    recomputed: float | None = Field(description="in `unit`; null where nothing follows from what is printed")
    low: float | None = Field(description="least and greatest value that the rounding of the printed inputs allows")
    high: float | None
    verdict: Literal["confirmed", "contradicted", "not checkable"]
    arithmetic: str = Field(description="the sum as a sentence; for `not checkable` the reason")
    statement: str | None = Field(
        default=None, description="what the source's text says, in our words; null for a figure of a table"
    )
    place: str | None = Field(default=None, description="where the text says it, such as paper, abstract")


class Audit(Frozen):
    """`GET /audit` and `spikefront audit`: printed figures, recomputed."""

    source: str
    rule: str = Field(description="when a printed figure counts as confirmed")
    profile: str = Field(description="of the prices; none where nothing is priced")
    confirmed: int
    contradicted: int
    not_checkable: int
    findings: list[AuditFinding]


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
