"""One test image as a run and its twin saw it. `GET /runs/{id}/images/{index}`."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from core.schemas.base import Frozen
from core.schemas.run import Kind


class Answer(Frozen):
    """What one network said of one image."""

    run_id: str
    kind: Kind
    prediction: str
    confidence: float
    correct: bool
    confidence_per_step: list[float] = Field(description="of the final answer's class, after 1..T steps")


class Example(Frozen):
    """One test image with the answers of the run and of its twin."""

    index: int = Field(description="position in the test set")
    label: str
    image: str = Field(description="data:image/png;base64,...")
    answer: Answer
    twin_answer: Answer | None = None


class Examples(Frozen):
    items: list[Example]
    which: Literal["first", "spread", "wrong", "disagree"]
    twin_run_id: str | None
    n_test: int


class LayerSpikes(Frozen):
    """The spikes of one neuron layer for one image."""

    name: str
    neurons: int = Field(ge=1)
    spikes: list[int] = Field(description="[T]")


class ImageAnswer(Frozen):
    """One network's answer to the image, with what it cost; T = 1 for a CNN."""

    answer: Answer
    truth_per_step: list[float] = Field(description="[T]: confidence in the true class after 1..T steps")
    layers: list[LayerSpikes] = Field(description="in network order; none for a CNN")
    energy_pj: list[float] | None = Field(
        description="[T]: of this image, spent after t steps; null in a mode that has no energy of one image"
    )
    mean_energy_pj: list[float] = Field(description="[T]: the mean over the test set")


class SeenImage(Frozen):
    """`image` is null where the picture was not kept: answers and counts of every test image are."""

    index: int = Field(description="position in the test set")
    label: str
    image: str | None = Field(description="data:image/png;base64,...")
    mode: str
    profile: str
    run: ImageAnswer
    twin: ImageAnswer | None = Field(description="the newest succeeded twin's")
