"""Runs side by side. `GET /compare`."""

from __future__ import annotations

from pydantic import Field

from core.schemas.base import Frozen
from core.schemas.named import Named
from core.schemas.prices import Factors
from core.schemas.results import Gradients, Metrics
from core.schemas.run import Kind, RunConfig

FEWEST, MOST = 2, 10  # runs side by side


class ComparedRun(Named):
    """One run's figures, its energy in the mode and profile asked for, and its curves."""

    id: str
    kind: Kind
    mask_name: str | None
    config: RunConfig
    accuracy: float
    f1_macro: float
    params: int
    model_bytes: int = Field(description="weights in float32: 4 bytes a parameter")
    firing_rate: float | None
    acs: float
    macs: float
    energy_pj: float
    n_train: int
    n_test: int
    dataset_complete: bool
    data_digest: str | None = Field(default=None, description="of the images that were there; empty: the published set")
    metrics: Metrics
    gradients: Gradients


class Gain(Frozen):
    """Two ways of answering the same test images; differences are the second's minus the first's."""

    n: int
    accuracy: float
    low: float = Field(description="95 % interval of the difference in accuracy")
    high: float
    gained: int = Field(description="images that the second got right and the first wrong")
    lost: int = Field(description="images that the second got wrong and the first right")


class Paired(Gain):
    """Two networks on the same test images, and which images those are."""

    gained_indices: list[int] = Field(description="the first 100 of them, as positions in the test set")
    lost_indices: list[int]


class Difference(Frozen):
    """A run against the first of the comparison."""

    run_id: str
    against: str
    accuracy: float = Field(description="this run's minus the first's")
    f1_macro: float
    energy_ratio: float | None = Field(description="this run's over the first's; null where the first needs none")
    paired: Paired | None = Field(description="null where the test sets differ")


class TwinRatio(Frozen):
    """A spiking network against its CNN twin."""

    snn_id: str
    cnn_id: str
    accuracy: float = Field(description="the spiking network's minus the CNN's")
    energy_ratio: float | None = Field(description="the spiking network's over the CNN's: below 1 it needs less")
    paired: Paired | None = Field(
        default=None,
        description="the spiking network against the CNN; null where the test sets differ, and in what was stored without",
    )


class Comparison(Factors):
    mode: str
    profile: str
    interval: str = Field(description="how the intervals were made, and what they leave out")
    runs: list[ComparedRun]
    differences: list[Difference] = Field(description="of every run but the first")
    twins: list[TwinRatio] = Field(description="pairs among the runs, or with a twin that exists beside them")

    def on_one_data_set(self, item: Difference) -> bool:
        """Whether a run is tested on the first one's data set: accuracies on two say nothing of the networks."""
        datasets = {run.id: run.config.dataset for run in self.runs}
        return datasets[item.run_id] == self.runs[0].config.dataset
