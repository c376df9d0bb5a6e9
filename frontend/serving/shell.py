"""Streamlit's page with our style and scripts in it.

What a page needs from its first moment cannot come as an element of it: the address is written before an element's
script has run, and a style that arrives with the elements can be late, or missing where the browser has dropped it.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Send = Callable[[Message], Awaitable[None]]

#: Of the page as it lies on the disk: what says that a browser's copy is still good, or that it was packed.
DROPPED = (b"etag", b"last-modified", b"content-length", b"content-encoding")
#: Of a request for a page, so that it is answered whole and as text.
IGNORED = (b"accept-encoding", b"if-none-match", b"if-modified-since", b"range")
THEIR_NAME = b">Streamlit<"  # in the title
HEAD_END, BODY_END = b"</head>", b"</body>"


class Shell:
    """ASGI middleware around Streamlit: `first` before the page's own scripts, `last` behind all other styles.

    `title` is the tab's until the page gives its own.
    """

    def __init__(self, app: Any, *, title: str, first: str, last: str) -> None:
        self._app = app
        self._title, self._first, self._last = (part.encode() for part in (f">{title}<", first, last))

    async def __call__(self, scope: Scope, receive: Any, send: Send) -> None:
        if scope["type"] != "http" or not _asks_for_a_page(scope):
            await self._app(scope, receive, send)
            return
        headers = [(name, value) for name, value in scope["headers"] if name not in IGNORED]
        start: Message = {}
        body = b""

        async def sending(message: Message) -> None:
            nonlocal start, body
            if message["type"] == "http.response.start":
                start = message
                return
            body += message.get("body", b"")
            if not message.get("more_body", False):
                await self._answer(start, body, send)

        await self._app({**scope, "headers": headers}, receive, sending)

    async def _answer(self, start: Message, body: bytes, send: Send) -> None:
        found = dict(start["headers"])
        if found.get(b"content-type", b"").startswith(b"text/html") and HEAD_END in body:
            body = self.filled(body)
            kept = [(name, value) for name, value in start["headers"] if name not in DROPPED]
            start = {**start, "headers": [*kept, (b"content-length", str(len(body)).encode())]}
        await send(start)
        await send({"type": "http.response.body", "body": body})

    def filled(self, page: bytes) -> bytes:
        """The page with its title and both parts. A module's script runs when all is read, so before `</head>` is first."""
        page = page.replace(THEIR_NAME, self._title, 1)
        for end, part in ((HEAD_END, self._first), (BODY_END, self._last)):
            before, tag, after = page.partition(end)
            page = before + part + tag + after if tag else page
        return page


def _asks_for_a_page(scope: Scope) -> bool:
    """As a browser does that opens an address; a script's or a file's request names other types."""
    accepts = b"".join(value for name, value in scope["headers"] if name == b"accept")
    return scope["method"] == "GET" and b"text/html" in accepts
