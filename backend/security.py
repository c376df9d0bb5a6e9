"""Who may ask: the bearer token, the names this server answers to, and headers on every answer."""

from __future__ import annotations

import hmac
import logging
import re
import time
from collections.abc import Iterable
from urllib.parse import urlsplit

from fastapi.security import HTTPBearer
from starlette.requests import HTTPConnection
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from backend.problems import BodyTooLarge, HostNotAllowed, internal, problem
from core.errors import Unauthorised
from core.schemas.inference import MAX_PICTURE_BYTES
from core.settings import Settings

log = logging.getLogger("spikefront.api")

MAX_BODY_BYTES = 1024 * 1024
#: One picture: the route reads it whole, so a longer one is refused here.
PICTURE = re.compile(r"/api/v1/runs/[^/]+/try")
#: Routes whose body is a file: they read it piece by piece and hold the bound themselves.
UPLOADS = {"/api/v1/imports": 512 * 1024 * 1024}
API = "/api/"
OPEN = frozenset({"/api/v1/health/live", "/api/v1/health/ready", "/api/v1/openapi.json"})
OPEN_BELOW = "/api/v1/shared/"
ARTIFACT = re.compile(r"/api/v1/runs/[^/]+/artifacts/[^/]+")
LOOPBACK = frozenset({"127.0.0.1", "localhost", "::1"})

#: Sent with every answer that does not say otherwise itself. No CORS header: no other page may read us.
HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-site",
    "Cache-Control": "no-store",
    "X-Robots-Tag": "noindex",
}


#: Names the scheme in the OpenAPI document; the Gate does the checking, before any body is read.
BEARER = HTTPBearer(auto_error=False, description="the file `token` in SPIKEFRONT_HOME")


def has_token(connection: HTTPConnection, token: str) -> bool:
    """Whether the request carries the bearer token; compared in constant time."""
    scheme, _, given = connection.headers.get("authorization", "").partition(" ")
    # as bytes: compare_digest refuses text beyond ASCII
    return scheme.lower() == "bearer" and hmac.compare_digest(given.strip().encode(), token.encode())


def is_open(path: str) -> bool:
    """Whether an address may be asked for without the bearer token. All else below /api/ may not.

    A share's token opens that share alone; an artifact's signed address is checked where it is served.
    """
    if not path.startswith(API):
        return True  # the share's page and its scripts; nothing else is served there
    return path in OPEN or path.startswith(OPEN_BELOW) or ARTIFACT.fullmatch(path) is not None


def body_limit(path: str) -> int:
    """The most bytes that a request to this address may carry."""
    return MAX_PICTURE_BYTES if PICTURE.fullmatch(path) else UPLOADS.get(path, MAX_BODY_BYTES)


def allowed_hosts(settings: Settings) -> frozenset[str]:
    """Names in a Host header that mean this server."""
    told = (urlsplit(url).hostname for url in (settings.api_url, settings.public_url))
    return LOOPBACK | {name for name in (settings.host, *told) if name}


class Gate:
    """Outermost layer: host check, bearer token, body bound, headers, access log, and the catch for our own faults.

    The access log names the route's pattern and its ids, never the address itself: addresses carry share
    tokens and signatures.
    """

    def __init__(self, app: ASGIApp, *, hosts: Iterable[str], token: str) -> None:
        self._app = app
        self._token = token
        self._hosts = frozenset(name.lower() for name in hosts)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        started = time.perf_counter()
        status = 0

        async def send_marked(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                present = {name.lower() for name, _ in message["headers"]}
                extra = [
                    (n.lower().encode(), v.encode()) for n, v in HEADERS.items() if n.lower().encode() not in present
                ]
                message = {**message, "headers": [*message["headers"], *extra]}
            await send(message)

        try:
            await self._serve(scope, receive, send_marked)
        except Exception:
            log.exception("request.failed", extra=_named(scope))
            if not status:  # else the answer is under way and can only break off
                await internal(instance=None)(scope, receive, send_marked)
        finally:
            wall_ms = round((time.perf_counter() - started) * 1000, 1)
            log.info("request", extra={**_named(scope), "status": status, "wall_ms": wall_ms})

    async def _serve(self, scope: Scope, receive: Receive, send: Send) -> None:
        headers = dict(scope["headers"])
        host = headers.get(b"host", b"").decode("latin-1")
        if _host_name(host) not in self._hosts:
            await problem(HostNotAllowed(host=host[:255]))(scope, receive, send)
            return
        if not is_open(scope["path"]) and not has_token(HTTPConnection(scope), self._token):
            await problem(Unauthorised())(scope, receive, send)
            return
        length, limit = headers.get(b"content-length", b""), body_limit(scope["path"])
        if length.isdigit() and int(length) > limit:
            await problem(BodyTooLarge(limit_bytes=limit))(scope, receive, send)
            return
        # no length was announced: read at most the bound, then go on; where anybody may ask, nothing reads a body
        if b"transfer-encoding" in headers and scope["path"] not in UPLOADS and not is_open(scope["path"]):
            body = await _bounded_body(receive, limit)
            if body is None:
                await problem(BodyTooLarge(limit_bytes=limit))(scope, receive, send)
                return
            receive = _replay(body, receive)
        await self._app(scope, receive, send)


def _host_name(host: str) -> str:
    """The name in a Host header, without port and brackets."""
    try:
        return (urlsplit(f"//{host}").hostname or "").lower()
    except ValueError:
        return ""


async def _bounded_body(receive: Receive, limit: int) -> bytes | None:
    chunks, size = [], 0
    while True:
        message = await receive()
        if message["type"] != "http.request":
            return b"".join(chunks)
        chunks.append(message.get("body", b""))
        size += len(chunks[-1])
        if size > limit:
            return None
        if not message.get("more_body", False):
            return b"".join(chunks)


def _replay(body: bytes, receive: Receive) -> Receive:
    """A `receive` that gives the body read already, then what the server says next."""
    pending: list[Message] = [{"type": "http.request", "body": body, "more_body": False}]

    async def replay() -> Message:
        return pending.pop() if pending else await receive()

    return replay


def _named(scope: Scope) -> dict[str, str]:
    """What the log may say of a request: method, the route's pattern, and ids (a token is no id)."""
    route = getattr(scope.get("route"), "path", None) or "(no route)"
    ids = {
        name: value
        for name, value in scope.get("path_params", {}).items()
        if name in ("run_id", "share_id", "sweep_id")
    }
    return {"method": scope["method"], "route": route, **ids}
