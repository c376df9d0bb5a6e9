"""The stores that one contract suite runs over: SQLite always, PostgreSQL where a server answers.

The API's tests run on SQLite, those of the modules in ON_BOTH on PostgreSQL too; with SPIKEFRONT_TEST_STORE=postgresql
all of them run on PostgreSQL alone. Fixtures; `tests/backend/conftest.py` takes them up.
"""

from __future__ import annotations

import os
import secrets
import shutil
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import pytest
from sqlalchemy import URL, Engine, create_engine, make_url, text
from sqlalchemy.exc import OperationalError

from backend.context import Context, build_context
from backend.store.db import migrate
from backend.store.models import Base
from core.addresses import sqlite_url
from core.settings import Settings, prepare_home

VARIABLE = "SPIKEFRONT_TEST_DATABASE_URL"
LOCAL = "postgresql+psycopg://postgres@127.0.0.1:5432/postgres"
NAMED = os.environ.get(VARIABLE)  # read at import: tests run without variables of this prefix
CHOSEN = os.environ.get("SPIKEFRONT_TEST_STORE")
#: Modules whose tests ask the API for what a database does by its own ways: searching, sorting, unique names, keys.
ON_BOTH = frozenset(
    {
        "test_views_api",
        "test_names_api",
        "test_bookkeeping_api",
        "test_nul_api",
        "test_accounts_api",
        "test_queue_limit_api",
        "test_provider_api",
    }
)
NEEDED = (
    f"no PostgreSQL server answers: start one on 127.0.0.1:5432 that trusts the user postgres, or set {VARIABLE} to "
    "an address whose user may create databases; and install the extra 'server'"
)
STORES = ("sqlite", "postgresql")


def _server() -> URL | None:
    """Where databases can be made; None where no server answers."""
    for url in (NAMED, LOCAL):
        if url is None:
            continue
        try:
            engine = create_engine(make_url(url), connect_args={"connect_timeout": 3})
            with engine.connect():
                return engine.url
        except (ImportError, OperationalError):
            continue
    return None


@pytest.fixture(autouse=True, scope="session")
def statements_kept() -> Iterator[None]:
    """SQLite's engines of a test process share what they know of statements, as one engine of the API does its life long:
    each test has a file of its own, and to compile the same statements for it anew costs more than to run them."""
    first = create_engine("sqlite://")
    first.connect().close()  # by now its dialect knows the library

    def made(url: URL, **options: object) -> Engine:
        engine = create_engine(url, **options)
        engine.dialect, engine._compiled_cache = first.dialect, first._compiled_cache
        return engine

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("backend.store.db.create_engine", made)
        yield


@contextmanager
def postgres_database(like: str = "") -> Iterator[str]:
    """The address of a new database, empty or a copy of the one at an address, dropped at the end; skips the test where
    no server answers."""
    server = _server()
    if server is None:
        pytest.skip(NEEDED)
    name = f"spikefront_test_{secrets.token_hex(6)}"
    engine = create_engine(server, isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        connection.execute(text(f"CREATE DATABASE {name}{like and f' TEMPLATE {make_url(like).database}'}"))
    try:
        yield server.set(database=name).render_as_string(hide_password=False)
    finally:
        with engine.connect() as connection:
            connection.execute(text(f"DROP DATABASE {name} WITH (FORCE)"))
        engine.dispose()


def at_once(*acts: Callable[[], object]) -> list[object]:
    """What each returns or raises, all begun at the same time."""
    barrier = threading.Barrier(len(acts))

    def begin(act: Callable[[], object]) -> object:
        barrier.wait()
        try:
            return act()
        except Exception as error:  # noqa: BLE001, whatever it is, it is the answer
            return error

    with ThreadPoolExecutor(len(acts)) as pool:
        return list(pool.map(begin, acts))


def stores_of(module: str) -> tuple[str, ...]:
    """On which the tests of a module run that ask the API."""
    return (CHOSEN,) if CHOSEN else STORES if module in ON_BOTH else STORES[:1]


@pytest.fixture(scope="session")
def postgres_emptied(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[[], str]]:
    """Takes every row out of the one database of these tests, at the newest schema, and tells its address.

    A server takes a second to make a database and drop it, and a third of one to truncate its tables, since that makes
    new files; to delete a few rows takes milliseconds.
    """
    with postgres_database() as url:
        home = Settings(home=tmp_path_factory.mktemp("schema"), database_url_override=url)
        prepare_home(home)
        migrate(home)
        engine = create_engine(make_url(url), connect_args={"options": "-c synchronous_commit=off"})
        emptying = [f"DELETE FROM {table.name}" for table in reversed(Base.metadata.sorted_tables)]
        restarting = "SELECT setval(seqrelid::regclass, seqstart, false) FROM pg_sequence"

        def emptied() -> str:
            with engine.begin() as connection:
                connection.exec_driver_sql("; ".join([*emptying, restarting]))
            return url

        yield emptied
        engine.dispose()


@pytest.fixture
def api_url(request: pytest.FixtureRequest) -> str | None:
    """The address of a PostgreSQL database at the newest schema without a row; None for SQLite."""
    if getattr(request, "param", "sqlite") == "sqlite":
        return None
    if request.node.get_closest_marker("sqlite") is not None:
        pytest.skip("about SQLite's file")
    return request.getfixturevalue("postgres_emptied")()


@pytest.fixture(params=STORES)
def store_url(request: pytest.FixtureRequest) -> str | None:
    """The same for each store in turn; on SQLite each test has a file of its own."""
    return None if request.param == "sqlite" else request.getfixturevalue("postgres_emptied")()


@pytest.fixture(params=STORES)
def empty_url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """The address of a database without a table."""
    if request.param == "sqlite":
        yield sqlite_url(tmp_path / "empty.db")
        return
    with postgres_database() as url:
        yield url


@pytest.fixture
def store(store_url: str | None, tmp_path: Path, empty_database: Path) -> Iterator[Context]:
    """All that a process of the API holds, over a store without a row."""
    settings = Settings(home=tmp_path / "home", database_url_override=store_url)
    prepare_home(settings)
    if store_url is None:
        shutil.copy(empty_database, settings.home / "spikefront.db")
    context = build_context(settings)
    yield context
    context.database.close()


@pytest.fixture
def finish(store: Context, trained: dict[str, Path]) -> Callable[..., str]:
    """Makes a run and brings it to its end as a worker would; the id."""
    from backend.runs.service import RunService
    from core.bundle import Bundle
    from core.schemas.request import RunRequest

    def finished(kind: str = "snn", **changes: object) -> str:
        request = RunRequest.model_validate({"mask": "F9", "kind": kind, **changes})
        run, _ = RunService(store).create(request, key=None)
        claim = store.lifecycle.claim(run.id, worker="w@host", lease_s=60)
        assert claim is not None
        shutil.copytree(trained[kind], claim.out)
        store.lifecycle.succeed(claim, Bundle(claim.out).summary())
        return run.id

    return finished
