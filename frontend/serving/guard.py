"""Lets nobody into the dashboard without its key or an account: pages, files and the websocket alike.

The dashboard asks the API as whoever looks at it, so every request but the health check needs a cookie, and the cookie,
the id of a session (`frontend.serving.sessions`), is given for the key, which is its owner's, or for a name and a
password. What a session asks the API with goes to its pages as a header of ours on the websocket
(`frontend.client.connection.CREDENTIAL`), which nobody can send from outside. What is checked, in this order:

1. Host: a name that is not ours means DNS rebinding (an outside page that points its own name at us).
2. Origin: a websocket or a changing request that comes from another page is refused.
3. `?key=`: the right key gives the cookie and leads to the same address without it.
4. The cookie, else the page that asks for name and password or for the key, or leads to the sign-in provider.
"""

from __future__ import annotations

import asyncio
import hmac
import ipaddress
import logging
import re
import socket
from collections import Counter
from collections.abc import Awaitable, Callable, Coroutine, Iterable, MutableMapping
from typing import Any
from urllib.parse import parse_qs, parse_qsl, quote, urlencode, urlsplit

from core.addresses import below
from frontend.client.connection import CREDENTIAL
from frontend.serving import provider
from frontend.serving.door import Way, bounce, door, notice
from frontend.serving.sessions import Session, Sessions, cookie_values
from frontend.serving.ways_in import Accounts, NoAccounts, Refused

log = logging.getLogger(__name__)

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
Headers = list[tuple[bytes, bytes]]

