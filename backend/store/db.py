"""The database: one engine a process, short transactions, and the schema brought up to date at start.

SQLite runs in WAL mode. A writing transaction begins IMMEDIATE: it waits for its turn at the start,
instead of failing when a read turns into a write. The same code serves PostgreSQL, where
these listeners do nothing.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

from filelock import FileLock, Timeout
from sqlalchemy import Connection, Engine, create_engine, event, inspect, make_url, text
from sqlalchemy.exc import DBAPIError, IntegrityError
from sqlalchemy.orm import Session

from core.errors import DatabaseDown, HomeUnusable, SpikefrontError, StorageFull
from core.settings import Settings

BUSY_TIMEOUT_MS = 5_000
MIGRATION_LOCK_S = 60.0
MIGRATIONS = Path(__file__).parent / "migrations"
HEAD = "0006"  # the newest file of migrations/versions; a test holds the two together

WHY = {
    sqlite3.SQLITE_READONLY: "it is read-only.",
    sqlite3.SQLITE_BUSY: "it is busy; try again.",
    sqlite3.SQLITE_LOCKED: "it is busy; try again.",
    sqlite3.SQLITE_CANTOPEN: "its file cannot be opened.",
    sqlite3.SQLITE_PERM: "its file may not be opened.",
    sqlite3.SQLITE_IOERR: "the disk failed.",
    sqlite3.SQLITE_CORRUPT: "its file is damaged; restore a copy.",
    sqlite3.SQLITE_NOTADB: "its file is not a database.",
}


def utc_now() -> datetime:
    """Now, aware, in UTC."""
    return datetime.now(UTC)


def domain_error(error: DBAPIError) -> SpikefrontError:
    """What a driver's error means for a user, without the statement or a path."""
    primary = getattr(error.orig, "sqlite_errorcode", 0) & 0xFF  # extended codes keep the primary one in the low byte
    if primary == sqlite3.SQLITE_FULL or getattr(error.orig, "sqlstate", None) == "53100":
        return StorageFull()
    return DatabaseDown(why=WHY.get(primary, "it does not answer."))


class Database:
    """Sessions over one engine. Not to be carried over a fork: open another one in the child.

    `read()` and `write()` are one transaction each; a driver's failure leaves as StorageFull or
    DatabaseDown, and nothing of the transaction stays. IntegrityError passes through: it is an answer.
    """

    def __init__(self, url: str) -> None:
        self.engine = _engine(url)
        self._writing = self.engine.execution_options(spikefront_begin="BEGIN IMMEDIATE")

    @contextmanager
    def read(self) -> Iterator[Session]:
        with _domain_errors(), Session(self.engine, expire_on_commit=False) as session:
            yield session

    @contextmanager
    def write(self) -> Iterator[Session]:
        with _domain_errors(), Session(self._writing, expire_on_commit=False) as session, session.begin():
            yield session

    def close(self) -> None:
        self.engine.dispose()


@contextmanager
def _domain_errors() -> Iterator[None]:
    try:
        yield
    except IntegrityError:
        raise
    except DBAPIError as error:
        raise domain_error(error) from error


def _engine(url: str) -> Engine:
    if make_url(url).get_backend_name() != "sqlite":
        return create_engine(url, pool_pre_ping=True)
    engine = create_engine(url, pool_size=16, max_overflow=48, pool_timeout=10)

    @event.listens_for(engine, "connect")
    def _configure(connection: sqlite3.Connection, _record: object) -> None:
        connection.isolation_level = None  # the driver shall not begin by itself: `_begin` does
        cursor = connection.cursor()
        cursor.execute(f"PRAGMA busy_timeout = {BUSY_TIMEOUT_MS}")
        cursor.execute("PRAGMA journal_mode = WAL")
        cursor.execute("PRAGMA synchronous = NORMAL")
        cursor.execute("PRAGMA foreign_keys = ON")
        cursor.close()

    @event.listens_for(engine, "begin")
    def _begin(connection: Connection) -> None:
        connection.exec_driver_sql(connection.get_execution_options().get("spikefront_begin", "BEGIN"))

    return engine


def migrate(settings: Settings) -> None:
    """Bring the schema to `HEAD`; any number of processes may call it at the same time.

    Raises HomeUnusable when the database is damaged, unwritable, or from a newer version.
    """
    folder = str(settings.home)
    try:
        with FileLock(settings.home / "migration.lock", timeout=MIGRATION_LOCK_S):
            database = Database(settings.database_url)
            try:
                with _domain_errors():
                    _upgrade(database.engine, folder)
            finally:
                database.close()
    except (DatabaseDown, StorageFull) as error:
        raise HomeUnusable(folder=folder, why=error.message) from error
    except Timeout:
        raise HomeUnusable(folder=folder, why="another process has been changing its database for a minute.") from None
    except OSError as error:
        raise HomeUnusable(folder=folder, why=error.strerror or str(error)) from None


def schema_version(connection: Connection) -> str | None:
    """The revision that the database is at; None when it is empty."""
    if not inspect(connection).has_table("alembic_version"):
        return None
    return connection.scalar(text("SELECT version_num FROM alembic_version"))


def _upgrade(engine: Engine, folder: str) -> None:
    with engine.connect() as connection:
        if schema_version(connection) == HEAD:
            return  # the usual start: Alembic need not even be imported
    from alembic import command
    from alembic.config import Config
    from alembic.script import ScriptDirectory
    from alembic.util import CommandError

    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS).replace("%", "%%"))
    with engine.connect().execution_options(spikefront_begin="BEGIN IMMEDIATE") as connection, connection.begin():
        found = schema_version(connection)
        try:
            ScriptDirectory.from_config(config).get_revision(found) if found else None
        except CommandError:
            raise HomeUnusable(
                folder=folder,
                why=f"its database has version {found!r}, which a newer Spikefront made; update this one.",
            ) from None
        config.attributes["connection"] = connection
        command.upgrade(config, "head")
