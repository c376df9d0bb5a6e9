"""Workers, what waits for them, and whether the services are well."""

from __future__ import annotations

from datetime import datetime
from typing import Literal

from pydantic import Field

from core.schemas.base import Frozen
from core.schemas.results import RunProgress
from core.schemas.run import RunState

Device = Literal["cpu", "cuda"]
MOST_NAMED = 8  # data sets in a sentence


class OfferedDataset(Frozen):
    """A data set at hand of a worker. What follows `digest` is null for a published one, whose facts are everywhere."""

    name: str = Field(max_length=64)
    n_train: int | None = Field(default=None, ge=0)
    n_test: int | None = Field(default=None, ge=0)
    complete: bool | None = None
    digest: str | None = Field(default=None, description="which images (null: nobody has read them yet)", max_length=64)
    title: str | None = Field(default=None, max_length=80)
    classes: tuple[str, ...] | None = Field(default=None, max_length=2000)
    size: int | None = Field(default=None, ge=8, le=1024, description="side of its square images, in pixels")
    mean: tuple[float, float, float] | None = None
    std: tuple[float, float, float] | None = None
    mirrors: bool | None = None


class SpeedPoint(Frozen):
    """What a machine trains with so many runs side by side."""

    runs: int = Field(ge=1)
    threads: int = Field(ge=1, description="of each run")
    images_per_s: float = Field(gt=0, description="training images a second of all these runs together")


class Offer(Frozen):
    """What a worker can do, as it says at its start and when that changes."""

    device: Device
    device_names: list[str] = Field(default_factory=list, description="of its GPUs")
    threads: int = Field(ge=1, description="of each run")
    memory_bytes: int | None = Field(default=None, description="that one run may take; null where nobody can tell")
    datasets: list[OfferedDataset] = Field(default_factory=list)
    images_per_s: float | None = Field(
        default=None, description="training images a second of one slot, of the network that `measured` names"
    )
    measured: str | None = Field(default=None, description="what was timed; null until then")
    speeds: list[SpeedPoint] = Field(
        default_factory=list, description="the same network with more threads, and with more runs side by side"
    )

    @property
    def words(self) -> str:
        """Such as `CPU, 2 threads a run, 15.6 GiB of memory · data sets cifar10, digits · 310 images/s`."""
        device = ", ".join(self.device_names) or self.device.upper()
        parts = [device, f"{self.threads} thread{'' if self.threads == 1 else 's'} a run"]
        if self.memory_bytes is not None:
            parts.append(f"{self.memory_bytes / (1 << 30):.1f} GiB of memory")
        names = [one.name for one in self.datasets]
        more = f" and {len(names) - MOST_NAMED} more" if len(names) > MOST_NAMED else ""
        held = f"data sets {', '.join(names[:MOST_NAMED])}{more}" if names else "no data set"
        speed = [] if self.images_per_s is None else [f"{self.images_per_s:.3g} images/s ({self.measured})"]
        return " · ".join([", ".join(parts), held, *speed])

    @property
    def packing(self) -> str | None:
        """What more threads and more runs side by side bring; None where that was not measured.

        Such as `One run: 310 images/s with 1 thread, 402 with 2. 2 runs of 1 thread: 575 together, 1.43 times that.`
        """
        alone = [point for point in self.speeds if point.runs == 1]
        if not alone:
            return None
        first, *more = alone
        said = [f"{first.images_per_s:.3g} images/s with {_threads(first)}"]
        sentences = [f"One run: {', '.join(said + [f'{one.images_per_s:.3g} with {one.threads}' for one in more])}."]
        most = max(point.images_per_s for point in alone)
        for point in self.speeds:
            if point.runs > 1:
                together = f"{point.runs} runs of {_threads(point)}: {point.images_per_s:.3g} together"
                sentences.append(f"{together}, {point.images_per_s / most:.2f} times the most of one run.")
        return " ".join(sentences)


def _threads(point: SpeedPoint) -> str:
    return f"{point.threads} thread{'' if point.threads == 1 else 's'}"


class RunBrief(Frozen):
    """A run as a worker holds it."""

    id: str
    label: str
    seed: int | None = Field(default=None, description="null from an API of an earlier version, as `progress` is")
    state: RunState
    started_at: datetime | None
    progress: RunProgress | None = None


class WorkerInfo(Frozen):
    """A worker that gave a sign of life lately."""

    name: str
    queue: str
    slots: int
    busy: int
    seen_at: datetime
    runs: list[RunBrief]
    paused: str | None = Field(default=None, description="why it starts no run, in a sentence")
    offer: Offer | None = Field(default=None, description="what it can do; null for a worker of an earlier version")


class Workers(Frozen):
    items: list[WorkerInfo]


class QueuedRun(Frozen):
    """A run that waits; times are estimates from the forecast."""

    position: int = Field(description="from 1: the next one to start")
    id: str
    label: str
    seed: int | None = Field(default=None, description="null from an API of an earlier version")
    created_at: datetime
    waiting_s: float
    run_s: float = Field(description="how long it will train")
    starts_in_s: float | None = Field(description="null while no worker takes runs, or none can do this one")
    priority: int = 0
    submitter: str | None = Field(default=None, description="whose it is; null while nobody has a name here")
    waits: str | None = Field(default=None, description="why no worker can do it, in a sentence")


class WaitingRuns(Frozen):
    """`GET /queue`: in the order in which workers take them; those that no worker can do come last."""

    queue: str = Field(description="kinds of the workers that answered lately, such as cpu or cpu+gpu")
    slots: int = Field(description="of all workers that answered lately")
    total: int
    ends_in_s: float | None = Field(description="until all that waits has run; null while no worker takes runs")
    items: list[QueuedRun]
    paused: str | None = Field(default=None, description="why nothing starts, in a sentence; null while runs start")


class Activity(Frozen):
    """`GET /activity`: what goes on, and whether a list that was read before is still what there is.

    Small and made once for all who ask at a time, so that many open pages may ask every second or two.
    """

    revision: int = Field(description="rises with every change that lists and plots of runs show, but for progress")
    active: int = Field(description="runs that wait or train")
    workers: list[WorkerInfo]
    waiting: WaitingRuns = Field(description="with the first few of what waits alone")


class ReadyCheck(Frozen):
    """`GET /health/ready`: each part with `ok` or a sentence."""

    ok: bool
    database: str
    broker: str
    workers: list[str] = Field(description="workers that answered lately")
    training: str = Field(default="ok", description="`ok`, or why no run starts; `ok` above does not depend on it")
