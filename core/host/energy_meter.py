"""Meters of this machine's energy: RAPL of the processor, NVML of a GPU. Neither is needed by anything.

RAPL: Linux power capping framework, https://www.kernel.org/doc/html/latest/power/powercap/powercap.html. `energy_uj` counts
microjoules and begins again at zero beyond `max_energy_range_uj`, after minutes of a busy machine, so it is read often.
Only zones `intel-rapl:N` named package-N are taken (AMD's too have that name), and their subzones `dram`; `psys` and the
same package once more under `intel-rapl-mmio` would count twice. NVML: nvmlDeviceGetTotalEnergyConsumption, millijoules since
the driver was loaded (Volta and newer).
"""

from __future__ import annotations

import ctypes
import re
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Literal, Self

from core.schemas.training_energy import TrainingEnergy

POWERCAP = Path("/sys/class/powercap")
ZONE = re.compile(r"intel-rapl:\d+")
SUBZONE = re.compile(r"intel-rapl:\d+:\d+")
EVERY_S = 10.0
NOT_THERE = "this machine has no meter of energy (RAPL or NVML)"
NOT_READ = "its meter of energy (RAPL) may be read by the administrator alone"
STOOD_STILL = "its meters of energy stood still"

Part = Literal["package_j", "dram_j", "gpu_j"]


@dataclass(kw_only=True)
class Counter:
    """A meter that only rises, but for beginning again at zero beyond `span`; `unit_j` joules each. `read` raises OSError."""

    part: Part
    read: Callable[[], int]
    unit_j: float
    span: int | None = None
    counted: int = field(default=0, init=False)
    broken: bool = field(default=False, init=False)
    _last: int | None = field(default=None, init=False)

    def look(self) -> None:
        """Add what was counted since the last look. One that cannot be read any more, or fell, tells nothing at all."""
        try:
            now = self.read()
        except (OSError, ValueError):
            self.broken = True
            return
        if self._last is not None:
            since = now - self._last
            if since < 0 and self.span is None:
                self.broken = True
                return
            self.counted += since if since >= 0 else since + (self.span or 0)
        self._last = now


class EnergyMeter:
    """Counts while it is entered; a thread looks every `every_s`, so that no counter begins again unseen."""

    def __init__(
        self,
        *,
        gpu: str | None = None,
        powercap: Path = POWERCAP,
        every_s: float = EVERY_S,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """`gpu`: the UUID of the GPU that trains, as NVML has it."""
        self._counters, self._why = rapl(powercap)
        self._counters += nvml(gpu) if gpu is not None else []
        self._clock, self._every_s = clock, every_s
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._work, name="energy", daemon=True)
        self._began = self._ended = clock()

    def __enter__(self) -> Self:
        self._began = self._clock()
        self.look()
        if self._counters:
            self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stopping.set()
        if self._thread.ident is not None:
            self._thread.join()
        self.look()
        self._ended = self._clock()

    def look(self) -> None:
        for counter in self._counters:
            counter.look()

    def told(self, *, whole_run: bool) -> TrainingEnergy:
        """What was counted between entering and leaving; a part whose counter did not move has no figure."""
        sums: dict[Part, float] = {}
        broken = {counter.part for counter in self._counters if counter.broken}
        for counter in self._counters:
            if counter.counted > 0 and counter.part not in broken:
                sums[counter.part] = sums.get(counter.part, 0.0) + counter.counted * counter.unit_j
        why = None if sums else STOOD_STILL if self._counters else self._why
        seconds = self._ended - self._began
        return TrainingEnergy(**sums, seconds=seconds, whole_run=whole_run, unavailable=why)

    def _work(self) -> None:
        while not self._stopping.wait(self._every_s):
            self.look()


def rapl(powercap: Path) -> tuple[list[Counter], str]:
    """The processor's counters that may be read, and why where there are none."""
    found: list[Counter] = []
    why = NOT_THERE
    for zone in sorted(powercap.glob("intel-rapl:*")):
        try:
            name = (zone / "name").read_text().strip()
            if ZONE.fullmatch(zone.name) and name.startswith("package"):
                part: Part = "package_j"
            elif SUBZONE.fullmatch(zone.name) and name == "dram":
                part = "dram_j"
            else:
                continue
            span = int((zone / "max_energy_range_uj").read_text())
            counter = Counter(part=part, read=_reader(zone / "energy_uj"), unit_j=1e-6, span=span)
            counter.read()
        except PermissionError:
            why = NOT_READ
        except (OSError, ValueError):
            continue
        else:
            found.append(counter)
    return found, why


def _reader(file: Path) -> Callable[[], int]:
    return lambda: int(file.read_text())


def nvml(gpu: str, *, library: str = "libnvidia-ml.so.1") -> list[Counter]:
    """The counter of one GPU by its UUID; empty where there is no NVML, or a GPU that has none, as a part of one (MIG)."""
    try:
        driver = ctypes.CDLL(library)
        handle = ctypes.c_void_p()
        if driver.nvmlInit_v2() or driver.nvmlDeviceGetHandleByUUID(gpu.encode(), ctypes.byref(handle)):
            return []
        ask = driver.nvmlDeviceGetTotalEnergyConsumption
    except (OSError, AttributeError):
        return []

    def read() -> int:
        told = ctypes.c_ulonglong()
        if ask(handle, ctypes.byref(told)):
            raise OSError("NVML does not tell")
        return told.value

    try:
        read()
    except OSError:
        return []
    return [Counter(part="gpu_j", read=read, unit_j=1e-3)]
