"""A connection whose client leaves something out ends; one that is slow for a good reason does not."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field

import pytest
import uvicorn

from core.connections import BoundedConnection

HEADERS_S, BODY_S = 1.5, 2.0  # long enough for a busy machine to send what is due in time
LONG_S = 30.0  # within which a busy machine has done what is due


class Quick(BoundedConnection):
    headers_s = HEADERS_S
    body_s = BODY_S


@dataclass
class Served:
    port: int
    bodies: list[bytes] = field(default_factory=list)
    gone: list[str] = field(default_factory=list)

    def connect(self) -> socket.socket:
        return socket.create_connection(("127.0.0.1", self.port), timeout=LONG_S)

    async def __call__(self, scope, receive, send):
        if scope["type"] != "http":
            if scope["type"] == "websocket":
                await receive()
                await send({"type": "websocket.accept"})
                await asyncio.sleep(3 * HEADERS_S)
                await send({"type": "websocket.send", "text": "still here"})
                await receive()
            return
        path = scope["path"]
        if path == "/refused":
            await answer(send, b"no")
            return
        body, more = b"", True
        if path.startswith("/late/"):
            await asyncio.sleep(float(path.removeprefix("/late/")) * BODY_S)
        while more:
            message = await receive()
            if message["type"] == "http.disconnect":
                self.gone.append(path)
                return
            body += message.get("body", b"")
            more = message.get("more_body", False)
        self.bodies.append(body)
        if path == "/slow":
            await asyncio.sleep(2 * max(HEADERS_S, BODY_S))
        await answer(send, b"done")


async def answer(send, text: bytes) -> None:
    await send(
        {"type": "http.response.start", "status": 200, "headers": [(b"content-length", str(len(text)).encode())]}
    )
    await send({"type": "http.response.body", "body": text})


@pytest.fixture(scope="module")
def served() -> Iterator[Served]:
    listener = socket.create_server(("127.0.0.1", 0))
    app = Served(port=listener.getsockname()[1])
    config = uvicorn.Config(
        app, http=Quick, log_config=None, lifespan="off", timeout_keep_alive=60, ws="websockets-sansio"
    )
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
    thread.start()
    try:
        yield app
    finally:
        server.should_exit = server.force_exit = True
        thread.join(LONG_S)
        assert not thread.is_alive()


def ended_after_s(connection: socket.socket) -> float:
    """How long until the server has ended it; whatever it still says is read."""
    started = time.monotonic()
    with contextlib.suppress(ConnectionResetError):
        while connection.recv(65536):
            pass
    return time.monotonic() - started


def read_answer(connection: socket.socket) -> bytes:
    answer = b""
    while not answer.endswith((b"done", b"no")):
        part = connection.recv(65536)
        assert part, answer
        answer += part
    return answer


@pytest.mark.parametrize("said", [b"", b"G", b"GET / HTTP/1.1\r\n", b"GET / HTTP/1.1\r\nHost: x\r\nA: b"])
def test_a_client_that_never_ends_its_headers_is_left(served, said):
    with served.connect() as connection:
        connection.sendall(said)
        assert ended_after_s(connection) >= HEADERS_S / 2


def test_a_letter_at_a_time_gains_nothing(served):
    with served.connect() as connection:
        connection.settimeout(0.05)
        started, sent = time.monotonic(), 0
        while time.monotonic() - started < LONG_S:
            try:
                connection.sendall(b"GET / HTTP/1.1\r\nA: "[sent : sent + 1] or b"x")
                sent += 1
                if connection.recv(1) == b"":
                    break
            except TimeoutError:
                continue
            except ConnectionError:
                break
        assert HEADERS_S / 2 <= time.monotonic() - started < LONG_S


def test_the_next_request_of_a_kept_connection_has_no_more_time(served):
    with served.connect() as connection:
        connection.sendall(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
        assert b"200 OK" in read_answer(connection)
        connection.sendall(b"GET / HT")
        assert ended_after_s(connection) >= 0


def test_a_body_that_does_not_come_ends_the_request(served):
    with served.connect() as connection:
        connection.sendall(b"POST /half HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\nabc")
        ended_after_s(connection)
    end = time.monotonic() + LONG_S
    while "/half" not in served.gone:
        assert time.monotonic() < end
        time.sleep(0.02)


def test_the_rest_of_a_body_that_was_refused_is_not_waited_for(served):
    with served.connect() as connection:
        connection.sendall(b"POST /refused HTTP/1.1\r\nHost: x\r\nContent-Length: 1000000\r\n\r\nabc")
        assert b"200 OK" in read_answer(connection)
        connection.settimeout(0.05)
        started = time.monotonic()
        while time.monotonic() - started < LONG_S:
            try:
                connection.sendall(b"x")
                if connection.recv(1) == b"":
                    break
            except TimeoutError:
                continue
            except ConnectionError:
                break
        assert time.monotonic() - started < LONG_S


def test_a_body_whose_parts_keep_coming_may_take_its_time(served):
    with served.connect() as connection:
        connection.sendall(b"POST /steady HTTP/1.1\r\nHost: x\r\nContent-Length: 6\r\n\r\n")
        for letter in b"steady":
            time.sleep(BODY_S / 3)
            connection.sendall(bytes([letter]))
        assert b"200 OK" in read_answer(connection)
    assert b"steady" in served.bodies


@pytest.mark.parametrize(
    "head", [b"GET /slow HTTP/1.1\r\nHost: x\r\n\r\n", b"POST /slow HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\n\r\nx"]
)
def test_an_answer_may_take_its_time(served, head):
    with served.connect() as connection:
        connection.sendall(head)
        assert b"200 OK" in read_answer(connection)


@pytest.mark.parametrize("times", [0.9, 1.9])  # leave to send comes just before the client's time would end
def test_a_client_that_waits_for_leave_to_send_its_body_is_not_to_blame(served, times):
    with served.connect() as connection:
        head = f"POST /late/{times} HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\nExpect: 100-continue\r\n\r\n"
        connection.sendall(head.encode())
        assert connection.recv(100).startswith(b"HTTP/1.1 100 ")
        time.sleep(BODY_S / 2)
        connection.sendall(b"x")
        assert b"200 OK" in read_answer(connection)


def test_a_websocket_stays(served):
    from websockets.sync.client import connect

    with connect(f"ws://127.0.0.1:{served.port}/") as websocket:
        assert websocket.recv(timeout=LONG_S) == "still here"
