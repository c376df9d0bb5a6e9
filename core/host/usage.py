"""What a process takes of this machine, read from /proc (proc(5)); of a GPU, asked of `nvidia-smi`."""

from __future__ import annotations

import os
import shutil
import subprocess
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

PROC = Path("/proc")
GPU_EVERY_S = 10.0  # each question starts a process
GPU_LIMIT_S = 10.0


@dataclass(frozen=True, kw_only=True)
class Sample:
    """Over the time since the sample before. None where the system does not tell."""

    at_s: float  # since 1970
    cpu_cores: float | None
    machine_busy: float | None
    memory_bytes: int | None
    gpu_busy: float | None = None
    gpu_memory_bytes: int | None = None


class ProcessUsage:
    """Samples one process; each takes well under a millisecond and waits for nothing."""

    def __init__(
        self, pid: int, *, gpu: str | None = None, proc: Path = PROC, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._folder, self._proc, self._clock = proc / str(pid), proc, clock
        self._gpu = None if gpu is None else GpuWatch(gpu)
        self._before: tuple[float, float | None, tuple[int, int] | None] = (clock(), self.cpu_s(), self._machine())

    def close(self) -> None:
        if self._gpu is not None:
            self._gpu.close()

    def sample(self) -> Sample:
        now, cpu_s, machine = self._clock(), self.cpu_s(), self._machine()
        then, cpu_before, machine_before = self._before
        self._before = (now, cpu_s, machine)
        cores = busy = None
        if cpu_s is not None and cpu_before is not None and now > then:
            cores = max(cpu_s - cpu_before, 0.0) / (now - then)
        if machine is not None and machine_before is not None and machine[1] > machine_before[1]:
            busy = (machine[0] - machine_before[0]) / (machine[1] - machine_before[1])
        gpu_busy, gpu_memory = (None, None) if self._gpu is None else self._gpu.newest
        return Sample(
            at_s=time.time(), cpu_cores=cores, machine_busy=busy, memory_bytes=self._memory(), gpu_busy=gpu_busy,
            gpu_memory_bytes=gpu_memory,
        )  # fmt: skip

    def cpu_s(self) -> float | None:
        """Seconds that it has computed so far: utime, stime and those of children that were waited for; the name before them may hold anything."""
        try:
            fields = (self._folder / "stat").read_text(errors="replace").rpartition(")")[2].split()
            return sum(map(int, fields[11:15])) / os.sysconf("SC_CLK_TCK")
        except (OSError, ValueError):
            return None

    def _memory(self) -> int | None:
        return resident_bytes(int(self._folder.name), proc=self._proc)

    def _machine(self) -> tuple[int, int] | None:
        """Ticks of all cores since the start: at work, and all. Idle and waiting for a disk are no work."""
        try:
            ticks = [int(word) for word in (self._proc / "stat").read_text().split("\n", 1)[0].split()[1:9]]
        except (OSError, ValueError):
            return None
        return (sum(ticks) - ticks[3] - ticks[4], sum(ticks)) if len(ticks) > 4 else None


def resident_bytes(pid: int, *, proc: Path = PROC) -> int | None:
    """Memory of a process that is in RAM; None where the system does not tell."""
    try:
        return int((proc / str(pid) / "statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except (OSError, ValueError, IndexError):
        return None


def children_of(pid: int, *, proc: Path = PROC) -> list[int]:
    """Processes that a process has started and that live, of all its threads; empty where the system does not tell."""
    found: list[int] = []
    for file in proc.glob(f"{pid}/task/*/children"):
        try:
            found += map(int, file.read_text().split())
        except (OSError, ValueError):  # a thread that has ended meanwhile
            continue
    return found


class GpuWatch:
    """Asks for one GPU's load now and then, in a thread, since the answer takes a moment."""

    def __init__(self, index: str) -> None:
        self.newest: tuple[float | None, int | None] = (None, None)
        self._index, self._closed = index, threading.Event()
        if (program := shutil.which("nvidia-smi")) is not None:
            threading.Thread(target=self._watch, args=(program,), name=f"gpu-{index}", daemon=True).start()

    def close(self) -> None:
        self._closed.set()

    def _watch(self, program: str) -> None:
        query = ["--query-gpu=utilization.gpu,memory.used", "--format=csv,noheader,nounits", "-i", self._index]
        while not self._closed.is_set():
            try:
                answer = subprocess.run(
                    [program, *query], capture_output=True, text=True, timeout=GPU_LIMIT_S, check=True
                ).stdout
                self.newest = gpu_load(answer)
            except (OSError, subprocess.SubprocessError):
                self.newest = (None, None)
            self._closed.wait(GPU_EVERY_S)


def gpu_load(answer: str) -> tuple[float | None, int | None]:
    """Share of the time and bytes from a line such as `37, 2048`; None for a word such as `[N/A]`."""
    words = [word.strip() for word in answer.strip().partition("\n")[0].split(",")]
    busy, memory = (words + ["", ""])[:2]
    return (
        int(busy) / 100 if busy.isdecimal() else None,
        int(memory) * 2**20 if memory.isdecimal() else None,  # the program's "MiB"
    )
