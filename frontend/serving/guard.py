"""Lets nobody into the dashboard without its key: pages, files and the websocket alike.

The dashboard acts with its owner's rights, so every request but the health check needs a cookie, and
the cookie, the id of a session (`frontend.serving.sessions`), is given for the key alone. What is checked, in this order:

1. Host: a name that is not ours means DNS rebinding (an outside page that points its own name at us).
2. Origin: a websocket or a changing request that comes from another page is refused.
3. `?key=`: the right key gives the cookie and leads to the same address without it.
4. The cookie, else the page that asks for the key.
"""

from __future__ import annotations

import asyncio
import hmac
import ipaddress
import logging
import re
import socket
from collections.abc import Awaitable, Callable, Iterable, MutableMapping
from typing import Any
from urllib.parse import parse_qs, parse_qsl, quote, urlencode, urlsplit

from frontend.serving.door import bounce, door, notice
from frontend.serving.sessions import Sessions, cookie_values

log = logging.getLogger(__name__)

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
Headers = list[tuple[bytes, bytes]]

HEALTH = "/_stcore/health"
KEY_FORM = "/_key"
FORM_LIMIT = 8192  # bytes; a key is 43 characters
FORM_S = 10.0  # until all of it is here: anybody may begin one
WAITING_LIMIT = 16  # wrong keys that may wait at once

_PAGE: Headers = [
    (b"content-type", b"text/html; charset=utf-8"),
    (b"cache-control", b"no-store"),
    (
        b"content-security-policy",
        b"default-src 'none'; style-src 'unsafe-inline'; form-action 'self'; frame-ancestors 'none'; base-uri 'none'",
    ),
]
_EVERYWHERE: Headers = [
    (b"x-content-type-options", b"nosniff"),
    (b"x-frame-options", b"SAMEORIGIN"),
    # not "no-referrer": under it a form sends `Origin: null`, which the check below would refuse
    (b"referrer-policy", b"same-origin"),
]
# The browser loads nothing from elsewhere and sends nothing there. Streamlit styles in line, and its charts
# compile functions at run time. The websocket is named, since not every browser counts it as 'self'.
_POLICY = (
    "default-src 'self'; script-src 'self' 'unsafe-inline' 'unsafe-eval' blob:; style-src 'self' 'unsafe-inline'; "
    "img-src 'self' data: blob:; font-src 'self' data:; connect-src 'self'{sockets}; "
    "worker-src 'self' blob:; frame-ancestors 'self'; base-uri 'self'; form-action 'self'; object-src 'none'"
)
#: A Host header: a name or a literal address, and a port. Nothing else can stand in it, so it fits into a policy.
_HOST = re.compile(r"(?P<name>[A-Za-z0-9._-]+|\[[0-9A-Fa-f:.]+\])(:[0-9]{1,5})?")
#: Other names of the first page, which Streamlit knows at `/` alone.
HOME = ("/explore", "/explore/")


