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
    """A spiking neuron with constant input over a step of dt = 1. V_rest = V_reset = 0, R = 1.

    lif    H[t] = V[t-1] + (X[t] - (V[t-1] - V_reset)) / tau        (SpikingJelly's `decay_input=True`)
           or, with `decay_input` false, leak and gain apart: H[t] = (1 - 1 / tau) V[t-1] + X[t]
    plif   the same with 1 / tau = sigmoid(w), w learned per layer, starting at tau (Fang et al., ICCV 2021)
    if     H[t] = V[t-1] + X[t]; tau is not used
    S[t] = [H[t] >= v_threshold]
    reset hard: V[t] = H[t] (1 - S[t]) + V_reset S[t];  soft: V[t] = H[t] - v_threshold S[t]
    V[0] = 0 or, with `v_start` half, v_threshold / 2

    count  C = floor(clip(X / theta, 0, T) + 1/2), theta learned per layer, starting at v_threshold: what an `if` neuron
           with soft reset and V[0] = theta / 2 has fired once all its input has come. Training passes on counts, one
           pass an image; inference passes on T binary steps, S[t] = [t <= C]. Only v_threshold is used.
    """

    model: Literal["lif", "if", "plif", "count"] = "lif"
    tau: float = Field(default=2.0, gt=1.0, le=1e6, description="membrane time constant in steps, above 1")
    decay_input: bool = Field(default=True, description="whether lif and plif divide their input by tau too")
    v_threshold: float = Field(default=1.0, gt=0.0, le=1e6)
    learn_threshold: bool = Field(default=False, description="one threshold a layer, learned, starting at v_threshold")
    v_start: Literal["zero", "half"] = Field(default="zero", description="half: V starts at v_threshold / 2")
    reset: Literal["hard", "soft"] = "hard"
    detach_reset: bool = Field(default=False, description="whether the reset passes no gradient to its spike")
    surrogate: Literal["atan", "sigmoid", "fast_sigmoid", "piecewise_linear", "exponential"] = "atan"
    alpha: float = Field(default=2.0, gt=0.0, le=1e3, description="slope of the surrogate at the threshold")

    @property
    def layer_synchronous(self) -> bool:
        """Whether a layer waits for all T steps of its input before it fires; else each step passes all layers."""
        return self.model == "count"


