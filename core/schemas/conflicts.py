"""Values of a config that are each allowed and cannot stand together: what is at fault, and what would be right.

What only a spiking network has is not looked at in a CNN's config, which ignores it.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise
from typing import TYPE_CHECKING, Any, NamedTuple

from pydantic_core import PydanticCustomError

from core.schemas.compression import MOST_BITS
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
        yield from _of_candidates(config)
        if config.search.is_on:
            yield from _of_search(config)
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


def _of_candidates(config: RunConfig) -> Iterator[Conflict]:
    found = config.search.candidates
    if not all(1 <= bits <= MOST_BITS for bits in found) or any(b <= a for a, b in pairwise(found)):
        yield Conflict(
            "search.candidates",
            ",".join(map(str, found)),
            f"rising numbers of bits from 1 to {MOST_BITS}, such as 1,2,4",
        )


def _of_search(config: RunConfig) -> Iterator[Conflict]:
    search, training = config.search, config.training
    if config.neuron.model == "count":
        yield Conflict("neuron.model", "count", "lif, plif or if in a search, which weighs the answers of single steps")
    if config.start == "converted":
        yield Conflict("start", "converted", "random or bundle in a search, which trains its weights")
    if training.stages:
        yield Conflict("training.stages", ",".join(map(str, training.stages)), "none in a search")
    if training.loss != "mean":
        yield Conflict("training.loss", training.loss, "mean in a search, whose loss is of mean outputs")
    if training.max_epochs < 1:
        yield Conflict("training.max_epochs", training.max_epochs, "at least 1 in a search")
    if training.select != "last":
        yield Conflict("training.select", training.select, "last in a search: what is found is where it ends")
    if training.patience is not None:
        yield Conflict("training.patience", training.patience, "null in a search, which takes all its epochs")
    if search.steps and config.time_steps < 2:
        yield Conflict("time_steps", config.time_steps, "at least 2 where time steps are searched")
    if search.bits:
        if len(search.candidates) < 2:
            yield Conflict("search.candidates", ",".join(map(str, search.candidates)), "at least two, to choose from")
        if config.compression.block_bits:
            yield Conflict("compression.block_bits", config.compression.block_bits, "empty where they are searched")
    elif search.size_kb is not None:
        yield Conflict("search.size_kb", search.size_kb, "null unless bits are searched: nothing else changes a size")
    if search.cell:
        if config.backbone != "litesnn":
            yield Conflict(
                "search.what", "cell", f"bits, steps or bits+steps: cells are litesnn's, not {config.backbone}'s"
            )
        if config.architecture.cell is not None:
            yield Conflict("architecture.cell", config.architecture.cell, "null where the cell is searched")
        if search.bit_synops_m is not None:
            yield Conflict("search.bit_synops_m", search.bit_synops_m, "null where the cell is searched")
