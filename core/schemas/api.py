"""What travels between the API and its readers. Times are ISO 8601 in UTC."""

from __future__ import annotations

from datetime import datetime
from typing import Any, Literal

from pydantic import Field

from core.schemas.base import Frozen
from core.schemas.results import Summary
from core.schemas.run import Kind, RunConfig, RunState


class RunRequest(Frozen):
    """Body of `POST /runs` and `POST /preview`: a recipe and what to change in it."""

    backbone: str = "squeezenet"
    definition: str = "small"
    kind: Kind = Kind.SNN
    mask: str | list[str] = Field(default="Full", description="kept blocks, as a list, as 'F4,F6', or a mask's name")
    dataset: str = "digits"
    recipe: str = "smoke"
    seed: int = Field(default=0, ge=0, le=2**31 - 1)
    overrides: dict[str, str | int | float | bool | None] = Field(
        default_factory=dict, description="dotted config fields, such as {'training.max_epochs': 3, 'neuron.tau': 1.5}"
    )


class RunProgress(Frozen):
    """The newest progress of a run."""

    phase: Literal["waiting", "starting", "training", "validating", "testing", "done"]
    epoch: int = 0
    max_epochs: int = 0
    step: int = 0
    steps: int = 0
    loss: float | None = None
    images_per_s: float | None = None
    eta_s: float | None = None


class RunError(Frozen):
    code: str
    message: str
    fields: dict[str, Any] = Field(default_factory=dict)


class TwinRef(Frozen):
    """The newest run of the other kind with the same config."""

    id: str
    kind: Kind
    state: RunState


class Artifact(Frozen):
    """One file of a bundle. `url` is signed and short-lived, so a browser can follow it without the token."""

    name: str
    bytes: int
    sha256: str
    url: str


class Run(Frozen):
    """One training of one network with one seed, as the API shows it."""

    id: str
    state: RunState
    config: RunConfig
    config_hash: str
    twin_hash: str
    label: str = Field(description="such as SNN-SqueezeNet Ref-1")
    created_at: datetime
    started_at: datetime | None = None
    finished_at: datetime | None = None
    attempt: int = 0
    worker: str | None = None
    progress: RunProgress
    summary: Summary | None = None
    error: RunError | None = None
    twin: TwinRef | None = None
    command: str = Field(description="the shell command that repeats this run")
    artifacts: list[Artifact] = Field(default_factory=list)


class RunPage(Frozen):
    items: list[Run]
    next_cursor: str | None = None
    total: int


class LayerPreview(Frozen):
    name: str
    kind: str
    block: str | None
    output_shape: tuple[int, ...]
    params: int
    dense_macs: int


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
    params: int
    dense_macs: int = Field(description="of one pass; a spiking network runs T of them")
    macs: int = Field(description="in `paper` mode, one time step")
    neurons: int
    layers: list[LayerPreview]
    training_memory_bytes: int = Field(
        description="estimate: weights, gradients, optimiser and saved activations of one batch"
    )
    dataset_ready: bool
    dataset_note: str | None = Field(description="why the data set cannot be used, or that it is a subset")
    n_train: int | None
    time: TimeEstimate | None
    equal_run: EqualRun | None


class Metrics(Frozen):
    """Epoch by epoch, as columns of equal length."""

    epoch: list[int]
    lr: list[float]
    train_loss: list[float]
    train_accuracy: list[float]
    validation_loss: list[float]
    validation_accuracy: list[float]
    firing_rate: list[float | None]
    wall_s: list[float]


class LayerBill(Frozen):
    """One layer's ops and energy per inference, in the mode and profile asked for."""

    name: str
    kind: str
    block: str | None
    output_shape: tuple[int, ...]
    params: int
    dense_ops: int
    acs: float
    macs: float
    energy_pj: float
    firing_rate: float | None = Field(description="of the layer's own neurons; None where it has none")
    firing_rate_per_step: list[float] | None


class Layers(Frozen):
    mode: str
    profile: str
    n_samples: int
    time_steps: int
    layers: list[LayerBill]
    total_acs: float
    total_macs: float
    total_energy_pj: float


class Confusion(Frozen):
    """`matrix[i][j]` test images of class i were answered j."""

    classes: list[str]
    matrix: list[list[int]]
    n: int
    precision: list[float]
    recall: list[float]
    f1: list[float]
    support: list[int]


class Answer(Frozen):
    """What one network said of one image."""

    run_id: str
    kind: Kind
    prediction: str
    confidence: float
    correct: bool
    confidence_per_step: list[float] = Field(description="of the final answer's class, after 1..T steps")


