"""What a run searches for beside its weights, and what it has found: `search.json` of a bundle."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, model_validator

from core.schemas.base import Column, Finite, Frozen, Real
from core.schemas.compression import MOST_BITS
from core.schemas.conflicts import Conflict
from core.schemas.shapes import require_shape

What = Literal["nothing", "bits", "steps", "bits+steps", "cell"]
#: Decoded costs up to this share of a budget count as met.
MEETS = 1.05


class SearchConfig(Frozen):
    """Bits of each block, time steps, or the wiring of a cell, found by gradients while the weights train.

    After LitE-SNN (Liu et al., IJCAI 2024, arXiv:2401.14652); equations and what differs: `core.engine.searching`. T is
    searched from 1 to the config's `time_steps`. A CNN searches nothing.
    """

    what: What = Field(default="nothing", description="bits, steps, bits+steps, cell (litesnn), or nothing")
    candidates: tuple[int, ...] = Field(
        default=(1, 2, 4), min_length=1, max_length=MOST_BITS, description="bits that a block may get, rising"
    )
    size_kb: float | None = Field(
        default=None, gt=0, le=1e9, description="budget: kB (1000 bytes) of all weights, as size_as reads them"
    )
    size_as: Literal["kept", "bitmap", "entropy"] = Field(
        default="kept", description="kept bits alone, with a bitmap of their places, or at the entropy bound"
    )
    bit_synops_m: float | None = Field(
        default=None, gt=0, le=1e9, description="budget: millions of Bit-SynOps an image, all steps"
    )
    size_weight: float = Field(default=5e-10, ge=0, le=1, description="of a bit in the loss, where size has no budget")
    bit_synops_weight: float = Field(
        default=5e-14, ge=0, le=1, description="of a Bit-SynOp in the loss, where these have no budget"
    )
    held_out: float = Field(
        default=0.5, gt=0, lt=1, description="share of the training images that teach the architecture alone"
    )
    as_released: bool = Field(
        default=False, description="as the released code: weights and architecture learn from the same batches"
    )
    even_share: float = Field(
        default=0.1,
        ge=0,
        lt=1,
        description="of the epochs, in which all time steps weigh the same (the source: 5 of 50)",
    )
    choice_lr: float = Field(default=1e-2, gt=0, le=10, description="Adam's rate for bits and edges")
    steps_lr: float = Field(default=0.025, gt=0, le=10, description="SGD's rate for the time steps, falling to 0.001")

    @property
    def bits(self) -> bool:
        return self.what in ("bits", "bits+steps")

    @property
    def steps(self) -> bool:
        return self.what in ("steps", "bits+steps")

    @property
    def cell(self) -> bool:
        return self.what == "cell"

    @property
    def is_on(self) -> bool:
        return self.what != "nothing"

    def n_held_out(self, n: int) -> int:
        """Of n training images, those that do not teach the weights."""
        return round(self.held_out * n) if self.is_on else 0


#: A run that trains its weights alone.
NO_SEARCH = SearchConfig()


class BudgetFound(Frozen):
    """One budget, and what was decoded of it, in the budget's unit."""

    budget: Finite = Field(gt=0)
    found: Finite = Field(ge=0)

    @property
    def is_met(self) -> bool:
        return self.found <= MEETS * self.budget


class Decoded(Frozen):
    """The network that was found. Bit-SynOps are by the firing rates of the searching network, not of this one."""

    time_steps: int = Field(ge=1)
    block_bits: str = Field(default="", max_length=2048)
    cell: str | None = Field(default=None, max_length=40)
    size_kb: Finite = Field(ge=0, description="as search.size_as reads it")
    bit_synops_m: Finite = Field(ge=0)
    budgets: dict[Literal["size_kb", "bit_synops_m"], BudgetFound] = Field(default_factory=dict)

    @property
    def missed(self) -> list[str]:
        return [name for name, budget in self.budgets.items() if not budget.is_met]


class SearchEpoch(Frozen):
    """Where a search stood at the end of an epoch."""

    epoch: int = Field(ge=1)
    steps: Column[Finite] = Field(description="q_t over T = 1, 2, ..; empty where T is not searched")
    bits: Column[Column[Finite]] = Field(description="probability of each candidate, a row a block; or empty")
    edges: Column[Finite] = Field(default_factory=list, description="weight of each edge of a cell; or empty")
    terms: dict[str, Real] = Field(description="of the architecture's loss, weighed, mean over the epoch")
    decoded: Decoded = Field(description="what would be decoded now")

    @property
    def shares(self) -> dict[str, float]:
        """Of each term in the loss; all 0 where the loss is."""
        whole = sum(self.terms.values())
        return {name: value / whole if whole else 0.0 for name, value in self.terms.items()}


class SearchFound(Frozen):
    """`search.json`: the whole course of a search; also what the API says of one that goes on."""

    version: Literal[1] = 1
    search: SearchConfig
    n_held_out: int | None = Field(default=None, description="images that taught the architecture alone; 0: none did")
    blocks: Column[str] = Field(description="whose bits are searched, in network order")
    time_steps: int = Field(ge=1, description="the most that are searched")
    epochs: Column[SearchEpoch]

    @model_validator(mode="after")
    def _of_one_shape(self) -> SearchFound:
        for at, epoch in enumerate(self.epochs, start=1):
            if epoch.epoch != at:
                raise Conflict("epochs", epoch.epoch, f"counted through: {at} here").error()
            if epoch.steps or self.search.steps:
                require_shape("steps", epoch.steps, self.time_steps)
            if epoch.bits or self.search.bits:
                require_shape("bits", epoch.bits, len(self.blocks), len(self.search.candidates))
            if not 1 <= epoch.decoded.time_steps <= self.time_steps:
                raise Conflict("decoded.time_steps", epoch.decoded.time_steps, f"from 1 to {self.time_steps}").error()
        return self

    @property
    def decoded(self) -> Decoded | None:
        """What the last epoch found."""
        return self.epochs[-1].decoded if self.epochs else None


class Wiring(Frozen):
    """One wiring of a cell as a run that was trained by itself, as the search's config has it otherwise."""

    cell: str
    run_id: str
    validation_accuracy: Finite = Field(description="of the kept weights: what wirings are ranked by")
    accuracy: Finite


class RunSearch(Frozen):
    """`GET /runs/{id}/search`: the course of a search, and of a search over cells how good what it found is."""

    found: SearchFound
    wirings: list[Wiring] = Field(
        default_factory=list, description="of all wirings those that have been trained, best validation accuracy first"
    )

    @property
    def rank(self) -> int | None:
        """Of what was found among the trained wirings, from 1; equal accuracies share the better one."""
        decoded = self.found.decoded
        own = next((one for one in self.wirings if decoded and one.cell == decoded.cell), None)
        if own is None:
            return None
        return 1 + sum(one.validation_accuracy > own.validation_accuracy for one in self.wirings)
