"""An unfinished run on disk: one safetensors file, whose metadata carries the rest as JSON.

One file and one rename, so weights, optimiser and bookkeeping can never be of different moments.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

from core.bundle import CHECKPOINT, write_atomic
from core.errors import BundleCorrupt

FILE = "last.safetensors"
VERSION = 1


def save_checkpoint(folder: Path, tensors: dict[str, Tensor], state: dict[str, Any]) -> None:
    """Replace the checkpoint in `folder`. `state` is JSON-ready; its floats come back exactly."""
    content = save(
        {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()},
        metadata={"version": str(VERSION), "state": json.dumps(state)},
    )
    write_atomic(folder / FILE, content)


def load_checkpoint(folder: Path, device: torch.device) -> tuple[dict[str, Tensor], dict[str, Any]] | None:
    """What was last saved, tensors on `device`; None where there is no checkpoint.

    Raises BundleCorrupt for a damaged file.
    """
    path = folder / FILE
    if not path.is_file():
        return None
    name = f"{CHECKPOINT}/{FILE}"
    try:
        with safe_open(path, framework="pt", device=str(device)) as file:
            metadata = file.metadata() or {}
            names = file.keys()  # safe_open is no mapping
            tensors = {name: file.get_tensor(name) for name in names}
        state = json.loads(metadata["state"])
    except (SafetensorError, OSError, KeyError, ValueError) as error:
        raise BundleCorrupt(file=name, why=f"{error}. Delete the folder '{CHECKPOINT}' to start afresh.") from None
    if metadata.get("version") != str(VERSION):
        raise BundleCorrupt(
            file=name, why=f"its version is {metadata.get('version')}, not {VERSION}. Delete it to start afresh."
        )
    return tensors, state