class Guard:
    """ASGI middleware around the whole dashboard."""

    def __init__(
        self,
        app: Any,
        *,
        token: str,
        port: int,
        host: str,
        names: Iterable[str] = (),
        wait_s: float = 0.5,
        sessions: Sessions | None = None,
    ) -> None:
        """`host` is the address bound, `names` are others that browsers may call us by.

        `wait_s` is the first delay after a wrong key, doubled up to 8 s.
        """
        self._app = app
        self._token = token
        # Cookies belong to a host whatever the port: two dashboards on one machine need two names.
        self.cookie = f"spikefront_{port}"
        self._sessions = sessions or Sessions()
        self._names = {name.lower() for name in ("localhost", host, socket.gethostname(), *names)}
        self._wait_s = wait_s
        self._wrong = 0
        self._waiting = 0
        self._queue = asyncio.Lock()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
            return
        headers = {name: value.decode("latin-1") for name, value in scope["headers"]}
        # in as many lines as the client or a proxy likes
        headers[b"cookie"] = "; ".join(value.decode("latin-1") for name, value in scope["headers"] if name == b"cookie")
        if not self._host_is_ours(headers.get(b"host")):
            log.warning("guard.wrong_host", extra={"host": headers.get(b"host", "")[:200]})
            await _refuse(
                scope,
                send,
                421,
                notice(title="Not under this name", text="Open the dashboard by the address that it printed."),
            )
        elif scope["type"] == "websocket":
            await self._websocket(scope, receive, send, headers)
        else:
            await self._http(scope, receive, _with_headers(send, headers[b"host"]), headers)

    async def _websocket(self, scope: Scope, receive: Receive, send: Send, headers: dict[bytes, str]) -> None:
        left_s = self._session_left_s(headers) if _origin_is_ours(headers) else 0.0
        if left_s > 0:
            try:
                async with asyncio.timeout(left_s) as end:  # an open page ends with its session
                    await self._app(scope, receive, send)
            except TimeoutError:
                if not end.expired():
                    raise
        else:
            log.warning("guard.websocket_refused", extra={"origin": headers.get(b"origin", "")[:200]})
            await _refuse(scope, send, 403, b"")

    async def _http(self, scope: Scope, receive: Receive, send: Send, headers: dict[bytes, str]) -> None:
        path = scope["path"]
        if path == HEALTH and scope["method"] in ("GET", "HEAD"):
            await self._app(scope, receive, send)
            return
        if scope["method"] not in ("GET", "HEAD") and not _origin_is_ours(headers):
            await _refuse(scope, send, 403, notice(title="Refused", text="This request comes from another site."))
            return
        if path == KEY_FORM and scope["method"] == "POST":
            await self._form(scope, receive, send)
            return
        query = parse_qsl(scope["query_string"].decode("latin-1"), keep_blank_values=True)
        keys = [value for name, value in query if name == "key"]
        target = _address(path, ((name, value) for name, value in query if name != "key"))
        if keys:
            await self._judge(scope, send, keys[0], target)
        elif self._session_left_s(headers) > 0:
            if path in HOME:
                home = _address("/", query).encode("latin-1", "replace")
                await _answer(scope, send, 307, b"", [(b"location", home)])
            else:
                await self._app(scope, receive, send)
        elif headers.get(b"sec-fetch-site") == "cross-site" and headers.get(b"sec-fetch-mode") == "navigate":
            # A strict cookie stays at home when a link on another site is followed: come again from here.
            await _answer(scope, send, 200, bounce(path=target))
        else:
            await _answer(scope, send, 401, door(action=KEY_FORM, path=target))

    async def _form(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            async with asyncio.timeout(FORM_S):
                body = await _bounded_body(receive)
        except TimeoutError:
            await _answer(scope, send, 408, notice(title="Too slow", text="Open the page and try again."))
            return
        if body is None:
            await _answer(scope, send, 413, notice(title="Too long", text="That is no key."))
            return
        fields = parse_qs(body.decode("utf-8", "replace"))
        try:
            wanted = urlsplit(fields.get("next", ["/"])[0])
        except ValueError:
            await _answer(scope, send, 400, notice(title="Unreadable", text="The page to open next is no address."))
            return
        target = _address(wanted.path, parse_qsl(wanted.query, keep_blank_values=True))
        await self._judge(scope, send, fields.get("key", [""])[0].strip(), target)

    async def _judge(self, scope: Scope, send: Send, key: str, target: str) -> None:
        """The right key: a cookie and on to `target`. A wrong one: a sentence, later each time."""
        if hmac.compare_digest(key.encode(), self._token.encode()):
            self._wrong = 0
            cookie = (
                f"{self.cookie}={self._sessions.begin()}; Path=/; Max-Age={self._sessions.lifetime_s:.0f}; "
                "HttpOnly; SameSite=Strict"
            )
            if scope.get("scheme") == "https":
                cookie += "; Secure"
            extra = [(b"location", target.encode("latin-1", "replace")), (b"set-cookie", cookie.encode())]
            await _answer(scope, send, 303, b"", extra)
            return
        log.warning("guard.wrong_key", extra={"client": (scope.get("client") or ("?",))[0]})
        if self._waiting >= WAITING_LIMIT:
            await _answer(scope, send, 429, notice(title="Too many wrong keys", text="Wait a moment and try again."))
            return
        self._waiting += 1
        try:
            async with self._queue:  # one after another, so that guessing in parallel gains nothing
                await asyncio.sleep(min(self._wait_s * 2**self._wrong, 8.0))
                self._wrong = min(self._wrong + 1, 10)
        finally:
            self._waiting -= 1
        await _answer(scope, send, 401, door(action=KEY_FORM, path=target, complaint="That key does not fit."))

    def _session_left_s(self, headers: dict[bytes, str]) -> float:
        """Of all cookies of our name: one that is not ours may stand beside the one that is."""
        return self._sessions.left_s(cookie_values(headers[b"cookie"], self.cookie))

    def _host_is_ours(self, host: str | None) -> bool:
        """Our names, or any literal address: rebinding needs a name that the attacker's DNS answers for."""
        found = _HOST.fullmatch(host or "")
        if found is None:
            return False
        name = found["name"].lower()
        if name.rstrip(".") in self._names:
            return True
        try:
            ipaddress.ip_address(name.strip("[]"))
        except ValueError:
            return False
        return True


async def _bounded_body(receive: Receive) -> bytes | None:
    """The body of a form; None of one that is too long, or whose client has gone."""
    body, more = b"", True
    while more:
        message = await receive()
        if message["type"] == "http.disconnect":
            return None
        body += message.get("body", b"")
        more = message.get("more_body", False)
        if len(body) > FORM_LIMIT:
            return None
    return body


def _origin_is_ours(headers: dict[bytes, str]) -> bool:
    """No Origin (not a browser), or the same host and port as the request's own."""
    origin = headers.get(b"origin")
    try:
        return origin is None or urlsplit(origin).netloc.lower() == headers.get(b"host", "").lower()
    except ValueError:  # no address at all
        return False


def _address(path: str, query: Iterable[tuple[str, str]]) -> str:
    """A path on this site and nowhere else: `//evil.example` would be another host."""
    rest = urlencode(list(query))
    return quote("/" + path.lstrip("/\\"), safe="/-._~!$&'()*+,;=:@") + (f"?{rest}" if rest else "")


def _with_headers(send: Send, host: str) -> Send:
    """`host` has passed the check of names, so it holds no sign that could end a directive.

    A policy has no form for an IPv6 address; there the websocket is 'self' or nothing.
    """
    sockets = "" if host.startswith("[") else f" ws://{host} wss://{host}"
    policy = (b"content-security-policy", _POLICY.format(sockets=sockets).encode("ascii"))

    async def sending(message: MutableMapping[str, Any]) -> None:
        if message["type"] == "http.response.start":
            present = {name.lower() for name, _ in message.get("headers", [])}
            extra = [pair for pair in (*_EVERYWHERE, policy) if pair[0] not in present]
            message = {**message, "headers": [*message.get("headers", []), *extra]}
        await send(message)

    return sending


async def _refuse(scope: Scope, send: Send, status: int, body: bytes) -> None:
    if scope["type"] == "websocket":
        await send({"type": "websocket.close", "code": 1008})  # before accept: the server answers 403
    else:
        await _answer(scope, send, status, body)


async def _answer(scope: Scope, send: Send, status: int, body: bytes, extra: Headers | None = None) -> None:
    headers = [*_PAGE, *(extra or []), (b"content-length", str(len(body)).encode())]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": b"" if scope["method"] == "HEAD" else body})
