"""What there is to choose from: data sets, backbones, recipes, profiles, modes."""

from __future__ import annotations

from pydantic import Field

from core.schemas.base import Frozen
from core.schemas.prices import Profile
from core.schemas.runs import OptionInfo


class DatasetInfo(Frozen):
    name: str
    title: str
    n_classes: int
    image_shape: tuple[int, int, int] = Field(description="C, H, W")
    ready: bool
    complete: bool | None = Field(description="None while it is not there")
    n_train: int | None
    n_test: int | None
    note: str | None
    fetchable: bool = Field(default=False, description="whether its authors offer it at an address")
    trainable: bool = Field(default=True, description="false where networks can only be counted")
    citation: str
    licence: str
    workers: list[str] = Field(default_factory=list, description="workers that live and have it")


class DefinitionInfo(Frozen):
    """One definition of a backbone; its blocks and masks as it stands, with no option chosen."""

    name: str
    blocks: tuple[str, ...]
    masks: dict[str, tuple[str, ...]]
    options: list[OptionInfo]


class BackboneInfo(Frozen):
    """`blocks` and `masks` are those of the definition `small`."""

    name: str
    title: str
    blocks: tuple[str, ...]
    masks: dict[str, tuple[str, ...]]
    source: str
    definitions: list[DefinitionInfo] = Field(default_factory=list)


class RecipeInfo(Frozen):
    name: str
    title: str
    description: str
    expected_minutes: int = Field(
        description="of SqueezeNet-P, spiking, on CIFAR-10 on two cores: all epochs, a teacher's too"
    )


class ModeInfo(Frozen):
    name: str
    title: str
    description: str


class Catalog(Frozen):
    version: str
    backbones: list[BackboneInfo]
    datasets: list[DatasetInfo]
    recipes: list[RecipeInfo]
    profiles: list[Profile]
    modes: list[ModeInfo]
    default_mode: str
    default_profile: str
    former_datasets: list[str] = Field(
        default_factory=list, description="data sets of runs that were taken away: looked at, but no longer trained on"
    )

    @property
    def plotted(self) -> dict[str, str]:
        """Data set -> title, of all that runs can be looked at by."""
        return {info.name: info.title for info in self.datasets} | {name: name for name in self.former_datasets}
