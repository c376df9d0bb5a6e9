"""Addresses made of paths and hosts, and paths read from addresses: one function each, which any character survives."""

from __future__ import annotations

import hashlib
import ipaddress
import os
import re
import tempfile
from pathlib import Path
from urllib.parse import quote, unquote, urlsplit

from core.errors import BadValue
from core.homes import expanded

#: sun_path holds 108 bytes on Linux and 104 on macOS, the closing zero included (unix(7), unix(4)).
SOCKET_PATH_LIMIT = 100
#: The folder of a socket of any other characters is another one, as `core.launcher.broker` starts its server.
_PLAIN_PATH = re.compile(r"[A-Za-z0-9/._~+-]+")


def sqlite_url(file: Path) -> str:
    """The address of a database file, as SQLAlchemy takes it."""
    return f"sqlite:///{quote(str(file))}"


def broker_url(socket: Path) -> str:
    """The address of a broker's unix socket, as Celery takes it."""
    return f"redis+socket://{quote(str(socket), safe='/+')}?virtual_host=0"


def broker_place(home: Path) -> Path:
    """Where the embedded broker of a data folder has its socket: in that folder, or in a private one for temporary
    files when that is too long or not plain. Every process of an installation finds the same one."""
    socket = home / "broker" / "valkey.sock"
    if len(os.fsencode(socket)) <= SOCKET_PATH_LIMIT and _PLAIN_PATH.fullmatch(str(socket)):
        return socket
    name = hashlib.sha256(os.fsencode(home.resolve())).hexdigest()[:16]
    return Path(tempfile.gettempdir()) / f"spikefront-{os.getuid()}-{name}" / "valkey.sock"


def file_url(folder: Path) -> str:
    """The `file://` address of an absolute path."""
    return folder.as_uri()


def folder_of(address: str, *, setting: str) -> Path:
    """The folder that a `file://` address or a plain path names; raises BadValue for any other address."""
    if "://" not in address and not address.startswith("file:"):
        try:
            return expanded(Path(address))
        except ValueError as error:
            raise BadValue(field=setting, value=address, expected=str(error)) from None
    wrong = BadValue(
        field=setting,
        value=address,
        expected="a folder, or file:// and its absolute path with ?, # and % as %3F, %23, %25",
    )
    try:
        parts = urlsplit(address)
    except ValueError:
        raise wrong from None
    path = Path(unquote(parts.path))
    if parts.scheme != "file" or parts.netloc not in ("", "localhost") or not path.is_absolute():
        raise wrong
    if "?" in address or "#" in address:
        raise wrong
    return path


def reachable(host: str) -> str:
    """The host to connect to for one that is bound: all addresses of this machine are reached through loopback."""
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return host
    if not address.is_unspecified:
        return host
    return "127.0.0.1" if address.version == 4 else "::1"


def origin(host: str, port: int) -> str:
    """`http://host:port` as this machine reaches it."""
    host = reachable(host)
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def is_web_address(text: str) -> bool:
    """Whether links can begin with it: http or https, a host, and neither query nor fragment."""
    try:
        parts = urlsplit(text)
        return (
            parts.scheme in ("http", "https")
            and bool(parts.hostname)
            and parts.port != 0
            and not parts.query
            and not parts.fragment
        )
    except ValueError:  # brackets that do not close, a port that is no number
        return False
