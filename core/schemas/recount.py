"""A run counted again by a tool of others: `recount.json` of a bundle, and what a share says of it."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from core.schemas.base import Count, Frozen

#: Tools that count a network again, by the name on the command line.
CounterName = Literal["spikingjelly", "syops", "neurobench"]


Sum = Count | Annotated[float, Field(ge=0, allow_inf_nan=False)]


class Operations(Frozen):
    """Sums over the recounted images and all their steps; whole numbers but for syops, which multiplies by rates."""

    acs: Sum = 0
    macs: Sum = 0


class Spikes(Frozen):
    """Output spikes of a neuron layer: what our network sends and what the rebuilt one does."""

    ours: Count
    theirs: Count


class RecountedLayer(Frozen):
    """One layer. `ours` and `theirs` are the same quantity, so they must be equal; null where the tool has no rule.

    `exact` may differ from them, and `reason` says why.
    """

    name: str
    kind: str = Field(description="as in counts.json")
    exact: Operations = Field(description="what the mode exact charges for these images")
    ours: Operations | None = Field(description="what the tool must find by its rules, from our network's values")
    theirs: Operations | None = Field(description="what it found")
    spikes: Spikes | None = Field(default=None, description="of a neuron layer")
    reason: str = Field(default="", description="why theirs is not what exact charges")
    equal: bool = Field(description="ours and theirs, spikes too")


class Stored(Frozen):
    """What the bundle holds of the same images, as the run counted them, beside our network in float64 now.

    Near a threshold float32 rounds a spike away or into being, so the two need not be equal to the unit.
    """

    answers_equal: Count = Field(description="stored answers that the rebuilt network gives too")
    operations_difference: float = Field(
        ge=0, allow_inf_nan=False, description="sum over layers of the differences, as a share of all"
    )
    spikes_difference: float = Field(ge=0, allow_inf_nan=False)
    within: bool = Field(description="no more than rounding")


class Recount(Frozen):
    """A run's network rebuilt in SpikingJelly's layers, with the run's weights, on `n_images` of its test images.

    A recount that failed has `failure`, and no images and layers.
    """

    version: Literal[1] = 1
    counter: CounterName
    counter_version: str = Field(pattern=r"^[0-9A-Za-z.+-]{0,40}$", description="empty where it could not be loaded")
    failure: str | None = None
    n_images: int = Field(default=0, ge=0)
    time_steps: int = Field(default=1, ge=1)
    answers_equal: int = Field(default=0, ge=0, description="images that the rebuilt network answers as ours does")
    stored: Stored | None = None
    layers: tuple[RecountedLayer, ...] = ()
    not_known: tuple[str, ...] = Field(default=(), description="what the tool does not know, in sentences")

    @property
    def operations_equal(self) -> bool:
        return all(layer.equal for layer in self.layers)

    @property
    def equal(self) -> bool:
        """Nothing differs that should not."""
        return (
            self.failure is None
            and self.answers_equal == self.n_images
            and self.operations_equal
            and (self.stored is None or self.stored.within)
        )


class SharedRecount(Frozen):
    """A recount as a share shows it. In a double-blind one, version and numbers of images are null."""

    counter: CounterName
    counter_version: str | None
    recounted_images: int | None
    recounted_equal: int | None = Field(description="of their answers, those that are equal")
    equal: bool
    faults: list[str] = Field(description="what differs, in sentences")
