"""Whether the ports of the settings can be had, before anything starts."""

from __future__ import annotations

import errno
import socket

from core.errors import BadValue, PortTaken
from core.settings import Settings

WILDCARDS = {"0.0.0.0": "127.0.0.1", "::": "::1", "": "127.0.0.1"}


def check_ports(settings: Settings) -> None:
    """Raise PortTaken or BadValue, naming the setting, unless both ports are free on `settings.host`."""
    if settings.api_port == settings.dashboard_port:
        raise BadValue(
            field="SPIKEFRONT_DASHBOARD_PORT", value=settings.dashboard_port, expected="another port than the API's"
        )
    check_port(settings.host, settings.api_port, setting="SPIKEFRONT_API_PORT")
    check_port(settings.host, settings.dashboard_port, setting="SPIKEFRONT_DASHBOARD_PORT")


def check_port(host: str, port: int, *, setting: str) -> None:
    """Bind and let go. `SO_REUSEADDR` so that connections of a former start, in TIME_WAIT, do not count."""
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(
            host or None, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
    except socket.gaierror:
        raise BadValue(field="SPIKEFRONT_HOST", value=host, expected="an address of this machine") from None
    with socket.socket(family, kind, protocol) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(address)
        except OSError as error:
            if error.errno == errno.EADDRINUSE:
                raise PortTaken(port=port, setting=setting) from None
            if error.errno == errno.EACCES:
                raise BadValue(field=setting, value=port, expected="a port that this user may open") from None
            raise BadValue(field="SPIKEFRONT_HOST", value=host, expected="an address of this machine") from None


def reachable(host: str) -> str:
    """The host to connect to for one that is bound: a wildcard is reached through loopback."""
    return WILDCARDS.get(host, host)


def origin(host: str, port: int) -> str:
    """`http://host:port` as this machine reaches it."""
    host = reachable(host)
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"
