"""The dashboard's guard, around an app that says 'inside'."""

from __future__ import annotations

import asyncio
from typing import Any

import httpx

from frontend.serving.guard import Guard

KEY = "the-right-key"


async def inside(scope, receive, send):
    if scope["type"] == "websocket":
        await receive()
        await send({"type": "websocket.accept"})
        return
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-type", b"text/plain")]})
    await send({"type": "http.response.body", "body": b"inside " + scope["query_string"]})


def make(app: Any = inside, **changes: Any) -> Guard:
    return Guard(app, **({"token": KEY, "port": 8501, "host": "127.0.0.1", "wait_s": 0.0} | changes))


async def asking(guard: Guard, method: str, url: str, **extra: Any) -> httpx.Response:
    transport = httpx.ASGITransport(app=guard)
    async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1:8501") as client:
        return await client.request(method, url, **extra)


def visit(guard: Guard, method: str, url: str, **extra: Any) -> httpx.Response:
    return asyncio.run(asking(guard, method, url, **extra))


def cookie_of(guard: Guard) -> str:
    return visit(guard, "GET", f"/?key={KEY}").headers["set-cookie"].split(";")[0]


def websocket(headers: dict[str, str]) -> dict[str, Any]:
    """The scope of a page's websocket."""
    return {
        "type": "websocket",
        "path": "/_stcore/stream",
        "query_string": b"",
        "scheme": "ws",
        "client": ("127.0.0.1", 1),
        "headers": [(name.encode(), value.encode()) for name, value in headers.items()],
    }


def connect(guard: Any, headers: dict[str, str]) -> str:
    """The type of the first message that a websocket's client would get."""
    sent = []

    async def receive():
        return {"type": "websocket.connect"}

    async def send(message):
        sent.append(message)

    asyncio.run(guard(websocket(headers), receive, send))
    return sent[0]["type"]
