"""An unfinished run on disk: one safetensors file, whose metadata carries the rest as JSON and a SHA-256 of it all.

One file and one rename, so weights, optimiser and bookkeeping can never be of different moments. The one before it is
kept where there is room: a file that has changed on the disk is noticed, put away, and the older one taken instead.
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
from contextlib import suppress
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load, save
from torch import Tensor

from core.bundle import write_atomic

log = logging.getLogger(__name__)

FILE, OLDER = "last.safetensors", "previous.safetensors"
DAMAGED = ".damaged"
VERSION = 2  # 1 had no digest
DIGEST_KEY = "sha256"
UNSET = "0" * 64  # stands in the digest's place while it is computed


def save_checkpoint(folder: Path, tensors: dict[str, Tensor], state: dict[str, Any]) -> None:
    """Replace the checkpoint in `folder`. `state` is JSON-ready; its floats come back exactly.

    Raises StorageFull or HomeUnusable; what was last saved then stays.
    """
    content = bytearray(
        save(
            {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()},
            metadata={"version": str(VERSION), "state": json.dumps(state), DIGEST_KEY: UNSET},
        )
    )
    at = _place_of(content, UNSET)
    content[at : at + len(UNSET)] = _digest(content, at).encode()
    _keep_older(folder)
    write_atomic(folder / FILE, content)


def below(tensors: dict[str, Tensor], prefix: str) -> dict[str, Tensor]:
    """Those whose names begin so, by the rest of their names."""
    return {name.removeprefix(prefix): value for name, value in tensors.items() if name.startswith(prefix)}


def load_checkpoint(folder: Path, device: torch.device) -> tuple[dict[str, Tensor], dict[str, Any]] | None:
    """What was last saved and is whole, tensors on `device`; None where there is nothing to go on from.

    A damaged file is renamed, so that nothing is written over a whole one in its favour.
    """
    for name in (FILE, OLDER):
        path = folder / name
        try:
            return _read(path.read_bytes(), device)
        except FileNotFoundError:
            continue
        except (OSError, ValueError, LookupError, TypeError, AttributeError, RecursionError, SafetensorError) as error:
            log.warning("checkpoint.damaged", extra={"file": name, "why": str(error)[:200]})
            _set_aside(path)
    return None


def set_aside(folder: Path) -> None:
    """Put checkpoints that cannot be used where nothing looks for them."""
    for name in (FILE, OLDER):
        _set_aside(folder / name)


def _set_aside(path: Path) -> None:
    with suppress(OSError):
        path.replace(path.with_name(path.name + DAMAGED))


def _read(content: bytes, device: torch.device) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Raises one of many errors unless every byte is as it was written."""
    length = int.from_bytes(content[:8], "little")
    metadata = json.loads(content[8 : 8 + length])["__metadata__"]
    digest, version = metadata.get(DIGEST_KEY), metadata["version"]
    has_none = version == "1" and digest is None
    if not has_none and (version != str(VERSION) or _digest(content, _place_of(content, digest)) != digest):
        raise ValueError("it is not what was written")
    tensors = {name: tensor.to(device) for name, tensor in load(content).items()}
    return tensors, json.loads(metadata["state"])


def _place_of(content: bytes | bytearray, digest: str) -> int:
    """Where the digest stands in the header; no other string there has quotes that are not escaped."""
    return content.index(f'"{DIGEST_KEY}":"{digest}"'.encode()) + len(f'"{DIGEST_KEY}":"')


def _digest(content: bytes | bytearray, at: int) -> str:
    """SHA-256 of the whole file with UNSET in the digest's place."""
    whole = memoryview(content)
    found = hashlib.sha256(whole[:at])
    found.update(UNSET.encode())
    found.update(whole[at + len(UNSET) :])
    return found.hexdigest()


def _keep_older(folder: Path) -> None:
    """A second name for the last file, so that at no moment there is none. Not everywhere possible, and not needed."""
    beside = folder / f".{OLDER}.tmp"
    with suppress(OSError):
        beside.unlink(missing_ok=True)
        os.link(folder / FILE, beside)
        beside.replace(folder / OLDER)
