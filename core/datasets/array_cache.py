"""Decoded arrays kept beside the files they came from, so that a second load is a memory map."""

from __future__ import annotations

import json
import logging
import os
import secrets
import shutil
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np

from core.schemas.base import digest

log = logging.getLogger(__name__)

FORMAT = 1  # raise it when the decoded arrays change
STALE_S = 3600.0  # an unfinished cache older than this belongs to a process that died


def key_of(files: Iterable[Path]) -> str:
    """Changes whenever a source file is another, longer or newer one."""
    stamps = [(path.name, stat.st_size, stat.st_mtime_ns) for path in files for stat in (path.stat(),)]
    return digest([FORMAT, sorted(stamps)])[:32]


def read_info(folder: Path, key: str) -> dict[str, Any] | None:
    """What `write` was told about these files; None where no whole cache of them exists."""
    try:
        return json.loads((folder / key / "info.json").read_text())
    except (OSError, ValueError):
        return None


def read(folder: Path, key: str, names: Iterable[str]) -> dict[str, np.ndarray] | None:
    """The arrays, mapped copy-on-write: pages come from disk when touched, writes stay in this process."""
    try:
        return {name: np.asarray(np.load(folder / key / f"{name}.npy", mmap_mode="c")) for name in names}
    except (OSError, ValueError):  # absent, or cut off by a full disk: decode again
        return None


def write(folder: Path, key: str, arrays: dict[str, np.ndarray], info: dict[str, Any]) -> bool:
    """Keep the arrays under `folder/key`, all or nothing; False where the folder cannot be written.

    Two processes may do this at once: the first to rename wins, and both wrote the same. A damaged cache under
    the same key is replaced.
    """
    temp = folder / f".{key}-{secrets.token_hex(4)}"
    try:
        temp.mkdir(parents=True)
        for name, array in arrays.items():
            with open(temp / f"{name}.npy", "wb") as file:
                np.save(file, array, allow_pickle=False)
                file.flush()
                os.fsync(file.fileno())
        (temp / "info.json").write_text(json.dumps(info))
        _prune(folder, keep=(temp.name, key))
        if not _is_whole(folder, key, arrays):
            shutil.rmtree(folder / key, ignore_errors=True)
            os.rename(temp, folder / key)
    except OSError as error:
        if _is_whole(folder, key, arrays):  # another process was quicker by a moment
            return True
        log.warning("datasets.cache_unwritable", extra={"folder": str(folder), "why": str(error)})
        return False
    finally:
        shutil.rmtree(temp, ignore_errors=True)
    return True


def _is_whole(folder: Path, key: str, names: Iterable[str]) -> bool:
    return read_info(folder, key) is not None and read(folder, key, names) is not None


def _prune(folder: Path, *, keep: tuple[str, ...]) -> None:
    """Drop caches of files that are gone; a process that still maps one keeps its pages."""
    for entry in folder.iterdir():
        abandoned = entry.name.startswith(".") and time.time() - entry.stat().st_mtime > STALE_S
        if entry.name not in keep and (abandoned or not entry.name.startswith(".")):
            shutil.rmtree(entry, ignore_errors=True)
