"""What this worker can do, looked at anew now and then: data sets come and go while it runs."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from backend.store.lifecycle import Lifecycle
from backend.store.turns import Able, able, gpu_ables
from core.datasets.catalog import DATASETS
from core.datasets.elsewhere import offered, specs
from core.datasets.load import status
from core.errors import ArtifactsDown
from core.schemas.workers import Offer, OfferedDataset, SpeedPoint
from worker.options import Options

DATASETS_EVERY_S = 10.0


class Ability:
    """Safe to call from any thread."""

    def __init__(
        self, lifecycle: Lifecycle, *, options: Options, data: Path, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._lifecycle = lifecycle
        self._options = options
        self._data = data
        self._clock = clock
        self._lock = threading.Lock()
        self._datasets: list[OfferedDataset] = []
        self._elsewhere: list[OfferedDataset] = []  # what the store has and this machine has not
        self._looked = float("-inf")
        self._changed: int | None = None
        self._speed: tuple[float, str] | None = None
        self._speeds: list[SpeedPoint] = []

    def offer(self) -> Offer:
        """For this worker's row."""
        speed, what = self._speed or (None, None)
        return Offer(
            device=self._options.device_kind,
            device_names=list(self._options.names),
            threads=self._options.threads,
            memory_bytes=self._options.memory_bytes,
            datasets=self._look(),
            images_per_s=speed,
            measured=what,
            speeds=self._speeds,
        )

    def able(self) -> Able:
        """For a claim: what a GPU worker that lives can do is left to it. Raises DatabaseDown."""
        leaves = [] if self._options.device_kind == "cuda" else gpu_ables(self._lifecycle.workers())
        return able(self.offer(), queue=self._options.queue, leaves=leaves)

    def fetch(self, name: str) -> None:
        """Have the data set of a claimed run here, from the store where it is not. Raises what hinders that."""
        if any(one.name == name for one in self._elsewhere) and not status(name, self._data).ready:
            self._lifecycle.artifacts.fetch_dataset(name, self._data)
            self._looked = float("-inf")

    def measured(self, images_per_s: float, what: str, speeds: list[SpeedPoint]) -> None:
        self._speed, self._speeds = (images_per_s, what), speeds

    def _look(self) -> list[OfferedDataset]:
        with self._lock:
            changed = self._changed_at()  # by whoever adds a set or takes one away
            if changed != self._changed or self._clock() >= self._looked + DATASETS_EVERY_S:
                self._changed, self._datasets, self._looked = changed, offered(self._data), self._clock()
                here = {one.name for one in self._datasets}
                with suppress(ArtifactsDown):  # while the store is away nothing starts, and what it has stays known
                    self._elsewhere = [one for one in self._lifecycle.artifacts.datasets() if one.name not in here]
                DATASETS.tell(self._data, specs(self._elsewhere))
            return [*self._datasets, *self._elsewhere]

    def _changed_at(self) -> int | None:
        try:
            return self._data.stat().st_mtime_ns
        except OSError:
            return None