class TrainingConfig(Frozen):
    """How weights are found. One epoch is one pass over the training split.

    The loss is a sum: cross-entropy (of the output averaged over time, or `tet`: of each step's output), and the
    terms whose weight is not 0. Terms and their equations: `core.engine.losses`.
    """

    optimizer: Literal["adam", "adamw"] = "adam"
    lr: float = Field(default=1e-3, gt=0.0, le=10.0)
    weight_decay: float = Field(default=0.0, ge=0.0, le=1.0)
    batch_size: int = Field(default=8, ge=1, le=65536)
    max_epochs: int = Field(default=150, ge=0, le=100_000, description="0 only for a converted network, as it comes")
    teacher_epochs: int | None = Field(
        default=None, ge=1, le=100_000, description="epochs of the CNN twin that is trained first; null: max_epochs"
    )
    schedule: Literal["multistep", "cosine", "constant"] = "multistep"
    milestones: tuple[int, ...] = (50, 100)
    gamma: float = Field(default=0.1, gt=0.0, le=1.0)
    warmup_epochs: float = Field(default=0.0, ge=0.0)
    patience: int | None = Field(default=10, ge=1, description="epochs without a better validation accuracy")
    augment: Literal["none", "crop", "crop-flip", "crop-flip-cutout"] = "none"
    precision: Literal["float32", "mixed"] = Field(default="float32", description="mixed: bfloat16 where it holds")
    loss: Literal["mean", "tet"] = Field(default="mean", description="tet: temporal efficient training")
    tet_lambda: float = Field(default=0.05, ge=0.0, le=1.0, description="share of tet's pull towards v_threshold")
    label_smoothing: float = Field(default=0.0, ge=0.0, lt=1.0)
    distillation: float = Field(default=0.0, ge=0.0, le=1.0, description="share of the CNN twin's answers in the loss")
    distillation_temperature: float = Field(default=4.0, gt=0.0, le=100.0)
    rate_penalty: float = Field(default=0.0, ge=0.0, le=1e3, description="weight of the firing-rate term")
    rate_target: float = Field(default=0.0, ge=0.0, lt=1.0, description="firing rate below which it is silent")
    gradient_aware: float = Field(default=0.0, ge=0.0, le=1e3, description="lambda of the gradient-aware term")
    gradient_aware_eps: float = Field(default=1e-3, gt=0.0, le=1.0)
    grad_cam_aware: float = Field(default=0.0, ge=0.0, le=1e3, description="lambda of the Grad-CAM-aware term")
    train_limit: int | None = Field(default=None, ge=2, description="use at most this many training images")
    validation_share: float = Field(default=0.2, gt=0.0, lt=1.0)
    split_seed: int = Field(default=0, ge=0, description="the train/validation split, the same for every seed")

    @property
    def differentiates_twice(self) -> bool:
        """Whether a term of the loss holds gradients itself, which the compiled kernels cannot follow."""
        return self.gradient_aware > 0 or self.grad_cam_aware > 0


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
    encoding: Literal["direct", "rate", "latency"] = "direct"
    start: Literal["random", "converted"] = Field(
        default="random", description="converted: from the trained CNN twin, thresholds balanced"
    )
    conversion_percentile: float = Field(
        default=99.9, gt=50.0, le=100.0, description="of each layer's activations, which becomes its threshold"
    )
    neuron: NeuronConfig = NeuronConfig()
    training: TrainingConfig = TrainingConfig()

    @model_validator(mode="after")
    def _milestones_rise(self) -> RunConfig:
        steps = self.training.milestones
        if any(b <= a for a, b in pairwise(steps)) or any(s < 1 for s in steps):
            raise ValueError("training.milestones must be rising epochs from 1 on")
        return self

    @model_validator(mode="after")
    def _untrained_only_if_converted(self) -> RunConfig:
        converted = self.kind is Kind.SNN and self.start == "converted"
        if self.training.max_epochs == 0 and not (converted and self.training.teacher_epochs):
            raise ValueError(
                "training.max_epochs must be at least 1, unless start is converted and "
                "training.teacher_epochs says how long the CNN twin trains"
            )
        return self

    @model_validator(mode="after")
    def _second_derivatives_in_full(self) -> RunConfig:
        if self.training.precision == "mixed" and self.training.gradient_aware:
            raise ValueError("training.precision must be float32 where training.gradient_aware is not 0")
        return self

    @property
    def steps(self) -> int:
        """Time steps that are really run: T for a spiking network, 1 for a CNN."""
        return self.time_steps if self.kind is Kind.SNN else 1

    @property
    def layer_synchronous(self) -> bool:
        """Whether inference runs layer after layer, T steps each (`NeuronConfig.layer_synchronous`); no CNN does."""
        return self.kind is Kind.SNN and self.neuron.layer_synchronous

    @property
    def needs_teacher(self) -> bool:
        """Whether the CNN twin has to be trained first."""
        return self.kind is Kind.SNN and (self.start == "converted" or self.training.distillation > 0)

    def identity(self) -> dict[str, Any]:
        """What decides the result: a CNN has no neurons and no time, and the recipe's name is only a label."""
        content = _flat(self.model_dump(mode="json", exclude={"recipe"}))
        for name, default in _ADDED.items():
            if content[name] == default:
                del content[name]
        return _nested(content if self.kind is Kind.SNN else _without_spiking(content))

    @property
    def config_hash(self) -> str:
        """Equal for runs that would give the same numbers."""
        return digest(self.identity())

    @property
    def twin_hash(self) -> str:
        """Equal for a spiking run and its CNN twin (whatever the spiking one's neurons and time steps)."""
        content = _without_spiking(_flat(self.identity()))
        content.pop("kind")
        content["training.max_epochs"] = self._twin_epochs
        return digest(_nested(content))

    @property
    def repeat_hash(self) -> str:
        """Equal for runs that differ in nothing but their seed."""
        return digest(self.model_copy(update={"seed": 0}).identity())

    def twin(self) -> RunConfig:
        """The same config for the other kind of network; where it is the teacher, with the teacher's epochs."""
        training = self.training.model_copy(update={"max_epochs": self._twin_epochs})
        return self.model_copy(update={"kind": self.kind.twin, "training": training})

    @property
    def _twin_epochs(self) -> int:
        own = self.training.max_epochs
        return self.training.teacher_epochs or own if self.needs_teacher else own


#: What only a spiking network has: a CNN ignores these fields, and their values make no other twin.
_SPIKING_ONLY = (
    "time_steps", "encoding", "start", "conversion_percentile", "neuron",
    "training.loss", "training.tet_lambda", "training.distillation", "training.distillation_temperature",
    "training.rate_penalty", "training.rate_target", "training.teacher_epochs",
)  # fmt: skip
#: Fields that came later, with the value they had in effect before. At that value they stay out of the hash, so
#: that a run from before is equal to one of today with the same numbers.
_ADDED = {
    "start": "random", "conversion_percentile": 99.9,
    "neuron.decay_input": True, "neuron.v_start": "zero", "neuron.detach_reset": False, "neuron.learn_threshold": False,
    **{
        f"training.{name}": TrainingConfig.model_fields[name].default
        for name in (
            "precision", "loss", "tet_lambda", "label_smoothing", "distillation", "distillation_temperature",
            "rate_penalty", "rate_target", "gradient_aware", "gradient_aware_eps", "grad_cam_aware",
            "teacher_epochs",
        )
    },
}  # fmt: skip


def _flat(content: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    """Nested fields by their dotted path."""
    flat: dict[str, Any] = {}
    for name, value in content.items():
        flat |= _flat(value, f"{prefix}{name}.") if isinstance(value, dict) else {f"{prefix}{name}": value}
    return flat


def _nested(flat: dict[str, Any]) -> dict[str, Any]:
    """The inverse of _flat."""
    content: dict[str, Any] = {}
    for path, value in flat.items():
        *parents, leaf = path.split(".")
        target = content
        for parent in parents:
            target = target.setdefault(parent, {})
        target[leaf] = value
    return content


def _without_spiking(flat: dict[str, Any]) -> dict[str, Any]:
    prefixes = tuple(f"{path}." for path in _SPIKING_ONLY)
    return {path: value for path, value in flat.items() if not f"{path}.".startswith(prefixes)}


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
