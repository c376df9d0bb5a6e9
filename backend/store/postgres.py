"""PostgreSQL: an engine whose connections wait for no server that has fallen silent.

A server can stop answering without closing a connection: frozen, cut off by a firewall, failing over. Its own time-outs
do not run then, and TCP keeps such a connection open for minutes. So whoever has waited for SILENCE_S asks by a new
connection whether the server still speaks; where nothing comes, the statement ends as one that is not answered, and for
KNOWN_S everybody else is told the same at once.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Generator
from typing import Any, TypeVar, cast

import psycopg
from psycopg.errors import ConnectionTimeout
from sqlalchemy import URL, Connection, Engine, create_engine, event

SILENCE_S = 1.0
KNOWN_S = 1.0
CONNECT_S = 2  # psycopg waits no shorter
POOL_WAIT_S = 15.0  # for one of the pool's connections: of a silent server they come back sooner
GRACE_S = 2.0  # for the server's own word on a statement that it ends
LIMIT_MS = "spikefront_limit_ms"  # execution option: how long a statement of this connection may take; 0 is no limit
WAIT_MS = "spikefront_wait_ms"  # execution option: how long it may wait for rows that another one is changing

#: What an address may say otherwise.
OF_A_CONNECTION: dict[str, Any] = {
    "connect_timeout": CONNECT_S,
    "client_encoding": "utf8",  # of a database in SQL_ASCII text would come as bytes
    "application_name": "spikefront",
    "keepalives": 1,
    "keepalives_idle": 10,
    "keepalives_interval": 5,
    "keepalives_count": 3,
}

Answer = TypeVar("Answer")


class Server:
    """What the connections of one engine know together of the server at its other end. Safe to use from any thread."""

    def __init__(self) -> None:
        self._asking = threading.Lock()
        self._silent_until = self._heard_until = 0.0
        self._how: tuple[tuple[Any, ...], dict[str, Any]] = ((), {})

    def connect(self, *args: Any, **params: Any) -> HeedfulConnection:
        """A new connection; at once a time-out where one was met a moment ago."""
        self._how = args, params
        if time.monotonic() < self._silent_until:
            raise ConnectionTimeout("the server has fallen silent")
        try:
            made = HeedfulConnection.connect(*args, **params)
        except ConnectionTimeout:
            self._silent_until = time.monotonic() + KNOWN_S
            raise
        made.server = self
        return made

    def speaks(self) -> bool:
        """Whether anything comes back from it, be it a refusal. One thread asks, those that wait take its answer."""
        with self._asking:
            if time.monotonic() < self._silent_until:
                return False
            if time.monotonic() < self._heard_until:
                return True
            args, params = self._how
            try:
                self.connect(*args, **params).close()
            except ConnectionTimeout:
                return False
            except psycopg.Error:
                pass
            self._heard_until = time.monotonic() + KNOWN_S
            return True


class HeedfulConnection(psycopg.Connection[Any]):
    """Closes itself, with an OperationalError, when its server has fallen silent or a statement outlasts `limit_s`."""

    server: Server | None = None
    limit_s: float | None = None

    def wait(self, gen: Generator[Any, Any, Answer], *args: Any, **kwargs: Any) -> Answer:
        return super().wait(cast(Any, self._heeded(gen)), *args, **kwargs)

    def _heeded(self, gen: Generator[Any, Any, Answer]) -> Generator[Any, Any, Answer]:
        """Passes on what `gen` waits for; in between psycopg sends nothing, ten times a second."""
        began = time.monotonic()
        look = began + SILENCE_S
        try:
            state = next(gen)
            while True:
                ready = yield state
                if not ready and (now := time.monotonic()) >= look:
                    late = self.limit_s is not None and now - began > self.limit_s
                    if late or (self.server is not None and not self.server.speaks()):
                        self.close()
                        raise psycopg.OperationalError("the server has fallen silent")
                    look = time.monotonic() + SILENCE_S
                state = gen.send(ready)
        except StopIteration as done:
            return cast(Answer, done.value)


def postgres_engine(url: URL, *, pool: int, timeout_s: float, patience_ms: int) -> Engine:
    """At most `pool` connections; no statement takes longer than `timeout_s`, none waits for rows beyond `patience_ms`."""
    server = Server()
    engine = create_engine(
        url.set(drivername="postgresql+psycopg"),
        pool_pre_ping=True,
        pool_size=pool,
        max_overflow=0,
        pool_timeout=POOL_WAIT_S,
        connect_args={name: value for name, value in OF_A_CONNECTION.items() if name not in url.query},
    )

    @event.listens_for(engine, "do_connect")
    def _connect(_dialect: Any, _record: Any, args: list[Any], params: dict[str, Any]) -> HeedfulConnection:
        return server.connect(*args, **params)

    @event.listens_for(engine, "begin")
    def _begin(connection: Connection) -> None:
        options = connection.get_execution_options()
        wait_ms, limit_ms = options.get(WAIT_MS, patience_ms), options.get(LIMIT_MS, round(timeout_s * 1e3))
        driven = connection.connection.dbapi_connection
        assert isinstance(driven, HeedfulConnection), "all are made by _connect"
        driven.limit_s = limit_ms / 1e3 + GRACE_S if limit_ms else None
        connection.exec_driver_sql(
            f"SELECT set_config('lock_timeout', '{wait_ms:d}', true), "
            f"set_config('statement_timeout', '{limit_ms:d}', true)"
        )

    return engine
