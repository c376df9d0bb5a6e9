"""Who writes to a run's folder: one process at a time, and of several attempts the newest.

A writer holds `.lock` (flock, so a dead holder's lock is free). `.attempt` holds the number of the attempt that
owns the run by now: a trainer that finds a higher one than its own has a successor waiting for the lock, saves what
it has, and ends. That is how a run is taken over from a worker that was stopped in its tracks and may wake up.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import filelock

from core.bundle import unwritable, write_atomic
from core.errors import BundleBusy, RunFolderGone

LOCK = ".lock"
ATTEMPT = ".attempt"
#: Beside the bundle, and no part of it: what the worker noted of the run while it trained, and the trainer's log.
HISTORY = "history.json"
LOG = "trainer.log"
LOOK_S = 1.0


class Hold:
    """A folder that this process alone writes to."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._mine = _identity(folder)
        self._next_look = 0.0

    def check(self) -> None:
        """Raise RunFolderGone once the folder was removed, moved or replaced; looks at most once a second.

        Without it a run would write its checkpoints into a folder made anew, and miss the rest at its end.
        """
        now = time.monotonic()
        if now >= self._next_look:
            self._next_look = now + LOOK_S
            if _identity(self._folder) != self._mine:
                raise RunFolderGone(run=self._folder.name)


@contextmanager
def held(folder: Path) -> Iterator[Hold]:
    """Hold the folder alone, and make it if need be. Raises BundleBusy, HomeUnusable or StorageFull."""
    lock = filelock.FileLock(folder / LOCK, timeout=0)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        lock.acquire()
    except filelock.Timeout:  # an OSError too, so it comes first
        raise BundleBusy(folder=str(folder)) from None
    except OSError as error:
        raise unwritable(folder, error) from None
    try:
        yield Hold(folder)
    finally:
        lock.release()


def is_held(folder: Path) -> bool:
    """Whether some process holds the folder now. Changes nothing; a folder that cannot be read counts as free."""
    if not (folder / LOCK).exists():
        return False
    lock = filelock.FileLock(folder / LOCK, timeout=0)
    try:
        lock.acquire()
    except filelock.Timeout:
        return True
    except OSError:  # whoever writes there will say what is wrong
        return False
    lock.release()
    return False


def take_over(folder: Path, attempt: int) -> None:
    """Note that `attempt` owns the run; an older attempt's trainer ends by itself. Raises HomeUnusable or StorageFull."""
    write_atomic(folder / ATTEMPT, str(attempt).encode())


def is_superseded(folder: Path, attempt: int) -> bool:
    """Whether a later attempt than this one owns the run."""
    try:
        return int((folder / ATTEMPT).read_bytes()) > attempt
    except (OSError, ValueError):
        return False


def _identity(folder: Path) -> tuple[int, int] | None:
    """What tells this folder's lock file apart from every other file."""
    try:
        found = os.stat(folder / LOCK)
    except OSError:
        return None
    return found.st_dev, found.st_ino
