"""What one may choose in a backbone beside its mask."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from core.schemas.base import Frozen


class ArchitectureConfig(Frozen):
    """Options of a backbone's definition; null: as the definition has it.

    Which definition has which options, and what each is there, says the backbone (`core.backbones.catalog`); one that
    it has not is refused. The spiking network and its CNN twin have the same.
    """

    stem_width: int | None = Field(default=None, ge=1, le=1024, description="channels of the first convolution")
    stem_stride: int | None = Field(
        default=None, ge=1, le=2, description="of the first convolution; 2 stands in place of the pool behind it"
    )
    width_multiplier: float | None = Field(
        default=None, gt=0.0, le=4.0, description="times the channels of every block, rounded as the backbone says"
    )
    share_3x3: float | None = Field(
        default=None, gt=0.0, lt=1.0, description="of a Fire module's expand channels; the others are 1x1"
    )
    bypass: Literal["none", "simple"] | None = Field(
        default=None,
        description="simple: what arrives at a Fire module is added to the current of its expand neurons, where it "
        "has as many channels",
    )
    classifier: Literal["plain", "neuron"] | None = Field(
        default=None,
        description="neuron: a neuron (in the CNN a ReLU) behind the classifier's convolution, in litesnn before it",
    )
    cell: str | None = Field(
        default=None,
        min_length=1,
        max_length=40,
        description="the wiring of every cell: a name, or edges such as 0,1|3,4|6,7",
    )
    filters: int | None = Field(default=None, ge=1, le=1024, description="channels of a node of the first cells")
    depth: int | None = Field(default=None, ge=1, le=1000, description="layers with weights, as in the network's name")


#: Every option as the definition has it.
AS_DEFINED = ArchitectureConfig()
