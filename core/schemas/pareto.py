"""Many runs as points of accuracy against energy."""

from __future__ import annotations

from datetime import datetime
from typing import Any, Literal

from pydantic import Field, model_validator

from core.schemas.base import Frozen, Switch
from core.schemas.named import Named
from core.schemas.prices import Factors
from core.schemas.run import Kind

#: The tag of runs that came with the product: finds them on Runs and Explore alike.
GALLERY_TAG = "gallery"
#: What a plot of many runs can lay along its axes, and by what it can tell its marks apart (`core.report.charts.axes`).
XAxis = Literal[
    "energy", "synops", "bit_synops", "spikes", "params", "model_bytes", "kept_bytes", "bitmap_bytes", "entropy_bytes", "steps"
]  # fmt: skip
YAxis = Literal["accuracy", "f1_macro"]
Grouping = Literal["family", "backbone", "kind", "dataset", "sweep", "mask", "recipe"]


class View(Frozen):
    """How many runs are looked at, and which of them."""

    x: XAxis = "energy"
    y: YAxis = "accuracy"
    x_log: Switch = True
    colour: Grouping = "family"
    shape: Grouping = "kind"
    seeds: Switch = Field(default=False, description="runs that differ in their seed alone as one mark, at their mean")
    sure: Switch = Field(default=False, description="size and opacity: the probability of being on the front")

    kind: Kind | None = Field(default=None, description="only these networks")
    backbone: str | None = Field(default=None, max_length=64, description="only this one")
    recipe: str | None = Field(default=None, max_length=64, description="only this one")
    tag: str | None = Field(default=None, max_length=40, description="only runs that have it")
    mask: str | None = Field(default=None, max_length=512, description="a mask's name, or kept blocks with commas")
    hidden: tuple[str, ...] = Field(
        default=(), max_length=40, description="names of the legend whose marks are not drawn; the front stays"
    )

    def lets(self, point: ParetoPoint) -> bool:
        """Whether a run is among those that are looked at."""
        return (
            (self.kind is None or point.kind == self.kind)
            and (self.backbone is None or point.backbone == self.backbone)
            and (self.recipe is None or point.recipe == self.recipe)
            and (self.tag is None or self.tag in point.tags)
            and (self.mask is None or self.mask in (point.mask_name, ",".join(point.mask)))
        )

    @property
    def narrowed(self) -> bool:
        """Whether some runs may be left out."""
        return any(one is not None for one in (self.kind, self.backbone, self.recipe, self.tag, self.mask))

    @model_validator(mode="after")
    def _sure_of_this_front(self) -> View:
        if self.sure and (self.x, self.y) != ("energy", "accuracy"):
            raise ValueError("sure must be false unless x is energy and y is accuracy: it is about that front")
        return self


class ParetoPoint(Named):
    run_id: str
    backbone: str
    kind: Kind
    mask: tuple[str, ...]
    mask_name: str | None
    dataset: str
    recipe: str
    seed: int
    accuracy: float
    f1_macro: float
    params: int
    acs: float
    macs: float
    energy_pj: float
    firing_rate: float | None
    time_steps: int
    n_train: int
    n_test: int
    dataset_complete: bool
    on_front: bool
    finished_at: datetime
    sweep_ids: list[str] = Field(default_factory=list)
    tags: list[str] = Field(default_factory=list)
    model_bytes: int | None = Field(default=None, description="weights in float32: 4 bytes a parameter")
    kept_bytes: int | None = Field(
        default=None, description="all parameters, of convolutions' weights the bits of the kept ones alone"
    )
    bitmap_bytes: int | None = Field(default=None, description="the same and a bit for each weight's place")
    entropy_bytes: int | None = Field(default=None, description="the same with the places at the entropy bound")
    bit_synops: float | None = Field(
        default=None, description="synaptic operations x bits of their weights, 32 for float32, per inference"
    )
    spikes: float | None = Field(default=None, description="of all neurons, per inference; null for a CNN")
    other: dict[str, float] = Field(
        default_factory=dict, description="operations beside ACs and MACs, per inference: memory accesses and addresses"
    )
    repeat: str = Field(default="", description="equal for runs that differ in nothing but their seed")
    twin: str = Field(default="", description="equal for a spiking run and its CNN twin")
    archived: bool = False
    imported: bool = Field(default=False, description="brought in; its time is that of its arrival")

    def at(self, energy_pj: float) -> ParetoPoint:
        """The same run at other prices: `model_copy(update=...)` of one field, in a fifth of its time.

        Ten thousand of them are made each time that a price moves.
        """
        other = object.__new__(ParetoPoint)
        object.__setattr__(other, "__dict__", {**self.__dict__, "energy_pj": energy_pj})
        for name in ("__pydantic_fields_set__", "__pydantic_extra__", "__pydantic_private__"):
            object.__setattr__(other, name, getattr(self, name))
        return other

    @property
    def origin(self) -> str:
        """Where its figures come from, for a table's column "From"."""
        if not self.imported:
            return "own run"
        return "gallery" if GALLERY_TAG in self.tags else "imported"


class PublishedPoint(Frozen):
    """A printed row of `source`, in its `table`. What its energy is says `energy_is`; what was not printed is None."""

    model: str
    kind: Kind
    table: str
    accuracy: float
    f1_macro: float | None
    params: int | None
    acs: float | None
    macs: float | None
    energy_pj: float
    source: str = "Kabir et al., arXiv:2602.09717"
    energy_is: str = "of one time step, at the paper's own prices"
    model_bytes: int | None = None

    @property
    def is_of_the_paper(self) -> bool:
        """Of Kabir et al., whose tables the audit looks at."""
        return self.source.startswith("Kabir")

    @property
    def named(self) -> str:
        """With its kind before it, as runs are named: Kabir et al. print a network's SNN and CNN under one name."""
        return f"{self.kind.value.upper()}-{self.model}"


class Pareto(Factors):
    dataset: str
    mode: str
    profile: str
    points: list[ParetoPoint]
    front: list[str] = Field(description="run ids on the front, cheapest first")
    published: list[PublishedPoint]
    steps: int | None = Field(default=None, description="every run stopped after so many steps; null: after all its T")
    at_most_pj: float | None = Field(
        default=None, description="every run stopped where it is most accurate at no more energy than this"
    )
    missing: int = Field(
        default=0, description="runs left out: their figures at these steps are not known, or they always cost more"
    )
    exchanged: int = Field(default=0, description="runs left out since the data set's name stands for other images now")


class ParetoColumns(Factors):
    """The same plot with its points as columns of equal length, one a field of ParetoPoint: smaller for many runs."""

    dataset: str
    mode: str
    profile: str
    n: int
    columns: dict[str, list[Any]]
    front: list[str]
    published: list[PublishedPoint]
    steps: int | None = None
    at_most_pj: float | None = None
    missing: int = 0
    exchanged: int = 0
