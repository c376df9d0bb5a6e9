"""Which masks to train next, as the API answers it."""

from __future__ import annotations

from pydantic import Field

from core.schemas.base import Frozen
from core.schemas.run import RunConfig


class MaskSuggestion(Frozen):
    """One mask that nobody trained. Figures are predictions for one new run, with standard deviations."""

    mask: tuple[str, ...]
    mask_name: str | None
    params: int
    dense_ops: int
    accuracy: float = Field(description="of validation")
    accuracy_sd: float
    energy_pj: float = Field(description="median, per inference")
    gain: float = Field(description="expected growth of the area under the front, accuracy x decades of energy")
    cost_s: float | None = Field(description="training time here; null where no speed is known")
    reason: str


class MaskSuggestions(Frozen):
    """In the order to train them. `items` is empty, and `note` says why, where no prediction can be made."""

    mode: str
    profile: str
    n_runs: int = Field(description="runs that the predictions rest on: they differ in mask and seed only")
    n_masks: int
    needed: int = Field(description="different masks that a prediction needs")
    base: RunConfig | None = Field(description="what those runs share, with one run's mask and seed; null for none")
    accuracy_error: float | None = Field(description="mean absolute difference on masks left out")
    accuracy_error_of_mean: float | None = Field(description="the same for the mean of the other masks")
    energy_error: float | None = Field(description="mean relative difference on masks left out")
    note: str
    items: list[MaskSuggestion]
