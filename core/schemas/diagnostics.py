"""What a run shows beyond its accuracy: calibration, every T' <= T, early exits, and the state of its neurons."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, model_validator

from core.schemas.base import Column, Finite, Frozen, Real
from core.schemas.run import Kind
from core.schemas.shapes import require_shape


class Confusion(Frozen):
    """`matrix[i][j]` test images of class i were answered j."""

    classes: list[str]
    matrix: list[list[int]]
    n: int
    precision: list[float]
    recall: list[float]
    f1: list[float]
    support: list[int]


class Diagnostics(Frozen):
    """`diagnostics.json`: the activations of a fixed probe batch after each epoch (`core.engine.probe`).

    Layers are the activations in network order, t counts the time steps from 0 (a CNN has one). The loss is the
    cross-entropy of the output averaged over time, whatever the run trains with. Shares are in [0, 1].
    """

    version: Literal[1] = 1
    kind: Kind
    time_steps: int = Field(ge=1)
    n_probe: int = Field(ge=1, description="images of the probe batch")
    layers: Column[str] = Field(min_length=1)
    epochs: Column[int] = Field(default_factory=list)
    gradient_norm: Column[Column[Column[Real]]] = Field(
        default_factory=list, description="[epoch][layer][t]: L2 norm of dL/dS[t], as it comes from the layers behind"
    )
    firing_rate: Column[Column[Column[Finite]]] = Field(
        default_factory=list, description="[epoch][layer][t]: spikes / neurons; of a CNN the share of outputs above 0"
    )
    active: Column[Column[Column[Finite]]] | None = Field(
        default=None, description="[epoch][layer][t]: share of neurons in the surrogate's active zone; none for a CNN"
    )
    dead: Column[Column[Finite]] = Field(
        default_factory=list, description="[epoch][layer]: share of neurons that never fire, at any step for any image"
    )
    saturated: Column[Column[Finite]] = Field(
        default_factory=list, description="[epoch][layer]: share that fires at every step for every image"
    )

    @model_validator(mode="after")
    def _for_each_epoch_and_layer(self) -> Diagnostics:
        shape = (len(self.epochs), len(self.layers))
        for name in ("gradient_norm", "firing_rate", "active"):
            if (value := getattr(self, name)) is not None:
                require_shape(name, value, *shape, self.time_steps)
        for name in ("dead", "saturated"):
            require_shape(name, getattr(self, name), *shape)
        return self


class DiagnosticsReport(Frozen):
    """`GET /runs/{id}/diagnostics`."""

    diagnostics: Diagnostics
    findings: list[str] = Field(description="what the last epoch shows, as sentences")


class ReliabilityBin(Frozen):
    """Images whose confidence is in (low, high]; the first bin holds 0 too."""

    low: float
    high: float
    n: int
    confidence: float | None = Field(description="mean; null for an empty bin")
    accuracy: float | None


class Calibration(Frozen):
    """How far confidences can be believed, at temperature 1. Definitions: `core.analysis.calibration`."""

    n: int
    accuracy: float
    confidence: float = Field(description="mean confidence in the answer")
    ece: float = Field(description="expected calibration error, in [0, 1]")
    brier: float = Field(description="in [0, 2]")
    nll: float = Field(description="negative log-likelihood, in nats per image")
    bins: list[ReliabilityBin]


class StepPoint(Frozen):
    """The network stopped after its first `steps` time steps."""

    steps: int
    accuracy: float
    f1_macro: float
    confidence: float = Field(description="mean confidence in the answer")
    ece: float
    firing_rate: float | None = Field(description="over these steps; null for a CNN")
    energy_pj: float = Field(description="per inference")


class Steps(Frozen):
    """`GET /runs/{id}/steps`: accuracy and energy for each T' <= T."""

    mode: str
    profile: str
    n: int
    time_steps: int
    points: list[StepPoint]


class ExitPoint(Frozen):
    """Each image stops at the first step at which the network is confident enough, or at T."""

    threshold: float
    accuracy: float
    mean_steps: float
    energy_pj: float = Field(description="mean over images")
    images: list[int] = Field(description="how many stop after 1..T steps")


class ExitSteps(Frozen):
    """Where each test image stops at one threshold."""

    threshold: float
    index: list[int] = Field(description="position in the test set")
    step: list[int] = Field(description="in 1..T")


class Exits(Frozen):
    """`GET /runs/{id}/exits`: early exit by confidence over a grid of thresholds."""

    mode: str
    profile: str
    n: int
    time_steps: int
    points: list[ExitPoint]
    images: ExitSteps | None = Field(default=None, description="where a threshold was asked for")
