"""What travels between the API and its readers. Times are ISO 8601 in UTC."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any, Literal

from pydantic import Field, StringConstraints

from core.schemas.base import Frozen
from core.schemas.prices import Factors
from core.schemas.results import Part, Summary
from core.schemas.run import Kind, RunConfig, RunState

Tag = Annotated[
    str, StringConstraints(strip_whitespace=True, min_length=1, max_length=40, pattern=r"^[^\x00-\x1f\x7f]+$")
]


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
    part: Part = "run"


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
    bundle_url: str | None = Field(default=None, description="all of them as one zip; signed like theirs")
    tags: list[str] = Field(default_factory=list)
    note: str = ""
    sweep_ids: list[str] = Field(default_factory=list)
    imported: bool = Field(default=False, description="its bundle was trained elsewhere and uploaded")
    deleted_at: datetime | None = Field(default=None, description="in the bin since then; purged a day later")


class RunPage(Frozen):
    items: list[Run]
    next_cursor: str | None = None
    total: int


class ForkRequest(Frozen):
    """Body of `POST /runs/{id}/fork`: what to change in an existing run's config.

    With `recipe` the neuron and training settings are that recipe's; without it they are the run's own.
    `overrides` come last.
    """

    overrides: dict[str, str | int | float | bool | None] = Field(default_factory=dict)
    seed: int | None = Field(default=None, ge=0, le=2**31 - 1)
    kind: Kind | None = None
    mask: str | list[str] | None = None
    recipe: str | None = None


class RunChange(Frozen):
    """Body of `PATCH /runs/{id}`: what is left out stays as it is."""

    tags: list[Tag] = Field(default_factory=list, max_length=20)
    note: str = Field(default="", max_length=4000)


class BulkRequest(Frozen):
    """Body of `POST /runs/bulk`: one action on many runs, each by itself."""

    action: Literal["cancel", "retry", "delete", "restore", "tag"]
    ids: list[Annotated[str, StringConstraints(max_length=64)]] = Field(min_length=1, max_length=200)
    tag: Tag | None = Field(default=None, description="for `tag`: the word to add")


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
    memory_energy_pj: float = Field(default=0.0, description="the part of energy_pj that is memory and addresses")
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
    sweep_ids: list[str] = Field(default_factory=list)
    tags: list[str] = Field(default_factory=list)
    model_bytes: int | None = Field(default=None, description="weights in float32: 4 bytes a parameter")
    other: dict[str, float] = Field(
        default_factory=dict, description="operations beside ACs and MACs, per inference: memory accesses and addresses"
    )
    repeat: str = Field(default="", description="equal for runs that differ in nothing but their seed")
    twin: str = Field(default="", description="equal for a spiking run and its CNN twin")


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


class Pareto(Factors):
    dataset: str
    mode: str
    profile: str
    points: list[ParetoPoint]
    front: list[str] = Field(description="run ids on the front, cheapest first")
    published: list[PublishedPoint]
    steps: int | None = Field(default=None, description="every run stopped after so many steps; null: after all its T")
    missing: int = Field(default=0, description="runs left out since their figures at these steps are not known")


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
    missing: int = 0


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


class PriceInfo(Frozen):
    """One price of a hardware profile and where it is printed."""

    name: str
    pj: float
    source: str


class ProfileInfo(Frozen):
    name: str
    title: str
    source: str
    ac_pj: float
    mac_pj: float
    process: str = ""
    status: str = Field(default="", description="how sure the prices are: published, simulated, disputed")
    ac_range: tuple[float, float] | None = Field(
        default=None, description="lowest and highest published price of an AC"
    )
    mac_range: tuple[float, float] | None = None
    mac_from: str | None = Field(default=None, description="the profile that lends the prices this hardware lacks")
    constants: list[PriceInfo] = Field(default_factory=list, description="every priced kind of operation")
    synop_with_memory: bool = Field(default=False, description="the AC price contains the memory traffic of spikes")
    neuron_pj: float | None = Field(default=None, description="a whole neuron update, where published")
    host_ac_pj: float | None = Field(default=None, description="an accumulate of the host that lends prices")


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
    former_datasets: list[str] = Field(
        default_factory=list, description="data sets of runs that were taken away: looked at, but no longer trained on"
    )

    @property
    def plotted(self) -> dict[str, str]:
        """Data set -> title, of all that runs can be looked at by."""
        return {info.name: info.title for info in self.datasets} | {name: name for name in self.former_datasets}


class Problem(Frozen):
    """RFC 9457 problem details; `code` and the error's own fields are extensions."""

    type: str
    title: str
    status: int
    detail: str
    instance: str | None = None
    code: str
    fields: dict[str, Any] = Field(default_factory=dict)


class BulkAnswer(Frozen):
    """What became of one id; `run_id` is the new run of a retry, else the run itself."""

    id: str
    ok: bool
    run_id: str | None = None
    problem: Problem | None = None


class BulkAnswers(Frozen):
    items: list[BulkAnswer]


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


class RunBrief(Frozen):
    """A run as a worker holds it."""

    id: str
    label: str
    state: RunState
    started_at: datetime | None


class WorkerInfo(Frozen):
    """A worker that gave a sign of life lately."""

    name: str
    queue: str
    slots: int
    busy: int
    seen_at: datetime
    runs: list[RunBrief]


class Workers(Frozen):
    items: list[WorkerInfo]


class QueuedRun(Frozen):
    """A run that waits; times are estimates from the forecast."""

    position: int = Field(description="from 1: the next one to start")
    id: str
    label: str
    created_at: datetime
    waiting_s: float
    run_s: float = Field(description="how long it will train")
    starts_in_s: float | None = Field(description="null while no worker takes runs")


class WaitingRuns(Frozen):
    """`GET /queue`: oldest first, which is the order in which workers take them."""

    queue: str
    slots: int = Field(description="of all workers of this queue that answered lately")
    total: int
    ends_in_s: float | None = Field(description="until all that waits has run; null while no worker takes runs")
    items: list[QueuedRun]


class ReadyCheck(Frozen):
    """`GET /health/ready`: each part with `ok` or a sentence."""

    ok: bool
    database: str
    broker: str
    workers: list[str] = Field(description="workers that answered lately")
