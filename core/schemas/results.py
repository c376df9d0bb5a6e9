"""What a run leaves behind: integer counts, the summary, the events on the way."""

from __future__ import annotations

import json
from typing import Annotated, Any, Literal, Self

from pydantic import Field, TypeAdapter, model_validator

from core.errors import SpikefrontError
from core.schemas.base import Column, Count, Finite, Frozen, Real, Row
from core.schemas.conflicts import Conflict
from core.schemas.run import Kind
from core.schemas.search import SearchEpoch
from core.schemas.shapes import require_shape
from core.showing import printable


class Metrics(Frozen):
    """Epoch by epoch, as columns of equal length; `wall_s` may be empty, where it is kept to oneself."""

    epoch: Column[int]
    lr: Column[Finite]
    train_loss: Column[Real]
    train_accuracy: Column[Finite]
    validation_loss: Column[Real | None] = Field(description="None for an epoch that was not validated")
    validation_accuracy: Column[Finite | None]
    firing_rate: Column[Finite | None]
    wall_s: Column[Finite]

    @model_validator(mode="after")
    def _of_equal_length(self) -> Metrics:
        for name in type(self).model_fields:
            column = getattr(self, name)
            if column or name != "wall_s":
                require_shape(name, column, len(self.epoch))
        return self

    def epochs(self) -> list[EpochDone]:
        """The events of these epochs, in order; of times that were kept to oneself 0."""
        columns = self.model_dump()
        columns["wall_s"] = columns["wall_s"] or [0.0] * len(self.epoch)
        best, events = -1.0, []
        for values in zip(*columns.values(), strict=True):
            row = dict(zip(columns, values, strict=True))
            accuracy = row["validation_accuracy"]  # None between validations
            events.append(EpochDone(**row, is_best=accuracy is not None and accuracy > best))
            best = best if accuracy is None else max(best, accuracy)
        return events


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
    layer's input is spikes (every element 0 or 1), else MAC. Layers without weights have ac = mac = 0. `dense_ops`
    are those of all weights, pruned or not.
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
    one_output: bool = Field(
        default=False, description="layer-synchronous: gives one output for all T steps, with its bias added once"
    )
    kept_params: Count | None = Field(
        default=None, description="weights that are not pruned, the bias apart; null: all. Pruned ones cost nothing"
    )
    weight_bits: int | None = Field(default=None, ge=1, le=8, description="of a quantised weight; null: float32")
    input_bits: int | None = Field(
        default=None, ge=1, le=8, description="of quantised weights' input where it is whole numbers: 8 for pixels"
    )
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
    layer_synchronous: bool = Field(
        default=False, description="each layer waited for all T steps of its input, so no layer stops before the last"
    )
    layers: Row[LayerCounts]

    @model_validator(mode="after")
    def _counted_at_each_step(self) -> Counts:
        for layer in self.layers:
            for name in PER_STEP:
                field, counted = f"{name} of {layer.name}", getattr(layer, name)
                if counted:
                    require_shape(field, counted, self.time_steps)
                if (out := next((n for n in counted if not 0 <= n < 2**63), None)) is not None:
                    raise Conflict(field, out, "at least 0, and below 2^63").error()
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
    layer_synchronous: bool = Field(default=False, description="each layer waits for all T steps of its input")
    n_train: int = Field(description="training images used in each epoch")
    n_train_available: int = Field(description="training images there before train_limit")
    n_validation: int
    n_test: int
    best_epoch: int = Field(description="whose weights were kept: by training.select the best or the last")
    best_validation_accuracy: float = Field(description="of those weights")
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


class Ready(Frozen):
    """The first line of a process that has the engine loaded and waits for its work."""

    type: Literal["ready"] = "ready"


#: Which network trains: the run's own, or the CNN twin that it learns from and that is trained first.
Part = Literal["run", "teacher"]


#: What a trainer is at. averaging: statistics of averaged weights; probing: the neurons after an epoch; testing: the test set,
#: with everything counted; measuring: its figures, and the bundle written; recounting: a few images by another counter.
Phase = Literal["training", "averaging", "validating", "probing", "testing", "measuring", "recounting"]


class RunProgress(Frozen):
    """How far a run is: the newest that is known."""

    phase: Phase | Literal["waiting", "starting", "done"]
    epoch: int = Field(default=0, description="from 1")
    max_epochs: int = 0
    step: int = Field(default=0, description="steps done in this phase")
    steps: int = Field(default=0, description="steps of this phase")
    loss: Real | None = None
    images_per_s: float | None = None
    eta_s: float | None = Field(default=None, description="to the end of this part, if it uses all its epochs")
    share: float | None = Field(default=None, ge=0, le=1, description="of this part's time, that lies behind")
    part: Part = "run"


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

    @property
    def progress(self) -> RunProgress:
        """Where it starts, or goes on."""
        return RunProgress(
            phase="training",
            epoch=self.resumed_epoch or 1,
            max_epochs=self.max_epochs,
            step=self.resumed_step or 0,
            steps=self.steps_per_epoch,
            part=self.part,
        )


class Progress(RunProgress):
    """At most four a second."""

    type: Literal["progress"] = "progress"
    phase: Phase = "training"

    @property
    def progress(self) -> RunProgress:
        return RunProgress.model_validate(self.model_dump(exclude={"type"}))


class EpochDone(Frozen):
    type: Literal["epoch"] = "epoch"
    epoch: int
    lr: float
    train_loss: Real
    train_accuracy: float
    validation_loss: Real | None = Field(description="None for an epoch that was not validated")
    validation_accuracy: float | None
    firing_rate: float | None
    wall_s: float
    is_best: bool
    part: Part = "run"
    search: SearchEpoch | None = Field(default=None, description="where a search stood")


class Finished(Frozen):
    type: Literal["finished"] = "finished"
    summary: Summary


class RunError(Frozen):
    """Why a run came to no result, in the words of a domain error."""

    code: str
    message: str
    fields: dict[str, Any] = Field(default_factory=dict)

    @classmethod
    def of(cls, error: SpikefrontError) -> Self:
        """An error as it can travel: a path may hold halves of characters, which no JSON has."""
        fields = json.dumps(error.fields, default=str, ensure_ascii=False).encode(errors="replace")
        return cls(code=error.code, message=printable(error.message), fields=json.loads(fields))


class Failed(RunError):
    type: Literal["failed"] = "failed"

    @property
    def error(self) -> RunError:
        return RunError(code=self.code, message=self.message, fields=self.fields)


Event = Annotated[Ready | Started | Progress | EpochDone | Finished | Failed, Field(discriminator="type")]
EVENTS: TypeAdapter[Event] = TypeAdapter(Event)
