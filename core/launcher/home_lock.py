"""One `spikefront up` a data folder: the lock, and where the running one answers."""

from __future__ import annotations

import fcntl
import json
import os
from pathlib import Path

from core.errors import HomeUnusable
from core.settings import Settings, prepare_home

LOCK_FILE = "up.lock"


class HomeLock:
    """An exclusive `flock` on the data folder. The kernel drops it when its holder dies, however that happens."""

    def __init__(self, settings: Settings) -> None:
        self._home = settings.home
        self._descriptor: int | None = None

    def acquire(self, *, address: str) -> None:
        """Take the lock and note `address` in it; raises HomeUnusable naming the address of the one that has it."""
        path = self._home / LOCK_FILE
        try:
            descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise HomeUnusable(folder=str(self._home), why=f"{path.name}: {error.strerror}.") from None
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            held = _read(descriptor)
            os.close(descriptor)
            where = f" at {held['address']} (process {held['pid']})" if held else ""
            raise HomeUnusable(
                folder=str(self._home),
                why=f"Spikefront is already running on it{where}. Use that one, stop it with Ctrl-C, "
                "or start a second one with SPIKEFRONT_HOME=<another folder>.",
            ) from None
        except OSError as error:  # a file system without locks
            os.close(descriptor)
            raise HomeUnusable(folder=str(self._home), why=f"it cannot be locked: {error.strerror}.") from None
        try:
            os.ftruncate(descriptor, 0)
            os.pwrite(descriptor, json.dumps({"pid": os.getpid(), "address": address}).encode(), 0)
        except OSError as error:
            os.close(descriptor)
            raise HomeUnusable(folder=str(self._home), why=f"{path.name}: {error.strerror}.") from None
        self._descriptor = descriptor

    def release(self) -> None:
        """Give the lock back; the file stays, because removing it would let two processes lock two files."""
        if self._descriptor is not None:
            os.ftruncate(self._descriptor, 0)
            os.close(self._descriptor)
            self._descriptor = None


def running_address(settings: Settings) -> str | None:
    """Where the Spikefront that holds this data folder answers; None when none runs."""
    try:
        descriptor = os.open(settings.home / LOCK_FILE, os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return None
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
        return None
    except BlockingIOError:
        held = _read(descriptor)
        return str(held["address"]) if held else None
    except OSError:
        return None
    finally:
        os.close(descriptor)


def _read(descriptor: int) -> dict[str, str | int] | None:
    try:
        return json.loads(os.pread(descriptor, 4096, 0))
    except (OSError, ValueError):  # its holder is just writing it
        return None


def make_folder(settings: Settings, name: str) -> Path:
    """`SPIKEFRONT_HOME/name`, private to its owner; raises HomeUnusable."""
    prepare_home(settings)
    folder = settings.home / name
    try:
        folder.mkdir(mode=0o700, exist_ok=True)
        folder.chmod(0o700)
    except OSError as error:
        raise HomeUnusable(folder=str(folder), why=f"{error.strerror}.") from None
    return folder
