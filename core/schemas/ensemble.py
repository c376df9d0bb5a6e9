"""Two networks that answer together. `GET /compare/ensemble`."""

from __future__ import annotations

from pydantic import Field

from core.schemas.base import Frozen
from core.schemas.compare import Gain
from core.schemas.prices import Factors


class Answered(Frozen):
    """One way of answering the test images."""

    accuracy: float
    energy_pj: float = Field(description="mean over the test images, estimated")


class Together(Answered):
    """With both networks; what that gains over each of them alone on the same images."""

    against_first: Gain
    against_second: Gain


class CascadePoint(Together):
    """The second network is asked where the first one's largest probability is not above the threshold."""

    threshold: float
    asked: int = Field(description="test images on which the second network is asked, and its answer taken")


class Overlap(Frozen):
    """How many test images the two networks get right alone."""

    both: int
    first_only: int
    second_only: int
    neither: int


class Ensemble(Frozen):
    """Two networks on the same test images: each alone, the mean of both, and one that asks the other.

    Definitions: `core.analysis.ensemble`.
    """

    mode: str
    profile: str
    n: int = Field(description="test images")
    by_image: bool = Field(
        description="the second network's energy is that of the very images on which it is asked; else its mean"
    )
    first: Answered = Field(description="the first network alone")
    second: Answered = Field(description="the second network alone")
    mean: Together = Field(description="the mean of both networks' probabilities, at the energy of both")
    overlap: Overlap
    cascade: list[CascadePoint] = Field(description="by rising threshold, from 0 (never asked) to 1 (always asked)")


class ComparedEnsemble(Ensemble, Factors):
    """The same for two runs, at prices that may be moved."""

    first_id: str = Field(description="the run that answers first")
    second_id: str = Field(description="the run that is asked where the first one is unsure")
