"""One `spikefront up` a data folder: the lock, and where the running one answers."""

from __future__ import annotations

import fcntl
import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from core.addresses import reachable
from core.errors import HomeUnusable
from core.settings import Settings, prepare_home

LOCK_FILE = "up.lock"


@dataclass(frozen=True, kw_only=True)
class Running:
    """The Spikefront that holds a data folder."""

    address: str
    host: str
    ports: frozenset[int]

    def has(self, host: str, port: int) -> bool:
        """Whether a port that is taken on `host` is its own: another program may listen there on another address."""
        everywhere = any(reachable(one) != one for one in (host, self.host))
        return port in self.ports and (everywhere or host == self.host)


class HomeLock:
    """An exclusive `flock` on the data folder. The kernel drops it when its holder dies, however that happens."""

    def __init__(self, settings: Settings) -> None:
        self._home = settings.home
        self._host, self._ports = settings.host, [settings.api_port, settings.dashboard_port]
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
        held = {"pid": os.getpid(), "address": address, "host": self._host, "ports": self._ports}
        try:
            os.ftruncate(descriptor, 0)
            os.pwrite(descriptor, json.dumps(held).encode(), 0)
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


def running(settings: Settings) -> Running | None:
    """The Spikefront that holds this data folder; None when none runs."""
    try:
        descriptor = os.open(settings.home / LOCK_FILE, os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return None
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
        return None
    except BlockingIOError:
        held = _read(descriptor) or {}
        return Running(address=held["address"], host=held["host"], ports=frozenset(held["ports"]))
    except (OSError, KeyError):  # no locks here, or its holder is just writing it
        return None
    finally:
        os.close(descriptor)


def _read(descriptor: int) -> dict[str, Any] | None:
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
