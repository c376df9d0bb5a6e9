"""How a finished run stands disturbed pixels and coarser weights: what is measured and stored, and the same priced."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import Field, TypeAdapter, model_validator

from core.schemas.base import Count, Finite, Frozen, Row, Whole
from core.schemas.conflicts import Conflict
from core.schemas.problem import Problem
from core.schemas.results import Counts, Failed

Disturbance = Literal["noise", "blur", "weight_bits"]
#: Strengths of each kind, the mildest first. Of noise and blur those of CIFAR-10-C's five severities (Hendrycks and
#: Dietterich, ICLR 2019, arXiv:1903.12261): standard deviation in a pixel's range [0, 1], and in pixels.
STRENGTHS: dict[Disturbance, tuple[float, ...]] = {
    "noise": (0.04, 0.06, 0.08, 0.09, 0.10),
    "blur": (0.4, 0.6, 0.7, 0.8, 1.0),
    "weight_bits": (8, 6, 4, 3, 2),
}
DEFAULT_IMAGES = 1000
MOST_IMAGES = 1_000_000
SEEDS = 2**63


class RobustnessRequest(Frozen):
    """Body of `POST /runs/{id}/robustness`."""

    images: Whole = Field(
        default=DEFAULT_IMAGES, ge=1, le=MOST_IMAGES, description="test images, spread over the test set; at most all"
    )
    seed: Whole = Field(default=0, ge=0, lt=SEEDS, description="of the noise")


class Tested(Frozen):
    """The network's answers to the images, and its operations on them."""

    correct: Count
    counts: Counts


class Disturbed(Tested):
    """The same images or weights, disturbed."""

    kind: Disturbance
    strength: Finite = Field(
        gt=0, description="noise: standard deviation in [0, 1]; blur: in pixels; weight_bits: bits of a weight"
    )
    gained: Count = Field(description="right answers that were wrong undisturbed")
    lost: Count = Field(description="wrong answers that were right undisturbed")


class Robustness(Frozen):
    """`robustness.json`: one network on the same `n` test images, undisturbed and disturbed. Counts are integers."""

    version: Literal[1] = 1
    weights_sha256: str = Field(pattern=r"^[0-9a-f]{64}$", description="of the network that was measured")
    seed: int = Field(ge=0, lt=SEEDS, description="of the noise")
    n: int = Field(ge=1, le=MOST_IMAGES)
    n_test: int = Field(ge=1, description="images of the test set that they were spread over")
    answers_equal: Count = Field(description="undisturbed answers that are those stored with the run")
    undisturbed: Tested
    points: Row[Disturbed] = Field(max_length=100)

    @model_validator(mode="after")
    def _of_the_same_images(self) -> Self:
        first = self.undisturbed.counts
        for point in (self.undisturbed, *self.points):
            if point.counts.n_samples != self.n:
                raise Conflict("n_samples", point.counts.n_samples, f"n, {self.n}").error()
            if point.correct > self.n:
                raise Conflict("correct", point.correct, f"at most n, {self.n}").error()
            if (point.counts.kind, point.counts.time_steps) != (first.kind, first.time_steps):
                raise Conflict("time_steps", point.counts.time_steps, "those of the same network").error()
        for point in self.points:
            if self.undisturbed.correct + point.gained - point.lost != point.correct:
                raise Conflict("correct", point.correct, "those right undisturbed, with gained, without lost").error()
        return self


class RobustnessPoint(Frozen):
    """One strength, priced; per inference. Intervals are of 95 % and about the images alone."""

    kind: Disturbance | None = Field(description="null: undisturbed")
    strength: float | None
    accuracy: float
    low: float = Field(description="Wilson interval of the accuracy")
    high: float
    change: float = Field(description="of the accuracy, against undisturbed on the same images")
    change_low: float = Field(description="interval of the paired difference")
    change_high: float
    acs: float
    macs: float
    energy_pj: float
    firing_rate: float | None = Field(description="null for a CNN")


class PricedRobustness(Frozen):
    """A measured run in one mode at one profile."""

    mode: str
    profile: str
    seed: int
    n: int
    n_test: int
    time_steps: int
    answers_equal: int = Field(description="undisturbed answers that are those stored with the run")
    undisturbed: RobustnessPoint
    points: list[RobustnessPoint]

    def of(self, kind: Disturbance) -> list[RobustnessPoint]:
        """The undisturbed point and those of one kind, the mildest first."""
        return [self.undisturbed, *(point for point in self.points if point.kind == kind)]


class RobustnessWork(Frozen):
    """A measurement under way, or how it ended; `done` and `total` are images through the network."""

    state: Literal["running", "done", "failed"]
    done: int = 0
    total: int = 0
    problem: Problem | None = Field(default=None, description="why it failed")


class RunRobustness(Frozen):
    """`GET /runs/{id}/robustness`."""

    work: RobustnessWork | None = Field(description="null where none was asked for since the API started")
    found: PricedRobustness | None = Field(description="null where it was not measured yet")


class MeasureRequest(RobustnessRequest):
    """The line to `spikefront measure`: what to measure, and where it lies."""

    folder: Path
    data: Path = Field(description="where the user's data sets are looked for")


class ImagesDone(Frozen):
    """How far it is."""

    type: Literal["images"] = "images"
    done: int
    total: int


class Measured(Frozen):
    """`robustness.json` is in the folder."""

    type: Literal["measured"] = "measured"


#: One line from `spikefront measure`; the last one is Measured or Failed.
MEASURING: TypeAdapter[ImagesDone | Measured | Failed] = TypeAdapter(
    Annotated[ImagesDone | Measured | Failed, Field(discriminator="type")]
)