class Example(Frozen):
    """One test image with the answers of the run and of its twin."""

    index: int = Field(description="position in the test set")
    label: str
    image: str = Field(description="data:image/png;base64,...")
    answer: Answer
    twin_answer: Answer | None = None


class Examples(Frozen):
    items: list[Example]
    which: Literal["first", "wrong", "disagree"]
    twin_run_id: str | None
    n_test: int


class Gradients(Frozen):
    """L2 norm of the loss gradient of each layer's weights, mean over the epoch's steps."""

    layers: list[str]
    epochs: list[int]
    norm: list[list[float]] = Field(description="norm[epoch][layer]")


class ParetoPoint(Frozen):
    run_id: str
    label: str
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


class PublishedPoint(Frozen):
    """A printed row of Kabir et al.; its energy is that of one time step, at the paper's own prices."""

    model: str
    kind: Kind
    table: str
    accuracy: float
    f1_macro: float | None
    params: int | None
    acs: float | None
    macs: float | None
    energy_pj: float


class Pareto(Frozen):
    dataset: str
    mode: str
    profile: str
    points: list[ParetoPoint]
    front: list[str] = Field(description="run ids on the front, cheapest first")
    published: list[PublishedPoint]


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
    citation: str
    licence: str


class BackboneInfo(Frozen):
    name: str
    title: str
    blocks: tuple[str, ...]
    masks: dict[str, tuple[str, ...]]
    source: str


class RecipeInfo(Frozen):
    name: str
    title: str
    description: str


class ProfileInfo(Frozen):
    name: str
    title: str
    source: str
    ac_pj: float
    mac_pj: float


class ModeInfo(Frozen):
    name: str
    title: str
    description: str


class Catalog(Frozen):
    version: str
    backbones: list[BackboneInfo]
    datasets: list[DatasetInfo]
    recipes: list[RecipeInfo]
    profiles: list[ProfileInfo]
    modes: list[ModeInfo]
    default_mode: str
    default_profile: str


class ShareRequest(Frozen):
    """Body of `POST /shares`."""

    run_id: str
    expires_in_days: int | None = Field(default=30, ge=1, le=3650, description="null: until revoked")
    with_twin: bool = Field(default=True, description="show the twin's answers and figures too")


class Share(Frozen):
    """A share without its secret: only the token's hash is stored."""

    id: str
    run_id: str
    label: str
    with_twin: bool
    created_at: datetime
    expires_at: datetime | None
    revoked_at: datetime | None
    views: int
    last_viewed_at: datetime | None


class NewShare(Share):
    """The one answer that carries the token and the address."""

    token: str
    url: str


class SharePage(Frozen):
    items: list[Share]


class SharedRun(Frozen):
    """All that a share shows; no id, host, path or user. `GET /shared/{token}`."""

    label: str
    config: RunConfig
    summary: Summary
    metrics: Metrics
    layers: Layers
    confusion: Confusion
    examples: Examples
    gradients: Gradients
    twin: SharedTwin | None = None
    shared_at: datetime
    expires_at: datetime | None
    version: str


class SharedTwin(Frozen):
    label: str
    summary: Summary


class Problem(Frozen):
    """RFC 9457 problem details; `code` and the error's own fields are extensions."""

    type: str
    title: str
    status: int
    detail: str
    instance: str | None = None
    code: str
    fields: dict[str, Any] = Field(default_factory=dict)


class AuditFinding(Frozen):
    """One printed figure and what the arithmetic says of it."""

    row: str = Field(description="such as table1/cifar10/SqueezeNet; a check of several rows names them all")
    table: str
    model: str
    datasets: list[str] = Field(description="data sets of the rows looked at; none for a table that a user brings")
    field: str
    unit: str
    printed: float | None = Field(description="as printed, in `unit`; null for a check of several rows")
    recomputed: float | None = Field(description="in `unit`; null where nothing follows from what is printed")
    low: float | None = Field(description="least and greatest value that the rounding of the printed inputs allows")
    high: float | None
    verdict: Literal["confirmed", "contradicted", "not checkable"]
    arithmetic: str = Field(description="the sum as a sentence; for `not checkable` the reason")


class Audit(Frozen):
    """`GET /audit` and `spikefront audit`: printed figures, recomputed."""

    source: str
    rule: str = Field(description="when a printed figure counts as confirmed")
    profile: str
    confirmed: int
    contradicted: int
    not_checkable: int
    findings: list[AuditFinding]


class ReadyCheck(Frozen):
    """`GET /health/ready`: each part with `ok` or a sentence."""

    ok: bool
    database: str
    broker: str
    workers: list[str] = Field(description="workers that answered lately")


SharedRun.model_rebuild()
