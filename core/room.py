"""Is there room on the disk for a run? Asked before it starts, because one that starts anyway is lost work."""

from __future__ import annotations

import os
import shutil
import tempfile
from pathlib import Path

from core.bundle import FULL
from core.datasets.catalog import DATASETS
from core.datasets.load import status
from core.errors import SpikefrontError
from core.forecast import STORAGE_MARGIN, storage_bytes
from core.recipes.build import plan_of
from core.schemas.run import RunConfig

TRIED_BYTES = 64 << 20  # at most: a file system that cannot reserve room writes all of it


def needed_bytes(config: RunConfig, data: Path) -> int:
    """What a run will write; of one that cannot be reckoned, such as of a data set that is gone, the margin alone."""
    try:
        with DATASETS.looking_in(data):
            spec, n_test = DATASETS[config.dataset], status(config.dataset, data).n_test
            return storage_bytes(plan_of(config), config, n_test=n_test or spec.n_test, n_classes=spec.n_classes)
    except SpikefrontError:
        return STORAGE_MARGIN


def lack(folder: Path, bytes_wanted: int, *, try_it: bool) -> str | None:
    """Why so much cannot be written below `folder`, as a sentence without its path; None when it can.

    With `try_it` the room is taken for a moment: only that meets a quota, a disk without inodes, a read-only one.
    """
    try:
        free = shutil.disk_usage(_nearest(folder)).free
    except OSError as error:
        return f"The folder of the runs cannot be read: {error.strerror}."
    if free < bytes_wanted:
        return _short(free, bytes_wanted)
    if not try_it:
        return None
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder, prefix=".room-") as file:
            if hasattr(os, "posix_fallocate"):
                os.posix_fallocate(file.fileno(), 0, min(bytes_wanted, TRIED_BYTES))
            else:
                file.write(b"\0" * 4096)
                file.flush()
    except OSError as error:
        if error.errno in FULL:
            return _short(free, bytes_wanted)
        return f"The folder of the runs cannot be written: {error.strerror}."
    return None


def _short(free: int, wanted: int) -> str:
    return (
        f"The disk that holds the runs is full: {free / 1e6:,.0f} MB free, where a run needs about "
        f"{wanted / 1e6:,.0f} MB."
    )


def _nearest(folder: Path) -> Path:
    """The folder, or the nearest above it that exists."""
    return next((place for place in (folder, *folder.parents) if place.exists()), Path("/"))
