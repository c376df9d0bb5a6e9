"""What a run is: its frozen config, its states, and the moves between them."""

from __future__ import annotations

from enum import StrEnum
from itertools import pairwise
from typing import Any, Literal

from pydantic import Field, model_validator

from core.schemas.base import Frozen, digest


class Kind(StrEnum):
    """The two networks that one plan gives."""

    SNN = "snn"
    CNN = "cnn"

    @property
    def twin(self) -> Kind:
        return Kind.CNN if self is Kind.SNN else Kind.SNN


class NeuronConfig(Frozen):
    """LIF with constant input over a step of dt = 1 (SpikingJelly's `decay_input=True`).

    H[t] = V[t-1] + (X[t] - (V[t-1] - V_reset)) / tau;  S[t] = [H[t] >= v_threshold];
    hard reset: V[t] = H[t] (1 - S[t]) + V_reset S[t], with V_reset = 0.
    """

    model: Literal["lif"] = "lif"
    tau: float = Field(default=2.0, gt=1.0, le=1e6, description="membrane time constant in steps, above 1")
    v_threshold: float = Field(default=1.0, gt=0.0, le=1e6)
    reset: Literal["hard"] = "hard"
    surrogate: Literal["atan"] = "atan"
    alpha: float = Field(default=2.0, gt=0.0, le=1e3, description="slope of the surrogate at the threshold")


class TrainingConfig(Frozen):
    """How weights are found. One epoch is one pass over the training split."""

    optimizer: Literal["adam"] = "adam"
    lr: float = Field(default=1e-3, gt=0.0, le=10.0)
    weight_decay: float = Field(default=0.0, ge=0.0, le=1.0)
    batch_size: int = Field(default=8, ge=1, le=65536)
    max_epochs: int = Field(default=150, ge=1, le=100_000)
    schedule: Literal["multistep", "cosine", "constant"] = "multistep"
    milestones: tuple[int, ...] = (50, 100)
    gamma: float = Field(default=0.1, gt=0.0, le=1.0)
    warmup_epochs: float = Field(default=0.0, ge=0.0)
    patience: int | None = Field(default=10, ge=1, description="epochs without a better validation accuracy")
    augment: Literal["none", "crop-flip"] = "none"
    train_limit: int | None = Field(default=None, ge=2, description="use at most this many training images")
    validation_share: float = Field(default=0.2, gt=0.0, lt=1.0)
    split_seed: int = Field(default=0, ge=0, description="the train/validation split, the same for every seed")


class RunConfig(Frozen):
    """One training of one network with one seed, complete: nothing else decides the result."""

    backbone: str = "squeezenet"
    definition: Literal["small", "imagenet"] = "small"
    kind: Kind = Kind.SNN
    mask: tuple[str, ...] = Field(description="the removable blocks that are kept, in network order")
    dataset: str = "digits"
    recipe: str = "smoke"
    seed: int = Field(default=0, ge=0, le=2**31 - 1)
    time_steps: int = Field(default=4, ge=1, le=64, description="T; a CNN ignores it")
    encoding: Literal["direct"] = "direct"
    neuron: NeuronConfig = NeuronConfig()
    training: TrainingConfig = TrainingConfig()

    @model_validator(mode="after")
    def _milestones_rise(self) -> RunConfig:
        steps = self.training.milestones
        if any(b <= a for a, b in pairwise(steps)) or any(s < 1 for s in steps):
            raise ValueError("training.milestones must be rising epochs from 1 on")
        return self

    @property
    def steps(self) -> int:
        """Time steps that are really run: T for a spiking network, 1 for a CNN."""
        return self.time_steps if self.kind is Kind.SNN else 1

    def identity(self) -> dict[str, Any]:
        """What decides the result: a CNN has no neurons and no time, and the recipe's name is only a label."""
        content = self.model_dump(mode="json", exclude={"recipe"})
        if self.kind is Kind.CNN:
            for field in ("time_steps", "encoding", "neuron"):
                del content[field]
        return content

    @property
    def config_hash(self) -> str:
        """Equal for runs that would give the same numbers."""
        return digest(self.identity())

    @property
    def twin_hash(self) -> str:
        """Equal for a spiking run and its CNN twin (whatever the spiking one's neurons and time steps)."""
        content = self.identity()
        for field in ("kind", "time_steps", "encoding", "neuron"):
            content.pop(field, None)
        return digest(content)

    def twin(self) -> RunConfig:
        """The same config for the other kind of network."""
        return self.model_copy(update={"kind": self.kind.twin})


class RunState(StrEnum):
    """Where a run is in its life."""

    QUEUED = "queued"
    RUNNING = "running"
    CANCELLING = "cancelling"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELLED = "cancelled"
    LOST = "lost"

    @property
    def is_final(self) -> bool:
        return not TRANSITIONS[self]

    @property
    def is_active(self) -> bool:
        """Still going to change by itself: worth polling."""
        return not self.is_final


# A run that ends before a cancel reaches it keeps its own end: cancelling -> succeeded | failed.
# lost -> failed: attempts used up.  lost -> cancelled: nobody is left to stop.
TRANSITIONS: dict[RunState, frozenset[RunState]] = {
    RunState.QUEUED: frozenset({RunState.RUNNING, RunState.CANCELLED}),
    RunState.RUNNING: frozenset({RunState.SUCCEEDED, RunState.FAILED, RunState.LOST, RunState.CANCELLING}),
    RunState.CANCELLING: frozenset({RunState.CANCELLED, RunState.SUCCEEDED, RunState.FAILED}),
    RunState.LOST: frozenset({RunState.QUEUED, RunState.FAILED, RunState.CANCELLED}),
    RunState.SUCCEEDED: frozenset(),
    RunState.FAILED: frozenset(),
    RunState.CANCELLED: frozenset(),
}
