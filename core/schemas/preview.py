"""What a network is and costs before it is trained."""

from __future__ import annotations

from pydantic import Field

from core.schemas.base import Frozen
from core.schemas.compression import Size
from core.schemas.run import RunConfig, RunState


class LayerPreview(Frozen):
    name: str
    kind: str
    block: str | None
    output_shape: tuple[int, ...]
    params: int
    dense_macs: int
    kept_params: int | None = Field(default=None, description="weights that are kept, where any are pruned")
    weight_bits: int | None = Field(default=None, description="of quantised weights")


class EqualRun(Frozen):
    """A run with an equal config that exists already."""

    id: str
    state: RunState
    accuracy: float | None = None


class TimeEstimate(Frozen):
    """How long a run takes here, and what that is based on."""

    total_s: float
    basis: str = Field(description="in words: measured on which run, or a guess before any run")
    measured: bool


class Preview(Frozen):
    """What a run would be, by arithmetic alone."""

    config: RunConfig
    config_hash: str
    mask_name: str | None
    label: str = Field(default="", description="such as SNN-SqueezeNet Ref-1, stem 64/2")
    params: int
    dense_macs: int = Field(description="of one pass; a spiking network runs T of them")
    macs: int = Field(description="in `paper` mode, one time step")
    neurons: int
    size: Size | None = Field(default=None, description="of the weights, by arithmetic")
    layers: list[LayerPreview]
    training_memory_bytes: int = Field(
        description="estimate: weights, gradients, optimiser and saved activations of one batch"
    )
    dataset_ready: bool = Field(description="on the API's machine or at a worker that lives")
    dataset_note: str | None = Field(description="why the data set cannot be used, or that it is a subset")
    n_train: int | None
    time: TimeEstimate | None
    equal_run: EqualRun | None
    waits: str | None = Field(default=None, description="why no worker that lives could do it, in a sentence")
