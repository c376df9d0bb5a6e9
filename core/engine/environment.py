"""The machine: which device, how much memory, and what to note of it. Never host, user or path."""

from __future__ import annotations

import platform
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from core.backbones.plan import Plan
from core.errors import BadValue, OutOfMemory
from core.forecast import training_memory_bytes
from core.host.energy_meter import EnergyMeter
from core.host.machine import memory_available_bytes
from core.host.versions import installed
from core.schemas.run import RunConfig

DEVICES = ("auto", "cpu", "cuda")


def choose_device(wanted: str) -> torch.device:
    """`auto` takes a GPU where there is one. Raises BadValue for another word or a GPU that is not there."""
    there = torch.cuda.is_available()
    if wanted not in DEVICES:
        raise BadValue(field="device", value=wanted, expected=f"one of {', '.join(DEVICES)}")
    if wanted == "cuda" and not there:
        raise BadValue(field="device", value=wanted, expected="cpu: this machine has no usable GPU")
    return torch.device("cuda" if there and wanted != "cpu" else "cpu")


def describe_device(device: torch.device) -> str:
    """`cpu`, or the name of the GPU."""
    return torch.cuda.get_device_name(device) if device.type == "cuda" else "cpu"


def energy_meter(device: torch.device) -> EnergyMeter:
    """Of this machine's processor, and of the GPU where one trains."""
    uuid = getattr(torch.cuda.get_device_properties(device), "uuid", None) if device.type == "cuda" else None
    return EnergyMeter(gpu=None if uuid is None else f"GPU-{uuid}")


def available_bytes(device: torch.device) -> int | None:
    """Memory that a run may still take; None where nobody says."""
    if device.type == "cuda":
        return torch.cuda.mem_get_info(device)[0]
    return memory_available_bytes()


@dataclass(frozen=True, kw_only=True)
class _Need:
    plan: Plan
    config: RunConfig
    device: torch.device

    def bytes_at(self, batch_size: int) -> int:
        training = self.config.training.model_copy(update={"batch_size": batch_size})
        config = self.config.model_copy(update={"training": training})
        twice = training.differentiates_twice  # plain torch, with the backward pass kept beside the forward one
        need = training_memory_bytes(self.plan, config, fused=self.device.type == "cpu" and not twice)
        return 2 * need if twice else need


def fitting_batch(plan: Plan, config: RunConfig, device: torch.device) -> int | None:
    """The largest halving of the batch size whose estimated need leaves a fifth of the memory; None if none does."""
    need, left = _Need(plan=plan, config=config, device=device), available_bytes(device)
    size = config.training.batch_size // 2
    while size >= 1:
        if left is None or need.bytes_at(size) <= 0.8 * left:
            return size
        size //= 2
    return None


def require_precision(config: RunConfig, device: torch.device) -> None:
    """Raise BadValue for mixed precision on a CPU, whose compiled kernels know float32 and float64."""
    if config.training.precision == "mixed" and device.type != "cuda":
        raise BadValue(field="training.precision", value="mixed", expected="float32 here: mixed needs a GPU")


def require_memory(plan: Plan, config: RunConfig, device: torch.device) -> None:
    """Raise OutOfMemory before a run that would be killed for memory, which no process can report itself."""
    left = available_bytes(device)
    if left is not None and _Need(plan=plan, config=config, device=device).bytes_at(config.training.batch_size) > left:
        raise OutOfMemory(
            device=device.type, batch_size=config.training.batch_size, fits=fitting_batch(plan, config, device)
        )


def environment(device: torch.device) -> dict[str, Any]:
    """What the numbers were made with."""
    noted: dict[str, Any] = {
        "spikefront": installed("spikefront"),
        "python": platform.python_version(),
        "torch": torch.__version__,
        "spikingjelly": installed("spikingjelly"),
        "numpy": installed("numpy"),
        "numba": installed("numba"),
        "system": f"{platform.system()} {platform.machine()}",
        "processor": _processor(),
        "threads": torch.get_num_threads(),
        "device": describe_device(device),
        "git_commit": _commit(),
    }
    if device.type == "cuda":
        noted |= {"cuda": torch.version.cuda, "cudnn": torch.backends.cudnn.version()}
        noted["tf32"] = torch.backends.cudnn.allow_tf32
    return noted


def _processor() -> str | None:
    """The CPU's model as Linux names it."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor() or None
    return next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), None)


def _commit() -> str | None:
    """The commit of the source tree, `+` after it where files differ; None outside a repository."""
    root = Path(__file__).parents[2]
    if not (root / ".git").exists():
        return None
    git = ["git", "-C", str(root)]
    try:
        head, changed = (
            subprocess.run([*git, *words], capture_output=True, text=True, timeout=5, check=True).stdout.strip()
            for words in (("rev-parse", "HEAD"), ("status", "--porcelain", "--untracked-files=no"))
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return f"{head}+" if changed else head
