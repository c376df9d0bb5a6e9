"""The database: one engine a process, short transactions, and the schema brought up to date at start.

SQLite runs in WAL mode. A writing transaction begins IMMEDIATE: it waits for its turn at the start,
instead of failing when a read turns into a write; writers of one process stand in line for it, since SQLite itself
lets whoever asks at the right moment go first. On PostgreSQL (`backend.store.postgres`) writers wait for rows alone, and
for as long; whoever brings the schema up to date holds a lock of the database, since the machines that share it share
no file.

No text with the sign NUL reaches either: PostgreSQL can hold none, and both shall answer alike.
"""

from __future__ import annotations

import sqlite3
import threading
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout
from sqlalchemy import URL, Connection, CursorResult, Engine, Executable, create_engine, event, inspect, make_url, text
from sqlalchemy.exc import ArgumentError, DBAPIError, IntegrityError, TimeoutError
from sqlalchemy.orm import Session

from backend.store.revision import unwatch, watch
from core.addresses import sqlite_url
from core.errors import BadValue, DatabaseDown, HomeUnusable, SpikefrontError, StorageFull
from core.extras import with_extra
from core.settings import Settings

BUSY_TIMEOUT_MS = 5_000
LINE_S = 30.0  # among the writers of one process
MIGRATION_LOCK_S = 60.0
MIGRATION_LOCK = "migration.lock"  # a file in the home
#: What SQLite hands to a function.
_Cell = str | bytes | int | float | None

SETTING = "SPIKEFRONT_DATABASE_URL"
POOL = 20
TIMEOUT_S = 30.0
MIGRATIONS = Path(__file__).parent / "migrations"
HEAD = "0014"  # the newest file of migrations/versions; a test holds the two together

#: What an address may begin with, and what is meant.
DRIVERS = {"sqlite": "sqlite", "postgresql": "postgresql+psycopg", "postgresql+psycopg": "postgresql+psycopg"}

MIGRATING = 0x5350494B45  # "SPIKE": the advisory lock of whoever changes the schema
EQUALS = 0x5350494B  # the advisory locks of whoever looks for equal rows before making them

WHY = {
    sqlite3.SQLITE_READONLY: "it is read-only.",
    sqlite3.SQLITE_BUSY: "it is busy; try again.",
    sqlite3.SQLITE_LOCKED: "it is busy; try again.",
    sqlite3.SQLITE_CANTOPEN: "its file cannot be opened.",
    sqlite3.SQLITE_PERM: "its file may not be opened.",
    sqlite3.SQLITE_IOERR: "the disk failed.",
    sqlite3.SQLITE_CORRUPT: "its file is damaged; restore a copy.",
    sqlite3.SQLITE_NOTADB: "its file is not a database.",
    # PostgreSQL's, by SQLSTATE
    "25006": "it is read-only.",
    "40P01": "it is busy; try again.",
    "55P03": "it is busy; try again.",
    "57014": "it is busy; try again.",
    "53300": "it takes no more connections.",
    "42501": "its user may not do that.",
    "22P02": "a value is none that it can hold.",
    "22001": "a text is longer than it can hold.",
    "22003": "a number is larger than it can hold.",
}
DISK_FULL = "53100"


def utc_now() -> datetime:
    """Now, aware, in UTC."""
    return datetime.now(UTC)


def domain_error(error: DBAPIError) -> SpikefrontError:
    """What a driver's error means for a user, without the statement or a path."""
    primary = getattr(error.orig, "sqlite_errorcode", 0) & 0xFF  # extended codes keep the primary one in the low byte
    state = getattr(error.orig, "sqlstate", None)
    if primary == sqlite3.SQLITE_FULL or state == DISK_FULL:
        return StorageFull()
    return DatabaseDown(why=WHY.get(state or primary, "it does not answer."))


