"""Whether this worker can take a run: the disk has room, and a trainer can be started.

What hinders a worker would hinder it with every run of the queue, so no run is failed for it: the worker waits,
says why, and looks again. The run stays queued meanwhile, and any other worker may take it.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from pathlib import Path

from backend.store.lifecycle import Lifecycle
from core.errors import SpikefrontError
from core.forecast import STORAGE_MARGIN
from core.room import lack, needed_bytes
from core.schemas.run import RunConfig

log = logging.getLogger("spikefront.room")

FREE_EVERY_S = 10.0
FIRST_PAUSE_S, LONGEST_PAUSE_S = 15.0, 300.0  # after a run had to be given back


class Room:
    """Shared by all slots of a worker."""

    def __init__(self, lifecycle: Lifecycle, *, data: Path, clock: Callable[[], float] = time.monotonic) -> None:
        self._lifecycle = lifecycle
        self._runs, self._home, self._data = lifecycle.runs, lifecycle.home, data
        self._artifacts = lifecycle.artifacts
        self._clock = clock
        self._lock = threading.Lock()
        self._waiting: tuple[str, str] | None = None  # the run whose turn it is, and why it cannot start here
        self._trouble = ""
        self._pause_s, self._until = 0.0, 0.0
        self._free_at = 0.0

    @property
    def paused(self) -> str | None:
        """Why this worker starts nothing, in a sentence; None while it does, or has nothing to start."""
        with self._lock:
            if self._clock() < self._until:
                return self._trouble
            return None if self._waiting is None else self._waiting[1]

    def holds(self, found: tuple[str, RunConfig] | None) -> bool:
        """Whether the run whose turn it is can start here now; noted for readers while it cannot. False where none waits."""
        why = None if found is None else self._why_not(found[1])
        with self._lock:
            before, self._waiting = self._waiting, None if found is None or why is None else (found[0], why)
            if self._waiting is not None and self._waiting != before:
                log.warning("run.waits", extra={"run_id": found[0], "why": why})
        return found is not None and why is None

    def lack(self, config: RunConfig) -> str | None:
        """Why a run cannot be written here, in a sentence; None when it can."""
        if (why := self._artifacts.why_not()) is not None:
            return why
        if _other_disk(self._home, self._runs) and (why := lack(self._home, STORAGE_MARGIN, try_it=True)):
            return why
        return lack(self._runs, needed_bytes(config, self._data), try_it=True)

    def trouble(self, why: str) -> None:
        """A run had to be given back for a reason that the next one would meet too: pause, each time for longer."""
        with self._lock:
            self._pause_s = min(max(FIRST_PAUSE_S, 2 * self._pause_s), LONGEST_PAUSE_S)
            self._until, self._trouble = self._clock() + self._pause_s, why
        log.warning("worker.paused", extra={"why": why, "pause_s": self._pause_s})

    def well(self) -> None:
        """A run came to an end of its own."""
        with self._lock:
            self._pause_s = 0.0

    def _why_not(self, config: RunConfig) -> str | None:
        with self._lock:
            if self._clock() < self._until:
                return self._trouble
        why = self.lack(config)
        if why is None or self._artifacts.why_not() is not None or not self._may_free():
            return why
        try:
            self._lifecycle.space.make_room(lambda: self.lack(config) is None)
        except SpikefrontError as error:
            log.warning("room.not_made", extra={"why": error.message})
        return self.lack(config)

    def _may_free(self) -> bool:
        """One slot at a time, and not at every look."""
        with self._lock:
            if self._clock() < self._free_at:
                return False
            self._free_at = self._clock() + FREE_EVERY_S
            return True


def _other_disk(one: Path, other: Path) -> bool:
    try:
        return one.stat().st_dev != other.stat().st_dev
    except OSError:
        return False
