"""Who may ask, and for what: bearer tokens, the names this server answers to, and headers on every answer."""

from __future__ import annotations

import hmac
import logging
import re
import time
from collections.abc import Callable, Iterable
from urllib.parse import urlsplit

from anyio import CapacityLimiter, to_thread
from fastapi import Request
from fastapi.security import HTTPBearer
from starlette.requests import HTTPConnection
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from backend.problems import BodyTooLarge, HostNotAllowed, internal, problem
from backend.rights import needed
from backend.store.actors import OWNER, Actor
from backend.traffic import Traffic
from core import request_ids
from core.addresses import below
from core.errors import BadValue, Forbidden, SpikefrontError, Unauthorised
from core.schemas.accounts import Scope as Allowed
from core.schemas.datasets import MAX_ARCHIVE_BYTES
from core.schemas.inference import MAX_PICTURE_BYTES
from core.settings import Settings

log = logging.getLogger("spikefront.api")

MAX_BODY_BYTES = 1024 * 1024
MAX_SIGN_IN_BYTES = 16 * 1024
#: One picture: the route reads it whole, so a longer one is refused here.
PICTURE = re.compile(r"/api/v1/runs/[^/]+/try")
#: Routes whose body is a file: they read it piece by piece and hold the bound themselves.
UPLOADS = {"/api/v1/imports": 512 * 1024 * 1024, "/api/v1/datasets": MAX_ARCHIVE_BYTES}
API = "/api/"
READY = "/api/v1/health/ready"
SIGN_IN = "/api/v1/sign-in"
OPEN = frozenset({"/api/v1/health/live", READY, "/api/v1/openapi.json", SIGN_IN})
METRICS = "/api/v1/metrics"
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
BEARER = HTTPBearer(auto_error=False, description="an account's token, or the file `token` in SPIKEFRONT_HOME")
#: Threads of their own for looking up tokens: those of the routes may all be waiting for what takes long.
THREADS = CapacityLimiter(8)

#: Whom a bearer token stands for; None for nobody. It may raise DatabaseDown.
Identify = Callable[[str], Actor | None]


def bearer(connection: HTTPConnection) -> str:
    """The bearer token that a request carries; empty without one."""
    scheme, _, given = connection.headers.get("authorization", "").partition(" ")
    return given.strip() if scheme.lower() == "bearer" else ""


def _same(given: str, token: str) -> bool:
    """In constant time; as bytes, since compare_digest refuses text beyond ASCII."""
    return hmac.compare_digest(given.encode(), token.encode())


async def asking(request: Request) -> Actor | None:
    """Dependency: who asks on an open route; None of a stranger."""
    found: Actor | None = getattr(request.state, "actor", None)
    return found


async def acting(request: Request) -> Actor:
    """Dependency: who asks. The gate has let nobody else through."""
    found = await asking(request)
    if found is None:
        raise Unauthorised()
    return found


def is_open(path: str) -> bool:
    """Whether an address may be asked for without a bearer token. All else below /api/ may not.

    A share's token opens that share alone; an artifact's signed address is checked where it is served.
    """
    if not path.startswith(API):
        return True  # the share's page and its scripts; nothing else is served there
    return path in OPEN or path.startswith(OPEN_BELOW) or ARTIFACT.fullmatch(path) is not None


def body_limit(path: str) -> int:
    """The most bytes that a request to this address may carry."""
    if path == SIGN_IN:
        return MAX_SIGN_IN_BYTES  # anybody may send one
    return MAX_PICTURE_BYTES if PICTURE.fullmatch(path) else UPLOADS.get(path, MAX_BODY_BYTES)


def allowed_hosts(settings: Settings) -> frozenset[str]:
    """Names in a Host header that mean this server."""
    told = (urlsplit(url).hostname for url in (settings.api_url, settings.public_url))
    return LOOPBACK | {name for name in (settings.host, *settings.allowed_hosts, *told) if name}