class Database:
    """Sessions over one engine. Not to be carried over a fork: open another one in the child.

    `read()` and `write()` are one transaction each; a driver's failure leaves as StorageFull or
    DatabaseDown, and nothing of the transaction stays. IntegrityError passes through: it is an answer.
    """

    def __init__(self, url: str, *, pool: int = POOL, timeout_s: float = TIMEOUT_S) -> None:
        """`pool` and `timeout_s` are of PostgreSQL: connections at most, and how long a statement may take."""
        self.engine = _engine(url, pool=pool, timeout_s=timeout_s)
        event.listen(self.engine, "before_cursor_execute", _refuse_nul)
        self._writing = self.engine.execution_options(spikefront_begin="BEGIN IMMEDIATE")
        self._line = threading.Lock() if self.engine.dialect.name == "sqlite" else None
        self._in_vain_at = float("-inf")

    @contextmanager
    def read(self, *, whole: bool = False) -> Iterator[Session]:
        """With `whole` all statements see one moment, and may take as long as they need."""
        engine = self.engine
        if whole:
            engine = engine.execution_options(spikefront_limit_ms=0)
            if engine.dialect.name == "postgresql":  # SQLite does so by itself
                engine = engine.execution_options(isolation_level="REPEATABLE READ")
        with _domain_errors(), Session(engine, expire_on_commit=False) as session:
            yield session

    @contextmanager
    def write(self, *, patience_ms: int | None = None, limited: bool = True) -> Iterator[Session]:
        """With `patience_ms` DatabaseDown comes as soon as the turn to write has not come in that time.

        What is not `limited` may take longer than SPIKEFRONT_DATABASE_TIMEOUT_S.
        """
        engine = self._writing
        if not limited:
            engine = engine.execution_options(spikefront_limit_ms=0)
        if patience_ms is not None:
            engine = engine.execution_options(spikefront_wait_ms=patience_ms)
        session = Session(engine, expire_on_commit=False)
        with self._turn(patience_ms), _domain_errors(), session, session.begin():
            yield session

    @contextmanager
    def _turn(self, patience_ms: int | None) -> Iterator[None]:
        """This process's turn to write a file; PostgreSQL needs none.

        The line is long as often as many ask at once, and moves. Only when whoever is first has waited in vain for
        another process, all who stand behind are told what it was told.
        """
        if self._line is None:
            yield
            return
        began = time.monotonic()
        if not self._line.acquire(timeout=LINE_S if patience_ms is None else patience_ms / 1e3):
            raise DatabaseDown(why=WHY[sqlite3.SQLITE_BUSY])
        try:
            if self._in_vain_at > began:
                raise DatabaseDown(why=WHY[sqlite3.SQLITE_BUSY])
            yield
        except DatabaseDown:
            self._in_vain_at = time.monotonic()
            raise
        finally:
            self._line.release()

    def close(self) -> None:
        self.engine.dispose()


def opened(settings: Settings) -> Database:
    """The database that the settings name, held as they say."""
    return Database(settings.database_url, pool=settings.database_pool, timeout_s=settings.database_timeout_s)


@contextmanager
def _domain_errors() -> Iterator[None]:
    try:
        yield
    except IntegrityError:
        raise
    except TimeoutError as error:
        raise DatabaseDown(why="all connections to it are in use; try again.") from error
    except DBAPIError as error:
        raise domain_error(error) from error


def _refuse_nul(
    _connection: Connection, _cursor: Any, _statement: str, parameters: Any, _context: Any, _many: bool
) -> None:
    """Raises BadValue for a text that not every database can hold."""
    for one in parameters if isinstance(parameters, list) else (parameters,):  # a list is one of many statements
        for value in one.values() if isinstance(one, dict) else one or ():
            if isinstance(value, str) and "\0" in value:
                raise BadValue(field="text", value=value[:64], expected="without the sign NUL (\\u0000)")


def _engine(url: str, *, pool: int, timeout_s: float) -> Engine:
    made = _address(url)
    if made.get_backend_name() == "sqlite":
        return _sqlite(made)
    try:
        from backend.store.postgres import postgres_engine
    except ModuleNotFoundError as error:
        expected = f"of a database whose driver is installed: {with_extra('server')}"
        raise BadValue(field=SETTING, value=f"for {error.name}", expected=expected) from None
    return postgres_engine(made, pool=pool, timeout_s=timeout_s, patience_ms=BUSY_TIMEOUT_MS)


def _address(url: str) -> URL:
    """The address in parts; nothing of it but its kind is told, since passwords stand in some."""
    try:
        made = make_url(url)
    except ArgumentError:
        expected = "an address such as postgresql://user@host/name or sqlite:////folder/file.db"
        raise BadValue(field=SETTING, value="(no address)", expected=expected) from None
    if made.drivername not in DRIVERS:
        expected = "the address of a SQLite or a PostgreSQL database: sqlite:////folder/file.db or postgresql://..."
        raise BadValue(field=SETTING, value=made.drivername, expected=expected)
    return made.set(drivername=DRIVERS[made.drivername])


