"""Where an import is unpacked: a folder beside the runs, so that the last move is a rename, and gone whatever happens.

An API that is killed cannot clear its own. Each folder holds a lock for as long as its import lives, so the next API
to start knows what is left over from what another one is at.
"""

from __future__ import annotations

import logging
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout

from backend.store.places import IMPORTS
from core.bundle import unwritable

log = logging.getLogger("spikefront.imports")

PREFIX = IMPORTS
LOCK = ".lock"


@contextmanager
def workplace(root: Path) -> Iterator[Path]:
    """An empty folder in `root` while the block runs. Raises StorageFull or HomeUnusable for what the disk refuses."""
    try:
        root.mkdir(parents=True, exist_ok=True)
        with (
            tempfile.TemporaryDirectory(dir=root, prefix=PREFIX, ignore_cleanup_errors=True) as folder,
            FileLock(Path(folder) / LOCK, timeout=0),
        ):
            yield Path(folder)
    except OSError as error:
        raise unwritable(root, error) from error


def clear_leftovers(root: Path) -> list[str]:
    """Remove the folders of imports that died with their process; their names."""
    cleared = []
    for folder in sorted(root.glob(f"{PREFIX}*")):
        try:
            with FileLock(folder / LOCK, timeout=0):
                shutil.rmtree(folder, ignore_errors=True)
        except (Timeout, OSError):  # an import that is under way, or a folder that is not ours to remove
            continue
        cleared.append(folder.name)
    if cleared:
        log.info("imports.cleared", extra={"folders": len(cleared)})
    return cleared