HEALTH = "/_stcore/health"
KEY_FORM = "/_key"
SIGN_IN_FORM = "/_sign-in"
SIGN_OUT = "/_sign-out"
FORM_LIMIT = 8192  # bytes; a key is 43 characters
FORM_S = 10.0  # until all of it is here: anybody may begin one
WAITING_LIMIT = 16  # wrong keys that may wait at once, or sign-ins under way
_CREDENTIAL = CREDENTIAL.lower().encode()

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
_NO_REFERRER = (b"referrer-policy", b"no-referrer")
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
        base: str = "",
        secure_name: str | None = None,
        wait_s: float = 0.5,
        sessions: Sessions | None = None,
        accounts: Accounts | None = None,
    ) -> None:
        """`host` is the address bound, `names` are others that browsers may call us by.

        `base` is the path below which browsers find the dashboard; a proxy may take it off or leave it on. Under
        `secure_name` they come by HTTPS, whatever reaches us here.
        `wait_s` is the first delay after a wrong key, doubled up to 8 s.
        """
        self._app = app
        self._token = token
        self._base = base
        self._secure_name = secure_name
        # Cookies belong to a host whatever the port: two dashboards on one machine need two names.
        self.cookie = f"spikefront_{port}"
        self._sessions = sessions or Sessions()
        self._accounts = accounts or NoAccounts()
        self._entering: Counter[Way] = Counter()  # sign-ins under way
        self._open: dict[bytes, set[asyncio.Timeout]] = {}  # websockets by their session
        self._names = {name.lower() for name in ("localhost", host, socket.gethostname(), *names)}
        self._wait_s = wait_s
        self._wrong = 0
        self._waiting = 0
        self._queue = asyncio.Lock()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
            return
        scope = {**scope, "headers": [pair for pair in scope["headers"] if pair[0].lower() != _CREDENTIAL]}
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
        session = self._session(headers) if _origin_is_ours(headers) else None
        if session is not None:
            shown = [*scope["headers"], (_CREDENTIAL, session.credential.encode("latin-1"))]
            scope = {**scope, "path": below(scope["path"], self._base), "headers": shown}
            opened = self._open.setdefault(session.id, set())
            try:
                async with asyncio.timeout(self._sessions.left_s(session)) as end:  # an open page ends with its session
                    opened.add(end)
                    await self._app(scope, receive, send)
            except TimeoutError:
                if not end.expired():
                    raise
            finally:
                opened.discard(end)
                if not opened:
                    self._open.pop(session.id, None)
        else:
            log.warning("guard.websocket_refused", extra={"origin": headers.get(b"origin", "")[:200]})
            await _refuse(scope, send, 403, b"")

    async def _http(self, scope: Scope, receive: Receive, send: Send, headers: dict[bytes, str]) -> None:
        given = scope["path"]
        scope = {**scope, "path": below(given, self._base)}
        path = scope["path"]
        if path == HEALTH and scope["method"] in ("GET", "HEAD"):
            await self._app(scope, receive, send)
            return
        if scope["method"] not in ("GET", "HEAD") and not _origin_is_ours(headers):
            await _refuse(scope, send, 403, notice(title="Refused", text="This request comes from another site."))
            return
        if path == KEY_FORM and scope["method"] == "POST":
            await self._form(scope, receive, send, self._key_given)
            return
        if path == SIGN_IN_FORM and scope["method"] == "POST":
            await self._form(scope, receive, send, self._name_given)
            return
        if path == SIGN_OUT and scope["method"] == "GET":
            await self._sign_out(scope, send, headers)
            return
        query = parse_qsl(scope["query_string"].decode("latin-1"), keep_blank_values=True)
        if path in (provider.BEGIN, provider.BACK) and scope["method"] == "GET":
            if path == provider.BEGIN:
                entering = self._to_provider(scope, send, dict(query))
            else:
                entering = self._from_provider(scope, send, dict(query), headers[b"cookie"])
            await self._one_of_many(scope, send, "provider", entering)
            return
        keys = [value for name, value in query if name == "key"]
        target = self._address(path, ((name, value) for name, value in query if name != "key"))
        if keys:
            await self._judge(scope, send, keys[0], target)
        elif self._session(headers) is not None:
            if path in HOME or given == self._base:  # a page's scripts are named from the folder that it stands in
                home = self._address("/", query).encode("latin-1", "replace")
                await _answer(scope, send, 307, b"", [(b"location", home)])
            else:
                await self._app(scope, receive, send)
        elif headers.get(b"sec-fetch-site") == "cross-site" and headers.get(b"sec-fetch-mode") == "navigate":
            # A strict cookie stays at home when a link on another site is followed: come again from here.
            await _answer(scope, send, 200, bounce(path=target))
        else:
            await self._door(scope, send, 401, target)

    async def _door(
        self,
        scope: Scope,
        send: Send,
        status: int,
        target: str,
        *,
        complaint: str | None = None,
        about: Way = "key",
        extra: Headers | None = None,
    ) -> None:
        """The page that asks who comes. `about`: which way in the complaint is about, which is there then."""
        ways = await self._accounts.ways()
        leading = f"{self._base}{provider.BEGIN}?{urlencode({'next': target})}"
        page = door(
            action=self._base + KEY_FORM,
            sign_in=self._base + SIGN_IN_FORM if ways.accounts or about == "name" else None,
            provider=None if ways.provider is None else (leading, ways.provider),
            path=target,
            complaint=complaint,
            about=about,
        )
        await _answer(scope, send, status, page, extra)

    async def _form(
        self,
        scope: Scope,
        receive: Receive,
        send: Send,
        given: Callable[[Scope, Send, dict[str, list[str]], str], Awaitable[None]],
    ) -> None:
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
        target = self._wanted(fields.get("next", ["/"])[0])
        if target is None:
            await _answer(scope, send, 400, notice(title="Unreadable", text="The page to open next is no address."))
            return
        await given(scope, send, fields, target)

    async def _key_given(self, scope: Scope, send: Send, fields: dict[str, list[str]], target: str) -> None:
        await self._judge(scope, send, fields.get("key", [""])[0].strip(), target)

    async def _name_given(self, scope: Scope, send: Send, fields: dict[str, list[str]], target: str) -> None:
        """How often somebody may fail is the API's to say, whichever dashboard they come by."""
        name, password = fields.get("name", [""])[0], fields.get("password", [""])[0]

        async def signing_in() -> None:
            try:
                credential = await self._accounts.sign_in(name, password, address=_address_of(scope))
            except Refused as refused:
                await self._door(scope, send, refused.status, target, complaint=refused.sentence, about="name")
            else:
                await self._let_in(scope, send, credential, target)

        await self._one_of_many(scope, send, "name", signing_in())

    async def _one_of_many(self, scope: Scope, send: Send, way: Way, entering: Coroutine[Any, Any, None]) -> None:
        """Of each way in so many at once, so that a provider that is slow keeps nobody's password waiting."""
        if self._entering[way] >= WAITING_LIMIT:
            entering.close()
            await _answer(scope, send, 429, notice(title="Too many at once", text="Wait a moment and try again."))
            return
        self._entering[way] += 1
        try:
            await entering
        finally:
            self._entering[way] -= 1

    async def _to_provider(self, scope: Scope, send: Send, query: dict[str, str]) -> None:
        """To the provider, with what this browser must come back with in a cookie."""
        target = self._wanted(query.get("next", "/")) or self._address("/", ())
        try:
            begun = await self._accounts.begin(address=_address_of(scope))
        except Refused as refused:
            await self._door(scope, send, refused.status, target, complaint=refused.sentence, about="provider")
            return
        cookie = self._ticket_cookie(scope, provider.kept(begun.ticket, target), provider.KEPT_S)
        await _answer(scope, send, 303, b"", [(b"location", begun.url.encode("latin-1", "replace")), cookie])

    async def _from_provider(self, scope: Scope, send: Send, query: dict[str, str], cookies: str) -> None:
        """Back from there: a session as by password. What is wrong leads to the door, and the cookie is spent."""
        kept = provider.read_kept(cookie_values(cookies, self._ticket_name))
        spent = self._ticket_cookie(scope, "", 0)
        target = self._wanted("/" if kept is None else kept.path) or self._address("/", ())
        try:
            if kept is None:
                raise Refused(400, provider.NOT_HERE)
            if (why := provider.complaint(query)) is not None:
                raise Refused(403, why)
            try:
                answer = provider.answer(kept, query, address=_address_of(scope))
            except ValueError:
                raise Refused(400, provider.UNREADABLE) from None
            credential = await self._accounts.answered(answer)
        except Refused as refused:
            await self._door(
                scope, send, refused.status, target, complaint=refused.sentence, about="provider", extra=[spent]
            )
        else:
            # not a redirect: it would still be of the provider's making, and the session's cookie stay at home
            extra = [spent, self._session_cookie(scope, credential), _NO_REFERRER]  # the address holds a code
            await _answer(scope, send, 200, bounce(path=target), extra)

    @property
    def _ticket_name(self) -> str:
        return f"{self.cookie}_provider"

    def _ticket_cookie(self, scope: Scope, value: str, seconds: int) -> tuple[bytes, bytes]:
        place = f"Path={self._base}{provider.BEGIN}; Max-Age={seconds}; HttpOnly; SameSite=Lax"
        return b"set-cookie", f"{self._ticket_name}={value}; {place}{self._secure(scope)}".encode()

    async def _sign_out(self, scope: Scope, send: Send, headers: dict[bytes, str]) -> None:
        """Ends the session, here and at the API, and every page that is open under it."""
        session = self._session(headers)
        if session is not None:
            self._sessions.end(session)
            for end in tuple(self._open.get(session.id, ())):
                if not end.expired():
                    end.reschedule(0)
            if session.credential != self._token:
                await self._accounts.sign_out(session.credential)
        cookie = f"{self.cookie}=; Path={self._base or '/'}; Max-Age=0; HttpOnly; SameSite=Strict"
        await _answer(
            scope, send, 303, b"", [(b"location", (self._base + "/").encode()), (b"set-cookie", cookie.encode())]
        )

    async def _let_in(self, scope: Scope, send: Send, credential: str, target: str) -> None:
        """A cookie, and on to `target`."""
        location = (b"location", target.encode("latin-1", "replace"))
        await _answer(scope, send, 303, b"", [location, self._session_cookie(scope, credential)])

    def _session_cookie(self, scope: Scope, credential: str) -> tuple[bytes, bytes]:
        """Of a session that begins."""
        cookie = (
            f"{self.cookie}={self._sessions.begin(credential)}; Path={self._base or '/'}; "
            f"Max-Age={self._sessions.lifetime_s:.0f}; HttpOnly; SameSite=Strict{self._secure(scope)}"
        )
        return b"set-cookie", cookie.encode()

    def _secure(self, scope: Scope) -> str:
        """Whether a cookie stays on HTTPS: where the browser has come by it, whatever reaches us here."""
        return "; Secure" if scope.get("scheme") == "https" or _name_in(scope) == self._secure_name else ""

    async def _judge(self, scope: Scope, send: Send, key: str, target: str) -> None:
        """The right key: a cookie and on to `target`. A wrong one: a sentence, later each time."""
        if hmac.compare_digest(key.encode(), self._token.encode()):
            self._wrong = 0
            await self._let_in(scope, send, self._token, target)
            return
        log.warning("guard.wrong_key", extra={"client": _address_of(scope)})
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
        await self._door(scope, send, 401, target, complaint="That key does not fit.")

    def _wanted(self, address: str) -> str | None:
        """Where somebody wants to go, as a path of ours; None of what is no address."""
        try:
            wanted = urlsplit(address)
        except ValueError:
            return None
        return self._address(below(wanted.path, self._base), parse_qsl(wanted.query, keep_blank_values=True))

    def _address(self, path: str, query: Iterable[tuple[str, str]]) -> str:
        return self._base + _address(path, query)

    def _session(self, headers: dict[bytes, str]) -> Session | None:
        """Of all cookies of our name: one that is not ours may stand beside the one that is."""
        return self._sessions.of(cookie_values(headers[b"cookie"], self.cookie))

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


def _address_of(scope: Scope) -> str:
    """Of the visitor's machine, as a proxy that is trusted tells it."""
    return str((scope.get("client") or ("?",))[0])


def _name_in(scope: Scope) -> str:
    """The name in the Host header, which has passed the check of names."""
    host = next((value.decode("latin-1") for name, value in scope["headers"] if name == b"host"), "")
    found = _HOST.fullmatch(host)
    return found["name"].lower().rstrip(".") if found else ""


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
