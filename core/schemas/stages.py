"""Training in stages as one run: each with a T and a schedule of its own over its share of the epochs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate, pairwise
from typing import TYPE_CHECKING, Any

from pydantic import Field, model_validator
from pydantic_core import PydanticCustomError

from core.schemas.base import Frozen

if TYPE_CHECKING:
    from core.schemas.run import RunConfig, TrainingConfig


MOST_STEPS = 64  # T of a run, or of a stage


class Stage(Frozen):
    """One stage. As text `T:share` or `T:share:lr_factor`, such as `2:0.25:0.3`."""

    time_steps: int = Field(ge=1, le=MOST_STEPS)
    share: float = Field(gt=0.0, le=1e6, description="of the epochs, relative to the sum over all stages")
    lr_factor: float = Field(default=1.0, gt=0.0, le=100.0, description="of training.lr")

    @model_validator(mode="before")
    @classmethod
    def _from_text(cls, value: Any) -> Any:
        if not isinstance(value, str):
            return value
        parts = value.split(":")
        if len(parts) not in (2, 3):
            raise PydanticCustomError("stage", "T:share or T:share:lr_factor, such as 2:0.25:0.3")
        return dict(zip(("time_steps", "share", "lr_factor"), parts, strict=False))

    def __str__(self) -> str:
        return f"{self.time_steps}:{self.share!r}:{self.lr_factor!r}"


@dataclass(frozen=True, kw_only=True)
class Phase:
    """Some epochs in a row under one schedule; a run without stages has one."""

    first: int  # its first epoch, from 1
    time_steps: int
    training: TrainingConfig  # as of a run of its own: max_epochs and lr are the phase's

    def local(self, epoch: int) -> int:
        """The epoch of the run as one of the phase, from 1."""
        return epoch - self.first + 1


def epochs_of(stages: Sequence[Stage], max_epochs: int) -> tuple[int, ...]:
    """The epochs of each stage: together `max_epochs`, each end rounded to a whole epoch."""
    total = sum(stage.share for stage in stages)
    ends = [round(max_epochs * done / total) for done in accumulate(stage.share for stage in stages)]
    return tuple(b - a for a, b in pairwise([0, *ends]))


def fitted(stages: Sequence[Stage], training: TrainingConfig, time_steps: int) -> tuple[Stage, ...]:
    """`stages` for a run that ends at `time_steps` and trains as `training` says; none where they do not fit.

    Stages below the run's T stay, the others become one at that T. A patience leaves no lengths to share out, and
    each stage has to have room for a warm-up.
    """
    rising = [stage for stage in stages if stage.time_steps < time_steps]
    rest = stages[len(rising) :] or [rising.pop()]
    end = {"time_steps": time_steps, "share": sum(stage.share for stage in rest)}
    made = (*rising, rest[0].model_copy(update=end))
    shortest = min(epochs_of(made, training.max_epochs))
    fits = len(made) > 1 and training.patience is None and shortest >= max(1, training.warmup_epochs)
    return made if fits else ()


def phases(config: RunConfig) -> tuple[Phase, ...]:
    """The phases of a run in their order. A CNN has no time, and so no stages."""
    training = config.training
    if config.kind != "snn" or not training.stages:
        return (Phase(first=1, time_steps=config.steps, training=training),)
    found, first = [], 1
    for stage, epochs in zip(training.stages, epochs_of(training.stages, training.max_epochs), strict=True):
        own = training.model_copy(update={"max_epochs": epochs, "lr": training.lr * stage.lr_factor, "stages": ()})
        found.append(Phase(first=first, time_steps=stage.time_steps, training=own))
        first += epochs
    return tuple(found)
