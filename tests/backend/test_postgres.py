"""A PostgreSQL server that falls silent: who asks is told so soon, and goes on as soon as it speaks again."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import pytest
from sqlalchemy import make_url, text
from stores import postgres_database

from backend.store.db import HEAD, Database, upgrade
from core.errors import DatabaseDown
from core.settings import Settings, prepare_home

SOON_S = 10.0  # measured 1 to 4 s; a busy machine is given more
READERS = 45  # more than there are threads for requests


class Line:
    """A port that leads to a server, until it is `cut`: connections stay open, and nothing comes through."""

    def __init__(self, host: str, port: int) -> None:
        self._to, self.cut = (host, port), threading.Event()
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=200)
        self.port = self._listener.getsockname()[1]
        self._open = [self._listener]
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        while True:
            try:
                near = self._listener.accept()[0]
                far = socket.create_connection(self._to)
            except OSError:
                return
            self._open += [near, far]
            for one, other in ((near, far), (far, near)):
                threading.Thread(target=self._carry, args=(one, other), daemon=True).start()

    def _carry(self, one: socket.socket, other: socket.socket) -> None:
        try:
            while data := one.recv(65536):
                while self.cut.is_set():
                    time.sleep(0.02)
                other.sendall(data)
        except OSError:
            pass
        finally:
            for end in (one, other):
                end.close()

    def close(self) -> None:
        self.cut.clear()
        for end in self._open:
            end.close()


@pytest.fixture
def line() -> Iterator[tuple[Line, str]]:
    """A line to a database of its own, and its address over that line."""
    with postgres_database() as url:
        there = make_url(url)
        made = Line(there.host or "127.0.0.1", there.port or 5432)
        yield made, there.set(host="127.0.0.1", port=made.port).render_as_string(hide_password=False)
        made.close()


@pytest.fixture
def settings(line: tuple[Line, str], tmp_path: Path) -> Settings:
    made = Settings(home=tmp_path / "home", database_url_override=line[1])
    prepare_home(made)
    upgrade(made)
    return made


def asked(client: httpx.Client, path: str) -> tuple[httpx.Response, float]:
    began = time.monotonic()
    return client.get(f"/api/v1/{path}", headers=client.headers), time.monotonic() - began


def test_a_silent_server_is_a_503_soon_for_all_who_ask_and_the_api_itself_stays_alive(line, served):
    assert asked(served, "runs")[0].status_code == 200
    line[0].cut.set()
    with ThreadPoolExecutor(READERS) as pool:
        readers = [pool.submit(asked, served, "runs") for _ in range(READERS)]
        alive = [asked(served, "health/live") for _ in range(5)]
        ready, ready_s = asked(served, "health/ready")
        answers = [reader.result() for reader in readers]
    assert {answer.status_code for answer, _ in alive} == {200} and max(took for _, took in alive) < 1
    assert ready.status_code == 503 and "does not answer" in ready.json()["database"] and ready_s < SOON_S
    assert {answer.status_code for answer, _ in answers} == {503} and max(took for _, took in answers) < SOON_S
    assert all(int(answer.headers["retry-after"]) > 0 for answer in (ready, *(answer for answer, _ in answers)))
    line[0].cut.clear()
    until = time.monotonic() + 20
    while asked(served, "runs")[0].status_code != 200:
        assert time.monotonic() < until
        time.sleep(0.1)


def test_a_port_that_never_answers_is_told_so_at_the_first_word(tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as hole:
        database = Database(f"postgresql://u:hush@127.0.0.1:{hole.getsockname()[1]}/d")
        began = time.monotonic()
        for _ in range(3):  # the second and the third learn from the first
            with pytest.raises(DatabaseDown, match="does not answer"), database.read() as session:
                session.execute(text("SELECT 1"))
        assert time.monotonic() - began < SOON_S
        database.close()


def test_a_slow_statement_is_left_alone_until_its_time_is_up(line):
    database = Database(line[1], timeout_s=2)
    with database.read() as session:
        assert session.execute(text("SELECT 1 FROM pg_sleep(1.5)")).scalar() == 1  # longer than anybody stays silent
    with pytest.raises(DatabaseDown, match="busy"), database.read() as session:
        session.execute(text("SELECT pg_sleep(20)"))
    database.close()


def test_who_gets_none_of_the_connections_is_told_so(line, monkeypatch):
    monkeypatch.setattr("backend.store.postgres.POOL_WAIT_S", 0.05)
    database = Database(line[1], pool=1)
    with database.read() as session:
        session.execute(text("SELECT 1"))
        with pytest.raises(DatabaseDown, match="in use"), database.read() as other:
            other.execute(text("SELECT 1"))
    database.close()


def spikefront_db(act: str, settings: Settings, *args: str) -> subprocess.CompletedProcess[str]:
    named = {"SPIKEFRONT_HOME": str(settings.home), "SPIKEFRONT_DATABASE_URL": settings.database_url}
    command = [sys.executable, "-m", "core.cli", "db", act, *args]
    return subprocess.run(
        command, env={**os.environ, **named}, capture_output=True, text=True, timeout=280, check=False
    )


def test_a_database_is_brought_up_to_date_and_looked_at_by_command(tmp_path):
    settings = Settings(home=tmp_path / "home")
    done = spikefront_db("upgrade", settings)
    assert (done.returncode, done.stdout) == (0, f"The database is at schema {HEAD}.\n"), done.stderr
    found = spikefront_db("check", settings)
    assert found.returncode == 0 and f"schema {HEAD}, 0 runs" in found.stdout, found.stderr
