"""What one worker offers: its queue, how many runs side by side, and on which devices."""

from __future__ import annotations

from dataclasses import dataclass

from core.errors import BadValue, ServiceFailed
from core.host.machine import cores, gpus

MAX_CPU_SLOTS = 4
QUEUES = ("cpu", "gpu")
LEASE_S = 30.0


@dataclass(frozen=True, kw_only=True)
class Options:
    """`devices` has one entry a slot: a GPU's index, or None for the CPU. `lease_s`: see `backend.store.lifecycle`."""

    queue: str
    threads: int
    devices: tuple[str | None, ...]
    lease_s: float = LEASE_S
    standby: bool = True

    @property
    def slots(self) -> int:
        """Runs that this worker trains side by side."""
        return len(self.devices)

    @property
    def device_kind(self) -> str:
        """In the trainer's words."""
        return "cuda" if self.queue == "gpu" else "cpu"


def choose(*, queue: str = "cpu", slots: int | None = None, lease_s: float = LEASE_S, standby: bool = True) -> Options:
    """The packing of this machine. Raises BadValue, or ServiceFailed when there is no GPU for `-Q gpu`.

    On the CPU a run gets one thread where it can: two one-thread runs side by side train 1.05 to 1.7
    times what one two-thread run does (measured on two cores). On GPUs one run has one GPU.
    """
    if queue not in QUEUES:
        raise BadValue(field="queue", value=queue, expected=" or ".join(QUEUES))
    if slots is not None and slots < 1:
        raise BadValue(field="slots", value=slots, expected="at least 1")
    if lease_s < 2:
        raise BadValue(field="lease", value=lease_s, expected="at least 2 seconds")
    n_cores = cores()
    if queue == "gpu":
        found = [gpu.index for gpu in gpus()]
        if not found:
            raise ServiceFailed(service="worker", why="nvidia-smi shows no GPU. Use -Q cpu, or mend the driver.")
        n = slots or len(found)
        return Options(
            queue=queue,
            threads=max(1, n_cores // n),
            devices=tuple(found[slot % len(found)] for slot in range(n)),
            lease_s=lease_s,
            standby=standby,
        )
    n = slots or min(MAX_CPU_SLOTS, n_cores)
    return Options(queue=queue, threads=max(1, n_cores // n), devices=(None,) * n, lease_s=lease_s, standby=standby)