def _sqlite(url: URL) -> Engine:
    engine = create_engine(url, pool_size=16, max_overflow=48, pool_timeout=10)

    @event.listens_for(engine, "connect")
    def _configure(connection: sqlite3.Connection, _record: object) -> None:
        connection.isolation_level = None  # the driver shall not begin by itself: `_begin` does
        # SQLite's own knows 26 letters; a search ignores case in every alphabet
        connection.create_function("lower", 1, _lower, deterministic=True)
        cursor = connection.cursor()
        cursor.execute(f"PRAGMA busy_timeout = {BUSY_TIMEOUT_MS}")
        cursor.execute("PRAGMA journal_mode = WAL")
        cursor.execute("PRAGMA synchronous = NORMAL")
        cursor.execute("PRAGMA foreign_keys = ON")
        cursor.close()

    @event.listens_for(engine, "begin")
    def _begin(connection: Connection) -> None:
        options = connection.get_execution_options()
        wait_ms = options.get("spikefront_wait_ms", BUSY_TIMEOUT_MS)
        if connection.info.get("wait_ms", BUSY_TIMEOUT_MS) != wait_ms:  # connections are used again
            connection.exec_driver_sql(f"PRAGMA busy_timeout = {wait_ms:d}")
            connection.info["wait_ms"] = wait_ms
        connection.exec_driver_sql(options.get("spikefront_begin", "BEGIN"))

    return engine


def database_file(url: str) -> Path | None:
    """The file of a SQLite database; None of one that is served, or lies in memory."""
    parts = make_url(url)
    if parts.get_backend_name() != "sqlite" or parts.database in (None, "", ":memory:"):
        return None
    return Path(parts.database)


def alone(session: Session, keys: Iterable[str]) -> None:
    """Until the end of this transaction no other one that asks for one of these keys (hexadecimal digests) goes on.

    SQLite, where one writes at a time, needs nothing. A key shares its lock with 1 of 256 others: a server has room for
    a few thousand locks. All take theirs in one order, so no two wait for each other.
    """
    if session.get_bind().dialect.name == "postgresql":
        for number in sorted({int(key[:2], 16) for key in keys}):
            session.execute(text("SELECT pg_advisory_xact_lock(:space, :key)"), {"space": EQUALS, "key": number})


def rows_changed(session: Session, statement: Executable) -> int:
    """Run an UPDATE or DELETE; how many rows it met."""
    result = session.execute(statement)
    assert isinstance(result, CursorResult), "such a statement has a cursor of its own"
    return result.rowcount


def _lower(value: _Cell) -> _Cell:
    return value.lower() if isinstance(value, str) else value


def migrate(settings: Settings) -> None:
    """Bring the schema to `HEAD`, or see that it is there where SPIKEFRONT_MIGRATE is off; any number of processes may
    call it at the same time.

    Raises HomeUnusable when the database is damaged, unwritable, from a newer version, or not at `HEAD`.
    """
    if settings.migrate == "on":
        upgrade(settings)
        return
    with _as_home(settings), _opened(settings) as database, database.engine.connect() as connection:
        found = schema_version(connection)
    if found != HEAD:
        why = f"its database has schema {found}, this version needs {HEAD}, and SPIKEFRONT_MIGRATE is off."
        raise HomeUnusable(folder=str(settings.home), why=f"{why} Run: spikefront db upgrade")


def upgrade(settings: Settings) -> None:
    """Bring the schema to `HEAD`, whatever SPIKEFRONT_MIGRATE says; raises what `migrate` raises."""
    lock = FileLock(settings.home / MIGRATION_LOCK, timeout=MIGRATION_LOCK_S)
    with _as_home(settings), lock, _opened(settings) as database:
        _upgrade(database.engine, str(settings.home))


def upgrade_file(file: Path) -> None:
    """Bring a SQLite file that is nobody else's to `HEAD`; made where it is not there. Raises what `upgrade` raises."""
    database = Database(sqlite_url(file))
    try:
        with _domain_errors():
            _upgrade(database.engine, str(file.parent))
    finally:
        database.close()


@contextmanager
def _opened(settings: Settings) -> Iterator[Database]:
    database = opened(settings)
    try:
        with _domain_errors():
            yield database
    finally:
        database.close()


@contextmanager
def _as_home(settings: Settings) -> Iterator[None]:
    """What hinders a start is said of the data folder."""
    folder = str(settings.home)
    try:
        yield
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
    # a large table may take long to change
    options = {"spikefront_begin": "BEGIN IMMEDIATE", "spikefront_wait_ms": int(MIGRATION_LOCK_S * 1e3)}
    options["spikefront_limit_ms"] = 0
    with engine.connect().execution_options(**options) as connection, connection.begin():
        if engine.dialect.name == "postgresql":
            connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": MIGRATING})
        found = schema_version(connection)
        if found == HEAD:
            return  # another machine was quicker
        try:
            ScriptDirectory.from_config(config).get_revision(found) if found else None
        except CommandError:
            raise HomeUnusable(
                folder=folder,
                why=f"its database has version {found!r}, which a newer Spikefront made; update this one.",
            ) from None
        config.attributes["connection"] = connection
        unwatch(connection)
        command.upgrade(config, "head")
        watch(connection)
