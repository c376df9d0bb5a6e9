"""What a person asks for: a run to launch or to preview."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import Field, StringConstraints

from core.schemas.base import Frozen, Spoken, Whole
from core.schemas.run import Kind
from core.schemas.workers import Device

LEAST_PRIORITY, MOST_PRIORITY = -10, 10
Priority = Annotated[
    Spoken, Field(ge=LEAST_PRIORITY, le=MOST_PRIORITY, description="-10 to 10; the higher, the sooner")
]
#: A word that gathers runs, as a folder does: without control characters.
Project = Annotated[
    str, StringConstraints(strip_whitespace=True, min_length=1, max_length=64, pattern=r"^[^\x00-\x1f\x7f-\x9f]+$")
]
#: Of a request, beside what becomes the config: when, where and for what it is trained. None of it changes a result.
QUEUEING = ("priority", "device", "project")


def told(request: Frozen) -> dict[str, Any]:
    """What a request asks for, as JSON values. What queues it is left out where it is as it was before there was any."""
    content = request.model_dump(mode="json")
    for name in QUEUEING:
        if not content.get(name):
            content.pop(name, None)
    return content


class RunRequest(Frozen):
    """Body of `POST /runs` and `POST /preview`: a recipe and what to change in it."""

    backbone: str = "squeezenet"
    definition: str = Field(default="small", description="one of the backbone's: GET /catalog lists them")
    kind: Kind = Kind.SNN
    mask: str | list[str] = Field(default="Full", description="kept blocks, as a list, as 'F4,F6', or a mask's name")
    dataset: str = "digits"
    recipe: str = "smoke"
    seed: Spoken = Field(default=0, ge=0, le=2**31 - 1)
    overrides: dict[str, str | int | float | bool | None] = Field(
        default_factory=dict,
        description="dotted config fields, such as {'training.max_epochs': 3, 'architecture.stem_width': 64}",
    )
    priority: Priority = 0
    device: Device | None = Field(default=None, description="train on this alone; null: where a worker is free")
    project: Project | None = Field(default=None, description="the project that the run belongs to")


class ForkRequest(Frozen):
    """Body of `POST /runs/{id}/fork`: what to change in an existing run's config.

    With `recipe` the neuron and training settings are that recipe's; without it they are the run's own. The network keeps
    its definition and options. `overrides` come last.
    """

    overrides: dict[str, str | int | float | bool | None] = Field(default_factory=dict)
    seed: Annotated[Whole, Field(ge=0, le=2**31 - 1)] | None = None
    kind: Kind | None = None
    mask: str | list[str] | None = None
    recipe: str | None = None
    priority: Priority = 0
    device: Device | None = Field(default=None, description="train on this alone; null: where a worker is free")
    project: Project | None = Field(default=None, description="the project that the run belongs to")
