"""Connections of the API's and the dashboard's server that do not stay for ever, whatever their client leaves out.

uvicorn ends a connection that is silent after an answer. One that never asks, that asks a letter at a time or that owes the
rest of a body keeps its place, and a process has places for a thousand.
"""

from __future__ import annotations

import asyncio
from typing import Any, ClassVar

import h11
from uvicorn.protocols.http.h11_impl import H11Protocol


class BoundedConnection(H11Protocol):
    """HTTP/1.1 whose client has `headers_s` for a whole request line with headers, and `body_s` between two parts of a body.

    What comes after the answer, such as the rest of a body that was refused, has `headers_s` as a whole too.
    """

    headers_s: ClassVar[float] = 10.0
    body_s: ClassVar[float] = 30.0

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._owed: str | None = None  # what the client is to send: "headers", "body" or "rest"
        self._timer: asyncio.TimerHandle | None = None
        self._waited_for_us = False  # when the time began

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._look()

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        self._look(came=True)

    def on_response_complete(self) -> None:
        super().on_response_complete()
        self._look()

    def handle_websocket_upgrade(self, event: h11.Request) -> None:
        self._wait_for(None)  # its protocol pings
        super().handle_websocket_upgrade(event)

    def connection_lost(self, exc: Exception | None) -> None:
        self._wait_for(None)
        super().connection_lost(exc)

    def _look(self, *, came: bool = False) -> None:
        """Start the time again where something else is owed by now, or the next part of a body came."""
        owed = self._what_is_owed()
        if owed != self._owed or (came and owed == "body"):
            self._wait_for(owed)

    def _what_is_owed(self) -> str | None:
        if self.transport.is_closing() or self.transport.get_protocol() is not self:
            return None
        if self.conn.their_state is h11.IDLE:
            return "headers"
        if self.conn.their_state is h11.SEND_BODY:
            return "rest" if self.cycle.response_complete else "body"
        return None

    def _wait_for(self, owed: str | None) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self._owed = owed
        self._waited_for_us = self._waits_for_us()
        if owed is not None:
            self._timer = self.loop.call_later(self.body_s if owed == "body" else self.headers_s, self._overdue)

    def _waits_for_us(self) -> bool:
        return self.flow.read_paused or self.conn.they_are_waiting_for_100_continue

    def _overdue(self) -> None:
        # A client that waited for us at either end of this time has not had all of it: we may have let it go on just now.
        if self._owed == "body" and (self._waited_for_us or self._waits_for_us()):
            self._wait_for("body")
        else:
            self.transport.abort()  # not close, which would wait until the client has read all
