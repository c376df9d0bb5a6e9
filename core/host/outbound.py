"""A POST to an address that somebody has set, and to no other: it must not reach into the network that this machine is in.

The name is resolved once, every address that it has is judged, and the connection goes to one of those: a name that
resolves to something else a moment later gains nothing. Redirects are not followed, and proxies are not asked.
"""

from __future__ import annotations

import http.client
import ipaddress
import socket
import ssl
import threading
from contextlib import suppress
from urllib.parse import urlsplit

WHOLE = 4  # times a wait's limit: what all of it may take, whatever comes letter by letter

IPAddress = ipaddress.IPv4Address | ipaddress.IPv6Address


class Refused(Exception):
    """An address that nothing is sent to; its words say why, without path and query."""


def is_public(address: str) -> bool:
    """Whether an address is one of the whole Internet: not private, loopback, link-local, shared or reserved.

    An IPv4 address inside an IPv6 one (mapped, 6to4, Teredo, NAT64 of RFC 6052) is judged as what it reaches.
    """
    found: IPAddress = ipaddress.ip_address(address.partition("%")[0])
    if isinstance(found, ipaddress.IPv6Address):
        inner = [found.ipv4_mapped, found.sixtofour, *(found.teredo or ())]
        if found in ipaddress.ip_network("64:ff9b::/96"):
            inner.append(ipaddress.IPv4Address(int(found) & 0xFFFFFFFF))
        if any(one is not None and not is_public(str(one)) for one in inner):
            return False
        if any(one is not None for one in inner):
            return True
    site_local = isinstance(found, ipaddress.IPv6Address) and found.is_site_local
    return found.is_global and not found.is_multicast and not site_local


def resolve(host: str, port: int, *, private: bool) -> list[tuple[str, int]]:
    """Address and port of each that `host` has, all of them judged. Raises Refused, or OSError where it has none."""
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, proto=socket.IPPROTO_TCP)
    places = list(dict.fromkeys((str(entry[4][0]), int(entry[4][1])) for entry in found))
    if not private:
        for address, _ in places:
            if not is_public(address):
                raise Refused(f"{host} is {address}, an address of a private network or of this machine")
    return places


class _Pinned(http.client.HTTPConnection):
    """To an address that was judged, under the name it was found by."""

    def __init__(
        self, host: str, port: int, places: list[tuple[str, int]], *, context: ssl.SSLContext | None, timeout: float
    ) -> None:
        super().__init__(host, port, timeout=timeout)
        self._places, self._context = places, context
        if context is not None:
            self.default_port = http.client.HTTPS_PORT  # of the Host header

    def connect(self) -> None:
        last: OSError | None = None
        for place in self._places:
            try:
                self.sock = socket.create_connection(place, self.timeout)
                break
            except OSError as error:
                last = error
        else:
            raise last or OSError("no address")
        if self._context is not None:
            self.sock = self._context.wrap_socket(self.sock, server_hostname=self.host)


def post(url: str, body: bytes, *, private: bool = False, timeout_s: float = 5.0) -> int:
    """The status of the answer to `body` as JSON. Raises Refused, OSError, or http.client.HTTPException.

    timeout_s: of the connection and of each wait for the answer; all of it ends after four of these. Of the answer the
    status alone is read.
    """
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise Refused("it is no address that begins with http:// or https://")
    port = parts.port or (443 if parts.scheme == "https" else 80)
    places = resolve(parts.hostname, port, private=private)
    context = ssl.create_default_context() if parts.scheme == "https" else None
    connection = _Pinned(parts.hostname, port, places, context=context, timeout=timeout_s)
    target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    try:
        headers = {"Content-Type": "application/json", "User-Agent": "spikefront", "Connection": "close"}
        connection.connect()
        limit = threading.Timer(WHOLE * timeout_s, _end, args=(connection.sock,))
        limit.daemon = True
        limit.start()
        try:
            connection.request("POST", target, body=body, headers=headers)
            return connection.getresponse().status
        finally:
            limit.cancel()
    finally:
        connection.close()


def _end(connected: socket.socket) -> None:
    with suppress(OSError):  # it has ended by itself
        connected.shutdown(socket.SHUT_RDWR)


def place_of(url: str) -> str:
    """Scheme and host of an address, for a log: its path and query may be its secret."""
    try:
        parts = urlsplit(url)
        return f"{parts.scheme}://{parts.hostname or ''}" + (f":{parts.port}" if parts.port else "")
    except ValueError:
        return "an address that cannot be read"