class Gate:
    """Outermost layer: host check, bearer token and what it may, body bound, headers, access log, catch for our faults.

    The access log names the route's pattern and its ids, never the address itself: addresses carry share
    tokens and signatures.
    """

    def __init__(
        self,
        app: ASGIApp,
        *,
        hosts: Iterable[str],
        token: str,
        base: str = "",
        metrics_token: str | None = None,
        traffic: Traffic | None = None,
        identify: Identify = lambda token: None,
    ) -> None:
        """`base` is the path below which browsers find the API; without it, as on the inner network, it is the same.

        `token` is the installation's own, which opens everything, `identify` knows those of accounts, and
        `metrics_token` opens METRICS, and nothing else.
        """
        self._identify = identify
        self._metrics_token = metrics_token
        self._traffic = traffic or Traffic()
        self._app = app
        self._base = base
        self._token = token
        self._hosts = frozenset(name.lower() for name in hosts)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        given = dict(scope["headers"]).get(request_ids.HEADER.lower().encode(), b"").decode("latin-1")
        with request_ids.answering(request_ids.accepted(given)):
            await self._answer(scope, receive, send)

    async def _answer(self, scope: Scope, receive: Receive, send: Send) -> None:
        started = time.perf_counter()
        status, began_s = 0, None
        scope["path"] = below(scope["path"], self._base)
        request_id = (request_ids.HEADER.lower().encode(), (request_ids.current() or "").encode())

        async def send_marked(message: Message) -> None:
            nonlocal status, began_s
            if message["type"] == "http.response.start":
                status, began_s = message["status"], time.perf_counter() - started
                present = {name.lower() for name, _ in message["headers"]}
                extra = [
                    (n.lower().encode(), v.encode()) for n, v in HEADERS.items() if n.lower().encode() not in present
                ]
                message = {**message, "headers": [*map(self._placed, message["headers"]), *extra, request_id]}
            await send(message)

        try:
            await self._serve(scope, receive, send_marked)
        except Exception:
            log.exception("request.failed", extra=_named(scope))
            if not status:  # else the answer is under way and can only break off
                await internal(instance=None)(scope, receive, send_marked)
        finally:
            wall_s = time.perf_counter() - started
            named = _named(scope)
            self._traffic.count(named["method"], named["route"], status, wall_s if began_s is None else began_s)
            log.info("request", extra={**named, "status": status, "wall_ms": round(wall_s * 1000, 1)})

    def _placed(self, header: tuple[bytes, bytes]) -> tuple[bytes, bytes]:
        """A Location of ours, below the base."""
        name, value = header
        return (name, self._base.encode() + value) if name == b"location" and value.startswith(b"/") else header

    async def _actor(self, connection: HTTPConnection, path: str) -> Actor | None:
        """Who asks; raises DatabaseDown where that cannot be looked up."""
        given = bearer(connection)
        if _same(given, self._token):
            return OWNER
        if path == METRICS and self._metrics_token is not None and _same(given, self._metrics_token):
            return Actor(scope=Allowed.READ, via="installation")
        return await to_thread.run_sync(self._identify, given, limiter=THREADS) if given else None

    async def _refusal(self, scope: Scope) -> SpikefrontError | None:
        """Why a request may not be answered, by who asks; notes that for the routes."""
        path, actor = scope["path"], None
        open_to_all = is_open(path)
        if not open_to_all or path in (READY, SIGN_IN) or ARTIFACT.fullmatch(path):
            try:
                actor = await self._actor(HTTPConnection(scope), path)
            except SpikefrontError as error:
                if not open_to_all:
                    return error
        scope.setdefault("state", {})["actor"] = actor
        if open_to_all:
            return None
        if actor is None:
            return Unauthorised()
        need = needed(scope["method"], path)
        return None if actor.scope.covers(need) else Forbidden(needed=need.value, given=actor.scope.value)

    async def _serve(self, scope: Scope, receive: Receive, send: Send) -> None:
        headers = dict(scope["headers"])
        host = headers.get(b"host", b"").decode("latin-1")
        if _host_name(host) not in self._hosts:
            await problem(HostNotAllowed(host=host[:255]))(scope, receive, send)
            return
        if (unfit := await self._refusal(scope)) is not None:
            await problem(unfit)(scope, receive, send)
            return
        # PostgreSQL looks for no text with this sign; of open addresses nothing is looked for as it stands
        if not is_open(scope["path"]) and ("\0" in scope["path"] or b"%00" in scope.get("query_string", b"")):
            refusal = BadValue(field="address", value="%00", expected="without that sign")
            await problem(refusal)(scope, receive, send)
            return
        length, limit = headers.get(b"content-length", b""), body_limit(scope["path"])
        if length.isdigit() and int(length) > limit:
            await problem(BodyTooLarge(limit_bytes=limit))(scope, receive, send)
            return
        # no length was announced: read at most the bound, then go on; of what is open to all one alone reads a body
        reads = not is_open(scope["path"]) or (scope["path"] == SIGN_IN and scope["method"] == "POST")
        if b"transfer-encoding" in headers and scope["path"] not in UPLOADS and reads:
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
    chunks: list[bytes] = []
    size = 0
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
