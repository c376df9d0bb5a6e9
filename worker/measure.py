"""An idle worker times a small network once, so that machines, and ways to use their cores, can be compared.

Never beside a run.
"""

from __future__ import annotations

import json
import logging
import os
import subprocess
import sys
import threading
import time

from core.host.child_env import child_env
from core.host.machine import cores
from core.schemas.workers import SpeedPoint
from worker.options import Options
from worker.supervisor import Supervisor

log = logging.getLogger("spikefront.measure")

IDLE_FIRST_S = 30.0  # after its start, and after each run: what a person asks for comes first
LOOK_S = 0.5
LIMIT_S = 300.0  # loading the engine on a slow disk, once for each run that is timed beside others, is most of it
ARGV = (sys.executable, "-m", "core.cli", "speed")


def _quiet() -> bool:
    """Whether others leave this machine at least half its cores; beside them the figure would be theirs as well."""
    try:
        return os.getloadavg()[0] <= cores() / 2
    except OSError:
        return True


class Measure:
    """One thread that ends when the figure is known, or when it cannot be had."""

    def __init__(
        self, supervisor: Supervisor, *, options: Options, stopping: threading.Event, idle_first_s: float = IDLE_FIRST_S
    ) -> None:
        self._supervisor = supervisor
        self._options = options
        self._stopping = stopping
        self._idle_first_s = idle_first_s

    def start(self) -> None:
        threading.Thread(target=self.work, name="measure", daemon=True).start()

    def work(self) -> None:
        """Try until it came to an end without a run beside it."""
        while self._idle() and not self._once():
            pass

    def _idle(self) -> bool:
        """Wait for a while without a run and on a quiet machine; False when the worker stops first."""
        since = time.monotonic()
        while time.monotonic() < since + self._idle_first_s:
            if self._stopping.wait(LOOK_S):
                return False
            if self._supervisor.busy or not _quiet():
                since = time.monotonic()
        return True

    def _once(self) -> bool:
        """Whether it needs no other try; a run that comes in between ends it."""
        device = self._options.devices[0]
        argv = [*ARGV, "--device", self._options.device_kind, "--threads", str(self._options.threads)]
        argv += ["--slots", str(self._options.slots)]
        env = child_env(threads=cores(), device=device)  # it sets the threads of each figure itself
        try:
            process = subprocess.Popen(argv, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, env=env)
        except OSError as error:
            log.warning("measure.failed", extra={"why": error.strerror})
            return True
        until = time.monotonic() + LIMIT_S
        with process:
            while process.poll() is None:
                if self._supervisor.busy or self._stopping.wait(LOOK_S) or time.monotonic() > until:
                    process.kill()
                    return time.monotonic() > until
            said = process.stdout.read() if process.stdout is not None else b""
        try:
            found = json.loads(said)
            speeds = [SpeedPoint.model_validate(one) for one in found["speeds"]]
            self._supervisor.ability.measured(float(found["images_per_s"]), str(found["measured"]), speeds)
        except (ValueError, LookupError, TypeError):
            log.warning("measure.failed", extra={"status": process.returncode})
            return True
        log.info("worker.measured", extra={"images_per_s": round(found["images_per_s"], 1), "of": found["measured"]})
        return True
