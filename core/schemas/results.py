"""What a run leaves behind: integer counts, the summary, the events on the way."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field, TypeAdapter, model_validator

from core.schemas.base import Column, Count, Finite, Frozen, Misfit, Real, Row, require_shape
from core.schemas.run import Kind


class Metrics(Frozen):
    """Epoch by epoch, as columns of equal length; `wall_s` may be empty, where it is kept to oneself."""

    epoch: Column[int]
    lr: Column[Finite]
    train_loss: Column[Real]
    train_accuracy: Column[Finite]
    validation_loss: Column[Real]
    validation_accuracy: Column[Finite]
    firing_rate: Column[Finite | None]
    wall_s: Column[Finite]

    @model_validator(mode="after")
    def _of_equal_length(self) -> Metrics:
        for name in type(self).model_fields:
            entries = len(getattr(self, name))
            if entries != len(self.epoch) and (name != "wall_s" or entries):
                expected = f"{len(self.epoch)}, one entry an epoch"
                raise Misfit(field=f"the length of {name}", value=entries, expected=expected)
        return self


class Gradients(Frozen):
    """L2 norm of the loss gradient of each layer's weights, mean over the epoch's steps."""

    layers: Column[str]
    epochs: Column[int]
    norm: Column[Column[Real]] = Field(description="norm[epoch][layer]")

    @model_validator(mode="after")
    def _for_each_epoch_and_layer(self) -> Gradients:
        require_shape("norm", self.norm, len(self.epochs), len(self.layers))
        return self


#: Fields of LayerCounts with an entry for each time step.
PER_STEP = ("ac", "mac", "input_nonzero", "spikes")


class LayerCounts(Frozen):
    """One layer's integers. Per-step tuples have T entries, each summed over the n samples.

    Static fields are per sample and step. `ac` and `mac` are effective synaptic operations: each
    non-zero input element costs its in-bounds taps times the output channels of its group; AC when the
    layer's input is spikes (every element 0 or 1), else MAC. Layers without weights have ac = mac = 0.
    """

    name: str
    kind: str = Field(description="conv, linear, bn, neuron, relu, maxpool, avgpool, ...: the plan's op")
    output_shape: Row[Count]
    params: Count = 0
    dense_ops: Count = Field(default=0, description="weights x positions, padding included, no zero skipped, no bias")
    bias_ops: Count = Field(
        default=0,
        description="one add per output where the layer has a bias; for a normalisation, where none before takes its shift",
    )
    input_numel: Count = 0
    output_numel: Count = 0
    input_is_spikes: bool = False
    constant_input: bool = Field(default=False, description="the same at every step, so computed once")
    ac: Row[int] = ()
    mac: Row[int] = ()
    input_nonzero: Row[int] = ()
    spikes: Row[int] = Field(default=(), description="output spikes of a neuron layer")


class Counts(Frozen):
    """All that energy is computed from; nothing here is multiplied by a price.

    Not modelled: control, routing, leakage. Memory traffic follows from the same integers.
    """

    version: Literal[1] = 1
    kind: Kind
    time_steps: int = Field(ge=1)
    n_samples: int = Field(ge=1, lt=2**31)
    layers: Row[LayerCounts]

    @model_validator(mode="after")
    def _counted_at_each_step(self) -> Counts:
        for layer in self.layers:
            for name in PER_STEP:
                counted = getattr(layer, name)
                if len(counted) not in (0, self.time_steps):
                    expected = f"{self.time_steps}, one entry a step"
                    raise Misfit(field=f"the length of {name} of {layer.name}", value=len(counted), expected=expected)
                if (out := next((n for n in counted if not 0 <= n < 2**63), None)) is not None:
                    raise Misfit(field=f"{name} of {layer.name}", value=out, expected="at least 0, and below 2^63")
        return self


class Summary(Frozen):
    """`summary.json`: the figures of one run, with what they rest on.

    acs, macs and energy_pj are per inference, in `mode` at `profile`; every other mode and profile
    follows from counts.json without a rerun.
    """

    accuracy: float = Field(ge=0, le=1, description="top-1 on the test set")
    f1_macro: float = Field(ge=0, le=1)
    params: int
    acs: float
    macs: float
    energy_pj: float
    mode: str
    profile: str
    firing_rate: float | None = Field(description="spikes / (neurons x T) on the test set; None for a CNN")
    seed: int
    dataset: str
    dataset_complete: bool = Field(description="False where the data set on disk was a subset of the published one")
    kind: Kind
    backbone: str
    mask: tuple[str, ...]
    recipe: str
    time_steps: int
    n_train: int = Field(description="training images used in each epoch")
    n_train_available: int = Field(description="training images there before train_limit")
    n_validation: int
    n_test: int
    best_epoch: int
    best_validation_accuracy: float
    epochs_run: int
    train_wall_s: float
    train_images_per_s: float
    evaluate_wall_s: float
    device: str
    config_hash: str
    data_digest: str | None = Field(
        default=None,
        pattern=r"^([0-9a-f]{64})?$",
        description="which images the data set's name stood for: of a set of one's own, and of a part of a published "
        "one; empty for a whole published one, null in a run from before it was noted",
    )


class Environment(Frozen):
    """`GET /runs/{id}/environment`: what the numbers were made with; the names are those of `environment.json`."""

    noted: dict[str, Any]


# Events: what a trainer prints, one JSON object a line, and the API passes on.

#: Which network trains: the run's own, or the CNN twin that it learns from and that is trained first.
Part = Literal["run", "teacher"]


class Started(Frozen):
    type: Literal["started"] = "started"
    device: str
    n_train: int
    n_validation: int
    n_test: int
    steps_per_epoch: int
    max_epochs: int
    resumed_epoch: int | None = None
    resumed_step: int | None = None
    part: Part = "run"


class Progress(Frozen):
    """At most four a second."""

    type: Literal["progress"] = "progress"
    phase: Literal["training", "validating", "testing"] = "training"
    epoch: int = Field(description="from 1")
    max_epochs: int
    step: int = Field(description="steps done in this phase")
    steps: int = Field(description="steps of this phase")
    loss: Real | None = None
    images_per_s: float | None = None
    eta_s: float | None = Field(default=None, description="to the end of this part, if it uses all its epochs")
    part: Part = "run"


class EpochDone(Frozen):
    type: Literal["epoch"] = "epoch"
    epoch: int
    lr: float
    train_loss: Real
    train_accuracy: float
    validation_loss: Real
    validation_accuracy: float
    firing_rate: float | None
    wall_s: float
    is_best: bool
    part: Part = "run"


class Finished(Frozen):
    type: Literal["finished"] = "finished"
    summary: Summary


class Failed(Frozen):
    type: Literal["failed"] = "failed"
    code: str
    message: str
    fields: dict[str, Any] = Field(default_factory=dict)


Event = Annotated[Started | Progress | EpochDone | Finished | Failed, Field(discriminator="type")]
EVENTS: TypeAdapter[Event] = TypeAdapter(Event)
