"""What a person asks for: a run to launch or to preview."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from core.schemas.base import Frozen, Spoken, Whole
from core.schemas.run import Kind


class RunRequest(Frozen):
    """Body of `POST /runs` and `POST /preview`: a recipe and what to change in it."""

    backbone: str = "squeezenet"
    definition: str = "small"
    kind: Kind = Kind.SNN
    mask: str | list[str] = Field(default="Full", description="kept blocks, as a list, as 'F4,F6', or a mask's name")
    dataset: str = "digits"
    recipe: str = "smoke"
    seed: Spoken = Field(default=0, ge=0, le=2**31 - 1)
    overrides: dict[str, str | int | float | bool | None] = Field(
        default_factory=dict, description="dotted config fields, such as {'training.max_epochs': 3, 'neuron.tau': 1.5}"
    )


class ForkRequest(Frozen):
    """Body of `POST /runs/{id}/fork`: what to change in an existing run's config.

    With `recipe` the neuron and training settings are that recipe's; without it they are the run's own.
    `overrides` come last.
    """

    overrides: dict[str, str | int | float | bool | None] = Field(default_factory=dict)
    seed: Annotated[Whole, Field(ge=0, le=2**31 - 1)] | None = None
    kind: Kind | None = None
    mask: str | list[str] | None = None
    recipe: str | None = None
