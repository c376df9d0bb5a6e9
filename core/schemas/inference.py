"""One image through one network, step by step: what the engine sends, and what the API makes of it."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, TypeAdapter

from core.schemas.base import Frozen
from core.schemas.results import Counts, Failed
from core.schemas.run import Kind

MAX_PICTURE_BYTES = 5 * 1024 * 1024


class LayerActivity(Frozen):
    """Which outputs of one activation are not zero: spikes, or values above 0 behind a ReLU (then T = 1).

    Under rate and latency coding the input is spikes too, and comes first as the layer `input`.
    """

    name: str
    output_shape: tuple[int, int, int] = Field(description="(C, H, W)")
    spikes: list[int] = Field(description="[T]: non-zero outputs at each step")
    rate: list[float] = Field(description="[T]: the same as a share of all outputs, in [0, 1]")
    map_shape: tuple[int, int] = Field(description="(h, w) of the folded picture")
    map_outputs: int = Field(ge=1, description="outputs folded into one place: the channels of a square of pixels")
    map: str = Field(description="base64 of [T, h, w] uint16, little-endian: non-zero outputs at each place")


class Picture(Frozen):
    """What became of a picture on its way to the data set's size. Pixels are of the picture turned upright."""

    width: int
    height: int
    crop: tuple[int, int, int, int] = Field(description="left, top, right, bottom of the part that was taken")
    preview: str = Field(description="data:image/png;base64,... of the whole, at most 256 pixels a side")


class Clip(Frozen):
    """What became of a sound on its way to a clip of the data set: mixed to one channel, its loudest part taken, resampled."""

    seconds: float = Field(description="of the whole")
    rate: int = Field(description="samples a second, as it came")
    channels: int
    bits: int
    start_s: float = Field(description="where in it the part begins that was taken; 0 where all of it was")
    taken_s: float = Field(description="how much was taken; the rest of a clip is silence")


class NeuronPlace(Frozen):
    """One neuron: its layer, channel, row and column, from 0."""

    layer: str = Field(max_length=100)
    channel: int = Field(ge=0)
    y: int = Field(ge=0)
    x: int = Field(ge=0)


class MembraneTrace(Frozen):
    """One neuron over T steps, each [T]; in units in which the threshold is the config's, also where it is learned."""

    input: list[float]
    before: list[float] = Field(description="H: charged, before it fires")
    after: list[float] = Field(description="V': after the reset")
    spikes: list[int]
    v_threshold: float
    v_start: float


class Membrane(NeuronPlace):
    trace: MembraneTrace


class InferRequest(Frozen):
    """One line to `spikefront infer`. The folders are bundles on the same data set."""

    folders: tuple[Path, ...] = Field(min_length=1)
    data: Path = Field(description="where the user's data sets are looked for")
    picture: str = Field(
        description="base64 of a PNG, JPEG or WebP file; of a wav file for a data set of sounds, unless it is `kept`"
    )
    kept: bool = Field(default=False, description="it is a test image, which goes in as it is")
    invert: bool = False
    neuron: NeuronPlace | None = Field(
        default=None, description="whose membrane is wanted, in the first folder's network"
    )


class Pass(Frozen):
    """One network's answer to one image, in the order of the request's folders."""

    outputs: list[list[float]] = Field(description="[T][C]: the raw output of each step")
    counts: Counts
    layers: list[LayerActivity]
    membrane: Membrane | None = None


class Inferred(Frozen):
    type: Literal["inferred"] = "inferred"
    image: str = Field(description="data:image/png;base64,... as the networks saw it, before normalisation")
    picture: Picture | None
    clip: Clip | None = None
    passes: list[Pass]


class NotInferred(Failed):
    """Its line answers one request; the process lives on."""


#: One line from `spikefront infer`.
INFER_ANSWER: TypeAdapter[Inferred | NotInferred] = TypeAdapter(
    Annotated[Inferred | NotInferred, Field(discriminator="type")]
)


class Inference(Frozen):
    """One network's answer to one image, with what it cost."""

    run_id: str
    kind: Kind
    label: str
    time_steps: int
    classes: list[str]
    confidence: list[list[float]] = Field(description="[T][C]: softmax of the mean output of steps 1..t")
    energy_pj: list[float] = Field(description="[T]: of this image, spent after t steps")
    encoding: str
    layers: list[LayerActivity]
    membrane: Membrane | None = Field(default=None, description="of the neuron that was asked for")


class Tried(Frozen):
    """`POST /runs/{id}/try`."""

    image: str = Field(description="data:image/png;base64,... as the networks saw it, before normalisation")
    picture: Picture | None = Field(description="none for a test image and for a sound")
    clip: Clip | None = Field(default=None, description="of a sound of one's own")
    index: int | None = Field(description="position in the test set; none for a picture of one's own")
    truth: str | None = Field(description="the test image's class")
    mode: str
    profile: str
    answer: Inference
    twin: Inference | None = Field(description="the newest succeeded twin's answer")
