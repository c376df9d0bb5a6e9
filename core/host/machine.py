"""What this machine has: cores, memory, GPUs. Asked of the system; torch is not needed for any of it."""

from __future__ import annotations

import os
import sys
from dataclasses import dataclass
from math import floor
from pathlib import Path

CGROUP_CPU_MAX = Path("/sys/fs/cgroup/cpu.max")
CGROUP_MEMORY = Path("/sys/fs/cgroup")
MEMINFO = Path("/proc/meminfo")


@dataclass(frozen=True, kw_only=True)
class Gpu:
    """One NVIDIA GPU, or a part of one (MIG). `index` is what CUDA_VISIBLE_DEVICES takes: a number or a UUID."""

    index: str
    name: str
    memory_mib: int
    driver: str


def cores() -> int:
    """Cores that this process may use: its affinity, and the quota of its container (cgroup v2)."""
    allowed = len(os.sched_getaffinity(0)) if sys.platform.startswith("linux") else os.cpu_count() or 1
    try:
        quota, period = CGROUP_CPU_MAX.read_text().split()
        if quota != "max":
            allowed = min(allowed, max(1, floor(int(quota) / int(period))))
    except (OSError, ValueError):
        pass
    return allowed


def memory_total_bytes() -> int | None:
    """All memory of this machine, or of this container where it has less; None where the system does not tell."""
    known = [value for value in (_meminfo("MemTotal:"), _limit_of_container()) if value is not None]
    return min(known) if known else None


def memory_available_bytes() -> int | None:
    """What could be allocated without swapping, here and in this container; None where the system does not tell."""
    left = [value for value in (_available_on_host(), _left_in_container()) if value is not None]
    return min(left) if left else None


def _available_on_host() -> int | None:
    return _meminfo("MemAvailable:")


def _meminfo(field: str) -> int | None:
    """A line of proc(5)'s meminfo."""
    try:
        for line in MEMINFO.read_text().splitlines():
            if line.startswith(field):
                return int(line.split()[1]) * 1024  # the file's "kB" are KiB
    except (OSError, ValueError, IndexError):
        pass
    return None


def _limit_of_container() -> int | None:
    try:
        limit = (CGROUP_MEMORY / "memory.max").read_text().strip()
        return None if limit == "max" else int(limit)
    except (OSError, ValueError):
        return None


def _left_in_container() -> int | None:
    """What the limit of a cgroup (v2) leaves, page cache counted as free."""
    try:
        limit = (CGROUP_MEMORY / "memory.max").read_text().strip()
        used = int((CGROUP_MEMORY / "memory.current").read_text())
        stat = dict(line.split() for line in (CGROUP_MEMORY / "memory.stat").read_text().splitlines())
        return None if limit == "max" else max(int(limit) - used + int(stat.get("inactive_file", 0)), 0)
    except (OSError, ValueError):
        return None
