"""Values of a config that are each allowed and cannot stand together: what is at fault, and what would be right.

What only a spiking network has is not looked at in a CNN's config, which ignores it.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise
from typing import TYPE_CHECKING, Any, NamedTuple

from pydantic_core import PydanticCustomError

from core.schemas.stages import epochs_of
from core.showing import shown

if TYPE_CHECKING:
    from core.schemas.run import RunConfig, TrainingConfig

CONFLICT = "conflict"  # the type of the pydantic error


class Conflict(NamedTuple):
    """One refusal; `expected` follows "it must be ..."."""

    field: str
    value: Any
    expected: str

    def error(self) -> PydanticCustomError:
        """As pydantic reports it; `core.schemas.wording` and `core.recipes.build.translate` know its parts."""
        return PydanticCustomError(
            CONFLICT,
            "{field} is {shown}; it must be {expected}",
            {"field": self.field, "shown": shown(self.value), "value": self.value, "expected": self.expected},
        )


def conflicts(config: RunConfig) -> Iterator[Conflict]:
    """Every conflict in `config`, the ones that concern both kinds of network first."""
    yield from _of_training(config.training)
    spiking = config.kind == "snn"
    if spiking and config.start == "converted" and config.compression.is_on:
        yield Conflict(
            "start",
            "converted",
            "random or bundle where weights are compressed: balanced thresholds scale each channel, and few bits have no "
            "room for that",
        )
    if config.training.max_epochs == 0:
        converted = spiking and config.start == "converted" and config.training.teacher_epochs
        if not converted and config.start != "bundle":
            yield Conflict(
                "training.max_epochs",
                0,
                "at least 1, unless start is bundle, or start is converted and training.teacher_epochs says how long "
                "the CNN twin trains",
            )
    if config.start == "bundle" and config.start_bundle is None:
        yield Conflict("start_bundle", None, "the SHA-256 of a finished run's weights where start is bundle")
    if config.start != "bundle" and config.start_bundle is not None:
        yield Conflict("start", config.start, "bundle where start_bundle names the weights")
    if spiking:
        yield from _of_spikes(config.training)
        yield from _of_teaching(config)
        if config.training.stages:
            yield from _of_stages(config)


def _of_training(training: TrainingConfig) -> Iterator[Conflict]:
    steps = training.milestones
    if any(b <= a for a, b in pairwise(steps)) or any(s < 1 for s in steps):
        yield Conflict("training.milestones", ",".join(map(str, steps)), "rising epochs from 1 on")
    if training.precision == "mixed" and training.gradient_aware:
        yield Conflict("training.precision", "mixed", "float32 where training.gradient_aware is not 0")
    if training.optimizer == "sgd" and training.nesterov and training.momentum == 0:
        yield Conflict("training.nesterov", True, "false where training.momentum is 0: nothing leads ahead")
    if training.select == "ema" and training.ema == 0:
        yield Conflict("training.ema", 0.0, "above 0 where training.select is ema, such as 0.998")
    if training.ema > 0 and training.select != "ema":
        yield Conflict(
            "training.select", training.select, "ema where training.ema is not 0: no other choice keeps the average"
        )

    low, high = training.ac_ramp
    if not 0 <= low <= high <= 1:
        yield Conflict("training.ac_ramp", f"{low:g},{high:g}", "two rising shares of the training, from 0 to 1")


def _of_spikes(training: TrainingConfig) -> Iterator[Conflict]:
    if training.ac_penalty > 0 and training.ac_target is None:
        yield Conflict(
            "training.ac_target", None, "a number of accumulates per image where training.ac_penalty is not 0"
        )


def _of_teaching(config: RunConfig) -> Iterator[Conflict]:
    training = config.training
    if training.teacher is None:
        return
    if training.distillation == 0:
        yield Conflict("training.distillation", 0.0, "above 0 where training.teacher names one")
    if config.start == "converted":
        yield Conflict("training.teacher", training.teacher, "null where start is converted: its own CNN teaches it")


def _of_stages(config: RunConfig) -> Iterator[Conflict]:
    training = config.training
    shown = ",".join(map(str, training.stages))
    if training.stages[-1].time_steps != config.time_steps:
        yield Conflict(
            "training.stages", shown, f"stages of which the last has the run's time_steps, {config.time_steps}"
        )
    if training.patience is not None:
        yield Conflict("training.patience", training.patience, "null with training.stages, whose lengths are fixed")
    epochs = epochs_of(training.stages, training.max_epochs)
    if min(epochs) < 1:
        yield Conflict("training.stages", shown, f"shares that leave each at least 1 of {training.max_epochs} epochs")
    elif training.warmup_epochs > min(epochs):
        yield Conflict(
            "training.warmup_epochs", training.warmup_epochs, f"at most the epochs of the shortest stage, {min(epochs)}"
        )
