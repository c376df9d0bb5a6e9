"""A small reverse proxy with TLS, as a lab has one before the installation: one host name, API and dashboard behind it."""

from __future__ import annotations

import asyncio
import shutil
import socket
import ssl
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import pytest

LIMIT = 1 << 16


@dataclass(frozen=True, kw_only=True)
class Certificate:
    """Signed by itself, for one name."""

    file: Path
    key: Path

    def client(self) -> ssl.SSLContext:
        """Trusts this certificate alone."""
        return ssl.create_default_context(cafile=str(self.file))


def certificate(folder: Path, name: str) -> Certificate:
    """A new one, thrown away with the folder; skips the test where there is no openssl."""
    if shutil.which("openssl") is None:
        pytest.skip("no openssl, which makes the certificate")
    made = Certificate(file=folder / "proxy.crt", key=folder / "proxy.key")
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "1",
         "-subj", f"/CN={name}", "-addext", f"subjectAltName=DNS:{name}", "-keyout", made.key, "-out", made.file],
        check=True,
        capture_output=True,
    )  # fmt: skip
    return made


@contextmanager
def proxy(
    listener: socket.socket, shown: Certificate, *, base: str, api_port: int, dashboard_port: int
) -> Iterator[None]:
    """Serves until the end: `base/api/` and `base/s/` are the API's, all else is the dashboard's. Paths are passed on as they are."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(shown.file, shown.key)
    loop = asyncio.new_event_loop()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(OSError, asyncio.IncompleteReadError):
            head = await reader.readuntil(b"\r\n\r\n")
            path = head.split(b" ", 2)[1].decode()
            port = api_port if path.startswith((f"{base}/api/", f"{base}/s/")) else dashboard_port
            inner_reader, inner_writer = await asyncio.open_connection("127.0.0.1", port, limit=LIMIT)
            lines = head.removesuffix(b"\r\n\r\n").split(b"\r\n")
            forwarded = [b"X-Forwarded-Proto: https", b"X-Forwarded-For: 203.0.113.9"]
            if b"upgrade: websocket" not in head.lower():  # one request a connection, so only its head is to be read
                lines = [line for line in lines if not line.lower().startswith(b"connection:")]
                forwarded.append(b"Connection: close")
            inner_writer.write(b"\r\n".join([*lines, *forwarded]) + b"\r\n\r\n")
            await asyncio.gather(_pass(reader, inner_writer), _pass(inner_reader, writer))
        writer.close()

    async def begin() -> asyncio.Server:
        return await asyncio.start_server(serve, sock=listener, ssl=context, limit=LIMIT)

    async def end(server: asyncio.Server) -> None:
        """A browser keeps connections open: what still passes something on ends with the proxy."""
        server.close()
        passing = asyncio.all_tasks() - {asyncio.current_task()}
        for task in passing:
            task.cancel()
        await asyncio.gather(*passing, return_exceptions=True)

    thread = threading.Thread(
        target=loop.run_forever, daemon=True
    )  # the test's own thread may hold a loop of a browser's
    thread.start()
    server = asyncio.run_coroutine_threadsafe(begin(), loop).result()
    try:
        yield
    finally:
        asyncio.run_coroutine_threadsafe(end(server), loop).result(timeout=10)
        loop.call_soon_threadsafe(loop.stop)
        thread.join(timeout=10)
        loop.close()


async def _pass(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with suppress(OSError):
        while part := await reader.read(LIMIT):
            writer.write(part)
            await writer.drain()
    with suppress(OSError, RuntimeError):
        writer.close()
