"""What one worker offers: its queue, how many runs side by side, and on which devices."""

from __future__ import annotations

import os
import secrets
import socket
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass

from core.errors import BadValue, ServiceFailed
from core.host.child_env import child_env
from core.host.gpus import gpus
from core.host.machine import Gpu, cores, memory_total_bytes
from core.schemas.workers import Device

QUEUES = ("auto", "cpu", "gpu")
LEASE_S = 30.0
SLOT_BYTES = 3 << 29  # a trainer with its engine and a small network: below that a slot more only swaps
PROBE_LIMIT_S = 120.0


@dataclass(frozen=True, kw_only=True)
class Options:
    """`devices` has one entry a slot: a GPU's number or UUID, or None for the CPU. `lease_s`: see `backend.store.lifecycle`.

    `memory_bytes`: what all runs of this worker together may take on the CPU, or one run on a GPU; None where nobody can
    tell. `names` are the GPUs'.
    """

    queue: str
    threads: int
    devices: tuple[str | None, ...]
    lease_s: float = LEASE_S
    standby: bool = True
    memory_bytes: int | None = None
    names: tuple[str, ...] = ()

    @property
    def slots(self) -> int:
        """Runs that this worker trains side by side."""
        return len(self.devices)

    @property
    def device_kind(self) -> Device:
        """In the trainer's words."""
        return "cuda" if self.queue == "gpu" else "cpu"


def choose(
    *,
    queue: str = "auto",
    slots: int | None = None,
    lease_s: float = LEASE_S,
    standby: bool = True,
    cuda: Callable[[], str | None] | None = None,
) -> Options:
    """The packing of this machine. Raises BadValue, or ServiceFailed when there is no GPU for `-Q gpu`.

    `auto` is `gpu` where nvidia-smi shows one that torch can use, else `cpu`. On GPUs one run has one GPU. `cuda` says
    why torch cannot use them.
    """
    if queue not in QUEUES:
        raise BadValue(field="queue", value=queue, expected=" or ".join(QUEUES))
    if slots is not None and slots < 1:
        raise BadValue(field="slots", value=slots, expected="at least 1")
    if lease_s < 2:
        raise BadValue(field="lease", value=lease_s, expected="at least 2 seconds")
    found = gpus() if queue in ("auto", "gpu") else []
    why = "nvidia-smi shows no GPU. Use -Q cpu, or mend the driver." if not found else (cuda or why_no_cuda)()
    if queue == "gpu" and why is not None:
        raise ServiceFailed(service="worker", why=why)
    if queue in ("auto", "gpu") and why is None:
        return _on_gpus(found, slots, lease_s, standby)
    n, threads = packing(cores(), memory_total_bytes(), slots)
    return Options(
        queue="cpu",
        threads=threads,
        devices=(None,) * n,
        lease_s=lease_s,
        standby=standby,
        memory_bytes=memory_total_bytes(),
    )


def packing(n_cores: int, memory_bytes: int | None, slots: int | None = None) -> tuple[int, int]:
    """(slots, threads of each) on a CPU: one thread a run up to 4 cores, two up to 16, four beyond.

    Two one-thread runs side by side train 1.05 to 1.7 times what one two-thread run does (measured on two cores), so a run
    gets few threads; on many cores it gets some more, since there are seldom as many runs as cores. No more slots than
    memory has room for (SLOT_BYTES each).
    """
    if slots is None:
        wanted = 1 if n_cores <= 4 else 2 if n_cores <= 16 else 4
        slots = max(1, n_cores // wanted)
        if memory_bytes is not None:
            slots = max(1, min(slots, memory_bytes // SLOT_BYTES))
    return slots, max(1, n_cores // slots)


def _on_gpus(found: list[Gpu], slots: int | None, lease_s: float, standby: bool) -> Options:
    n = slots or len(found)
    sharing = -(-n // len(found))  # runs on one GPU, at most
    return Options(
        queue="gpu",
        threads=max(1, cores() // n),
        devices=tuple(found[slot % len(found)].index for slot in range(n)),
        lease_s=lease_s,
        standby=standby,
        memory_bytes=(min(gpu.memory_mib for gpu in found) << 20) // sharing,
        names=tuple(gpu.name for gpu in found),
    )


def why_no_cuda() -> str | None:
    """Why torch cannot use the GPUs that nvidia-smi shows; None when it can. Asked in a process of its own."""
    code = "import torch; print(torch.__version__, torch.version.cuda, torch.cuda.is_available())"
    env = child_env(threads=1, device=os.environ.get("CUDA_VISIBLE_DEVICES", "0"))
    try:
        done = subprocess.run(
            [sys.executable, "-c", code], capture_output=True, text=True, timeout=PROBE_LIMIT_S, env=env, check=False
        )
        version, built_for, able = done.stdout.split()[-3:]
    except (OSError, subprocess.SubprocessError, ValueError):
        return "torch does not load. Run 'spikefront doctor'."
    if able == "True":
        return None
    if built_for == "None":
        return f"torch {version} here is for the CPU alone. Install its CUDA build, or use -Q cpu."
    return f"torch {version} cannot use the GPU that nvidia-smi shows. Mend the driver, or use -Q cpu."


def name_of(given: str | None, *, taken: Callable[[str], bool]) -> str:
    """A name that no other worker has: the given one, or host, process and a random part; with one while it is taken."""
    name = given or f"{socket.gethostname()}:{os.getpid()}-{secrets.token_hex(3)}"
    while taken(name):
        name = f"{given or socket.gethostname()}-{secrets.token_hex(3)}"
    return name
