"""Trainers that have loaded the engine before anybody asks, so that a run starts at once.

One waits for each device (the CPU counts as one). Its successor starts a little after it was taken,
so that loading does not compete with the first training steps; with little memory left none starts.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Sequence

from core.host.machine import memory_available_bytes
from worker.ending import scrub
from worker.trainer_process import Trainer

log = logging.getLogger("spikefront.standby")

REPLACE_AFTER_S = 8.0
RETRY_AFTER_S = 30.0
MEMORY_FLOOR_BYTES = 1 << 30  # an idle trainer holds about a third of this

Device = str | None  # a GPU's index; None is the CPU


class Standby:
    """Safe to call from any thread."""

    def __init__(
        self, start: Callable[[Device], Trainer], *, devices: Sequence[Device], replace_after_s: float = REPLACE_AFTER_S
    ) -> None:
        self._start = start
        self._replace_after_s = replace_after_s
        self._lock = threading.Lock()
        self._waiting: dict[Device, Trainer] = {}
        self._due: dict[Device, float] = dict.fromkeys(devices, 0.0)
        self._closed = False

    def take(self, device: Device) -> Trainer:
        """The one that waits for `device`, or a new one; raises OSError when none can be started."""
        with self._lock:
            trainer = self._waiting.pop(device, None)
            if device in self._due:
                self._due[device] = time.monotonic() + self._replace_after_s
        if trainer is not None and trainer.exit_status is None:
            return trainer
        if trainer is not None:
            self._tell_death(trainer)
        return self._start(device)

    def keep(self) -> None:
        """Start what is missing and due, and say why one that ended did; to be called about every second."""
        with self._lock:
            if self._closed:
                return
            now = time.monotonic()
            for device, due in self._due.items():
                trainer = self._waiting.get(device)
                if trainer is not None and trainer.exit_status is not None:
                    self._tell_death(trainer)
                    del self._waiting[device]
                    self._due[device] = now + RETRY_AFTER_S
                elif trainer is None and now >= due:
                    self._refill(device, now)

    def close(self) -> None:
        """End all that wait."""
        with self._lock:
            self._closed = True
            waiting = list(self._waiting.values())
            self._waiting.clear()
        for trainer in waiting:
            trainer.end(grace_s=0.0)  # it has nothing to save

    def _refill(self, device: Device, now: float) -> None:
        available = memory_available_bytes()
        if available is not None and available < MEMORY_FLOOR_BYTES:
            self._due[device] = now + RETRY_AFTER_S
            log.info("standby.no_memory", extra={"available_mib": available >> 20})
            return
        try:
            self._waiting[device] = self._start(device)
        except OSError as error:
            self._due[device] = now + RETRY_AFTER_S
            log.error("standby.failed", extra={"why": error.strerror})

    @staticmethod
    def _tell_death(trainer: Trainer) -> None:
        trainer.end(grace_s=0.0)
        why = scrub("\n".join(trainer.last_words()[-8:]))
        log.error("standby.failed", extra={"status": trainer.exit_status, "why": why})
