"""Ports of this machine: whether one can be had, and the socket that serves it."""

from __future__ import annotations

import errno
import socket

from core.errors import BadValue, PortTaken

BACKLOG = 128  # connections that may wait to be accepted


def check_port(host: str, port: int, *, setting: str) -> None:
    """Bind and let go; raises as `listen` does."""
    _bound(host, port, setting=setting).close()


def listen(host: str, port: int, *, setting: str) -> socket.socket:
    """A socket that listens; raises PortTaken, or BadValue with the setting at fault.

    For uvicorn, which would end with a traceback where it binds for itself.
    """
    listener = _bound(host, port, setting=setting)
    try:
        listener.listen(BACKLOG)
    except OSError:  # two programs may have bound the port, one of them has it
        listener.close()
        raise PortTaken(port=port, setting=setting) from None
    return listener


def _bound(host: str, port: int, *, setting: str) -> socket.socket:
    try:
        # The protocol is named: asyncio sets TCP_NODELAY on accepted connections only where it is TCP, and not zero.
        # Without it the body of an answer waits 40 ms until the client has confirmed the headers.
        family, kind, protocol, _, address = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, proto=socket.IPPROTO_TCP, flags=socket.AI_PASSIVE
        )[0]
    except (socket.gaierror, UnicodeError):
        raise BadValue(field="SPIKEFRONT_HOST", value=host, expected="an address of this machine") from None
    bound = None
    try:
        bound = socket.socket(family, kind, protocol)
        # connections of a former start, in TIME_WAIT, do not count
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:  # `::` is all addresses of this machine, those of IPv4 too
            bound.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
        bound.bind(address)
    except OSError as error:
        if bound is not None:
            bound.close()
        if error.errno == errno.EADDRINUSE:
            raise PortTaken(port=port, setting=setting) from None
        if error.errno == errno.EACCES:
            raise BadValue(field=setting, value=port, expected="a port that this user may open") from None
        raise BadValue(field="SPIKEFRONT_HOST", value=host, expected="an address of this machine") from None
    return bound
