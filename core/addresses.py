"""Addresses made of paths and hosts, and paths read from addresses: one function each, which any character survives."""

from __future__ import annotations

import hashlib
import ipaddress
import os
import re
import tempfile
from pathlib import Path
from urllib.parse import quote, unquote, urlsplit, urlunsplit

from core.errors import BadValue
from core.homes import expanded

#: sun_path holds 108 bytes on Linux and 104 on macOS, the closing zero included (unix(7), unix(4)).
SOCKET_PATH_LIMIT = 100
#: The folder of a socket of any other characters is another one, as `core.launcher.broker` starts its server.
_PLAIN_PATH = re.compile(r"[A-Za-z0-9/._~+-]+")
_BASE_PATH = re.compile(r"(/[A-Za-z0-9._~-]+){1,8}")
_HOST_NAME = re.compile(r"[A-Za-z0-9_-][A-Za-z0-9._-]{0,252}")
#: First parts of the API's own addresses, which a path of the installation may not begin with.
OURS = ("api", "s")


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


def has_password(url: str) -> bool:
    """Whether an address holds a password; what is no address at all holds none."""
    try:
        return urlsplit(url).password is not None
    except ValueError:
        return False


def with_password(url: str, password: str) -> str:
    """`url` with a password in it, whatever signs it holds."""
    parts = urlsplit(url)
    user, _, place = parts.netloc.rpartition("@")
    return urlunsplit(parts._replace(netloc=f"{user}:{quote(password, safe='')}@{place}"))


def below(path: str, base: str) -> str:
    """What of a path stands below `base`; the path itself where it does not, as behind a proxy that takes the base off."""
    if base and (path == base or path.startswith(f"{base}/")):
        return path[len(base) :] or "/"
    return path


def as_base_path(text: str) -> str:
    """`/lab/spikefront`, without a slash at its end; raises ValueError with what would be right."""
    path = text.strip().rstrip("/")
    first = path[1:].partition("/")[0]
    if path and (not _BASE_PATH.fullmatch(path) or first in OURS or {".", ".."} & set(path.split("/"))):
        raise ValueError(f"a path such as /spikefront, not one below /{' or /'.join(OURS)}")
    return path


def as_host_name(text: str) -> str:
    """A host name as it stands in a Host header, in small letters; raises ValueError with what would be right."""
    if not _HOST_NAME.fullmatch(text):
        raise ValueError("names such as lab.example, with commas or spaces between them and without ports")
    return text.lower().rstrip(".")


def as_network(text: str) -> str:
    """An address or a network; raises ValueError with what would be right."""
    try:
        return str(ipaddress.ip_network(text) if "/" in text else ipaddress.ip_address(text))
    except ValueError:
        raise ValueError("addresses and networks such as 10.0.0.5 or 172.16.0.0/12") from None


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


def nobody_reads_along(url: str) -> bool:
    """Whether nobody between here and a web address reads along: it is over TLS, or on this machine. It may have a query."""
    plain = url.partition("?")[0]
    return is_web_address(plain) and (plain.startswith("https://") or on_this_machine_alone(plain))


def on_this_machine_alone(url: str) -> bool:
    """Whether a web address means the machine of whoever opens it: `localhost` or a loopback address."""
    host = (urlsplit(url).hostname or "").rstrip(".")
    if host == "localhost" or host.endswith(".localhost"):
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
