"""What a run is: its frozen config, its states, and the moves between them."""

from __future__ import annotations

from enum import StrEnum
from typing import Any, Literal

from pydantic import Field, model_validator

from core.schemas.architecture import AS_DEFINED, ArchitectureConfig
from core.schemas.base import Frozen, digest
from core.schemas.compression import AS_TRAINED, CompressionConfig
from core.schemas.conflicts import conflicts
from core.schemas.search import NO_SEARCH, SearchConfig
from core.schemas.stages import MOST_STEPS, Stage

#: The SHA-256 of a bundle's weights: a name that decides the numbers, wherever the bundle lies.
WEIGHTS = r"^[0-9a-f]{64}$"


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

    The loss is a sum: cross-entropy (of the output averaged over time, `tet`: of each step's output, `probability`: of
    the probability averaged over time), and the terms whose weight is not 0. Terms and their equations:
    `core.engine.losses`.
    """

    optimizer: Literal["adam", "adamw", "sgd"] = "adam"
    lr: float = Field(default=1e-3, gt=0.0, le=10.0)
    momentum: float = Field(default=0.9, ge=0.0, lt=1.0, description="of sgd")
    nesterov: bool = Field(default=True, description="of sgd: the gradient is taken ahead, where the momentum leads")
    weight_decay: float = Field(default=0.0, ge=0.0, le=1.0)
    neuron_lr_factor: float = Field(
        default=1.0, ge=0.0, le=100.0, description="of the learning rate, for what the neurons learn (plif's leak)"
    )
    batch_size: int = Field(default=8, ge=1, le=65536)
    max_epochs: int = Field(default=150, ge=0, le=100_000, description="0 only for a network that is taken as it comes")
    teacher_epochs: int | None = Field(
        default=None, ge=1, le=100_000, description="epochs of the CNN twin that is trained first; null: max_epochs"
    )
    schedule: Literal["multistep", "cosine", "linear", "constant"] = "multistep"
    milestones: tuple[int, ...] = (50, 100)
    gamma: float = Field(default=0.1, gt=0.0, le=1.0)
    warmup_epochs: float = Field(default=0.0, ge=0.0)
    stages: tuple[Stage, ...] = Field(
        default=(), max_length=16, description="each with a T and a schedule of its own; none: all epochs at time_steps"
    )
    patience: int | None = Field(default=10, ge=1, description="epochs without a better validation accuracy")
    validate_every: int = Field(default=1, ge=1, description="epochs; the last one is validated whatever this is")
    select: Literal["best", "last", "ema"] = Field(
        default="best", description="the weights that are kept: best validation, last epoch, or the last's average"
    )
    ema: float = Field(default=0.0, ge=0.0, lt=1.0, description="decay per step of the averaged weights; 0: none")
    augment: Literal["none", "crop", "crop-flip", "crop-flip-cutout", "crop-altflip", "crop-altflip-cutout"] = "none"
    precision: Literal["float32", "mixed"] = Field(default="float32", description="mixed: bfloat16 where it holds")
    loss: Literal["mean", "tet", "probability"] = Field(
        default="mean", description="cross-entropy of the mean output, of each step's, or of the mean probability"
    )
    tet_lambda: float = Field(default=0.05, ge=0.0, le=1.0, description="share of tet's pull towards tet_phi")
    tet_phi: float | None = Field(default=None, gt=0.0, le=1e6, description="null: v_threshold")
    label_smoothing: float = Field(default=0.0, ge=0.0, lt=1.0)
    distillation: float = Field(default=0.0, ge=0.0, le=1.0, description="share of the teacher's answers in the loss")
    teacher: str | None = Field(
        default=None, pattern=WEIGHTS, description="SHA-256 of the weights of a finished run; null: the CNN twin"
    )
    teacher_answers: Literal["computed", "stored"] = Field(
        default="computed", description="for each picture as it is seen, or once for each image and its mirror image"
    )
    distillation_temperature: float = Field(default=4.0, gt=0.0, le=100.0)
    distillation_per_step: bool = Field(default=False, description="each step learns the answers, not only their mean")
    rate_penalty: float = Field(default=0.0, ge=0.0, le=1e3, description="weight of the firing-rate term")
    rate_target: float = Field(default=0.0, ge=0.0, lt=1.0, description="firing rate below which it is silent")
    ac_penalty: float = Field(default=0.0, ge=0.0, le=1e3, description="weight of the term of accumulates")
    ac_target: float | None = Field(
        default=None, gt=0.0, le=1e15, description="accumulates per image, all steps, below which it is silent"
    )
    ac_ramp: tuple[float, float] = Field(
        default=(0.5, 0.7), description="shares of the training between which ac_penalty rises to its value"
    )
    gradient_aware: float = Field(default=0.0, ge=0.0, le=1e3, description="lambda of the gradient-aware term")
    gradient_aware_eps: float = Field(default=1e-3, gt=0.0, le=1.0)
    grad_cam_aware: float = Field(default=0.0, ge=0.0, le=1e3, description="lambda of the Grad-CAM-aware term")
    train_limit: int | None = Field(default=None, ge=2, description="use at most this many training images")
    validation_share: float = Field(default=0.2, gt=0.0, lt=1.0)
    split_seed: int = Field(default=0, ge=0, description="the train/validation split, the same for every seed")

    @property
    def validations(self) -> int:
        """How often the validation split is evaluated, if all epochs are used: the last one is, whatever it is."""
        return -(-self.max_epochs // self.validate_every)

    def validates(self, epoch: int) -> bool:
        """Whether the network is validated at the end of this epoch."""
        return epoch % self.validate_every == 0 or epoch == self.max_epochs

    @property
    def differentiates_twice(self) -> bool:
        """Whether a term of the loss holds gradients itself, which the compiled kernels cannot follow."""
        return self.gradient_aware > 0 or self.grad_cam_aware > 0


#: What `training.select` keeps, in words that follow "epoch 7 of 30, ".
KEPT = {"best": "by the validation accuracy", "last": "the last one", "ema": "the average over its last steps"}


class RunConfig(Frozen):
    """One training of one network with one seed, complete: nothing else decides the result."""

    backbone: str = "squeezenet"
    definition: str = Field(default="small", description="one of the backbone's, such as small or imagenet")
    architecture: ArchitectureConfig = AS_DEFINED
    kind: Kind = Kind.SNN
    mask: tuple[str, ...] = Field(description="the removable blocks that are kept, in network order")
    dataset: str = "digits"
    recipe: str = "smoke"
    seed: int = Field(default=0, ge=0, le=2**31 - 1)
    time_steps: int = Field(default=4, ge=1, le=MOST_STEPS, description="T; a CNN ignores it")
    encoding: Literal["direct", "rate", "latency"] = "direct"
    input: Literal["normalised", "intensity"] = Field(
        default="normalised", description="pixels less their mean over their deviation, or as intensities in [0, 1]"
    )
    start: Literal["random", "converted", "bundle"] = Field(
        default="random",
        description="converted: from the trained CNN twin, thresholds balanced; bundle: a finished run",
    )
    start_bundle: str | None = Field(
        default=None, pattern=WEIGHTS, description="SHA-256 of the weights that start = bundle begins with"
    )
    conversion_percentile: float = Field(
        default=99.9, gt=50.0, le=100.0, description="of each layer's activations, which becomes its threshold"
    )
    neuron: NeuronConfig = NeuronConfig()
    compression: CompressionConfig = AS_TRAINED
    training: TrainingConfig = TrainingConfig()
    search: SearchConfig = NO_SEARCH

    @model_validator(mode="after")
    def _possible_together(self) -> RunConfig:
        for conflict in conflicts(self):
            raise conflict.error()
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
    def seeks(self) -> SearchConfig:
        """What it searches for: nothing, for a CNN."""
        return self.search if self.kind is Kind.SNN else NO_SEARCH

    @property
    def changes_weights(self) -> bool:
        """Whether convolutions compute with other weights than those they learn: pruned, quantised or searched ones."""
        return self.compression.is_on or self.seeks.bits

    @property
    def is_converted(self) -> bool:
        """Converted and never trained: in such a network rates stand for values (`core.engine.network`)."""
        return self.kind is Kind.SNN and self.start == "converted" and self.training.max_epochs == 0

    @property
    def v_start(self) -> float:
        """The membrane before the first step: half the threshold where the config says so, or where rates stand for
        values, so that they are rounded."""
        half = self.is_converted or self.neuron.v_start == "half"
        return self.neuron.v_threshold / 2 if half else 0.0

    @property
    def needs_teacher(self) -> bool:
        """Whether the CNN twin has to be trained first."""
        twin_teaches = self.training.distillation > 0 and self.training.teacher is None
        return self.kind is Kind.SNN and (self.start == "converted" or twin_teaches)

    @property
    def has_given_teacher(self) -> bool:
        """Whether it learns from a finished run that is brought along."""
        return self.kind is Kind.SNN and self.training.distillation > 0 and self.training.teacher is not None

    def has(self, path: str) -> bool:
        """Whether this kind of network has the field of a dotted path: a CNN has no neurons and no time."""
        return self.kind is Kind.SNN or bool(_without_spiking({path: self.start if path == "start" else None}))

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
        """Equal for a spiking run and its CNN twin (whatever the spiking one's neurons, time steps and start)."""
        content = _without_spiking(_flat(self.identity()))
        for name in ("kind", "start", "start_bundle"):
            content.pop(name, None)
        content["training.max_epochs"] = self._twin_epochs
        return digest(_nested(content))

    def twin(self) -> RunConfig:
        """The same config for the other kind of network; where it is the teacher, with the teacher's epochs.

        A bundle to start from is of one of the two, so the other starts from random weights.
        """
        training = self.training.model_copy(update={"max_epochs": self._twin_epochs})
        afresh = {"start": "random", "start_bundle": None} if self.start == "bundle" else {}
        return self.model_copy(update={"kind": self.kind.twin, "training": training, **afresh})

    @property
    def _twin_epochs(self) -> int:
        own = self.training.max_epochs
        return self.training.teacher_epochs or own if self.needs_teacher else own


#: What only a spiking network has: a CNN ignores these fields, and their values make no other twin.
_SPIKING_ONLY = (
    "time_steps", "encoding", "start", "conversion_percentile", "neuron",
    "training.loss", "training.tet_lambda", "training.tet_phi", "training.distillation",
    "training.distillation_temperature", "training.distillation_per_step", "training.rate_penalty",
    "training.rate_target", "training.ac_penalty", "training.ac_target", "training.ac_ramp", "training.teacher_epochs",
    "training.neuron_lr_factor", "training.stages", "training.teacher", "training.teacher_answers", "search",
)  # fmt: skip
#: Fields that came later, with the value they had in effect before. At that value they stay out of the hash, so
#: that a run from before is equal to one of today with the same numbers.
_ADDED = {
    "start": "random", "start_bundle": None, "conversion_percentile": 99.9, "input": "normalised",
    **{f"architecture.{name}": None for name in ArchitectureConfig.model_fields},
    **{f"compression.{name}": value for name, value in AS_TRAINED},
    "neuron.decay_input": True, "neuron.v_start": "zero", "neuron.detach_reset": False, "neuron.learn_threshold": False,
    **{
        f"training.{name}": TrainingConfig.model_fields[name].default
        for name in (
            "precision", "loss", "tet_lambda", "label_smoothing", "distillation", "distillation_temperature",
            "rate_penalty", "rate_target", "gradient_aware", "gradient_aware_eps", "grad_cam_aware",
            "teacher_epochs", "momentum", "nesterov", "neuron_lr_factor", "validate_every", "select", "ema", "tet_phi",
            "distillation_per_step", "ac_penalty", "ac_target", "teacher", "teacher_answers",
        )
    },
    "training.ac_ramp": list(TrainingConfig.model_fields["ac_ramp"].default),  # as JSON has it
    "training.stages": [],
    **{f"search.{name}": value for name, value in NO_SEARCH.model_dump(mode="json").items()},
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
    """What a CNN has of a config. It may start from a bundle, though not from a CNN that it is itself."""
    prefixes = tuple(f"{path}." for path in _SPIKING_ONLY)
    return {
        path: value
        for path, value in flat.items()
        if not f"{path}.".startswith(prefixes) or (path, value) == ("start", "bundle")
    }


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
