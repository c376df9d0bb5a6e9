"""The schema and the database: brought up to date once, and clear about what is wrong with it."""

from __future__ import annotations

import os
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from fastapi.testclient import TestClient
from sqlalchemy import select, text
from sqlalchemy.exc import DBAPIError, StatementError

from backend.runs.new_runs import new_row
from backend.store.db import HEAD, MIGRATIONS, Database, domain_error, migrate, utc_now
from backend.store.lifecycle import Lifecycle
from backend.store.models import Base, RunRow
from core.errors import BadValue, DatabaseDown, HomeUnusable, QueueDown, StorageFull
from core.recipes.build import build_config
from core.schemas.request import RunRequest
from core.settings import Settings, prepare_home


def test_the_migrations_build_exactly_the_tables_of_the_models(settings: Settings, database: Database) -> None:
    with database.engine.connect() as connection:
        assert compare_metadata(MigrationContext.configure(connection), Base.metadata) == []


def test_the_newest_migration_is_the_one_that_the_code_asks_for() -> None:
    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS))
    assert ScriptDirectory.from_config(config).get_heads() == [HEAD]


@pytest.mark.parametrize("mask, stored", [(("F4", "F6"), "F4,F6"), (("F9",), "F9"), ((), "")])
def test_a_mask_is_a_tuple_of_blocks_here_and_text_in_its_column(
    database: Database, mask: tuple[str, ...], stored: str
) -> None:
    row = new_row(build_config(RunRequest(mask="F9")), now=utc_now())
    row.mask = mask
    with database.write() as session:
        session.add(row)
    with database.read() as session:
        assert session.scalars(text("SELECT mask FROM runs")).one() == stored
        assert session.scalars(select(RunRow.mask).where(RunRow.mask.in_([mask]))).one() == mask


def test_text_is_no_mask(database: Database) -> None:
    with pytest.raises(StatementError, match="a mask is a tuple of blocks"), database.read() as session:
        session.scalars(select(RunRow.id).where(RunRow.mask == "F4,F6")).all()


@pytest.mark.sqlite
@pytest.mark.parametrize("where", ["", "state = 'succeeded' AND ", "state = 'succeeded' AND dataset = 'd' AND "])
def test_a_page_of_a_list_is_read_in_order_and_not_sorted_out_of_all_runs(database: Database, where: str) -> None:
    statement = f"SELECT * FROM runs WHERE {where} deleted_at IS NULL ORDER BY created_at DESC, id DESC LIMIT 20"
    with database.read() as session:
        steps = [row[3] for row in session.execute(text(f"EXPLAIN QUERY PLAN {statement}"))]
    assert len(steps) == 1 and "USING INDEX" in steps[0], steps  # a second step would be the sorting


def test_processes_that_start_together_migrate_one_after_another(tmp_path: Path) -> None:
    code = "from backend.store.db import migrate; from core.settings import Settings; migrate(Settings())"
    environment = {**os.environ, "SPIKEFRONT_HOME": str(tmp_path)}
    processes = [
        subprocess.Popen([sys.executable, "-c", code], env=environment, stderr=subprocess.PIPE) for _ in range(4)
    ]
    for process in processes:
        _, errors = process.communicate(timeout=120)
        assert process.returncode == 0, errors.decode()
    with sqlite3.connect(tmp_path / "spikefront.db") as connection:
        assert connection.execute("SELECT version_num FROM alembic_version").fetchall() == [(HEAD,)]


@pytest.mark.sqlite
def test_migrating_twice_changes_nothing_and_keeps_the_rows(settings: Settings, lifecycle: Lifecycle) -> None:
    lifecycle.worker_seen("w1", queue="cpu", slots=1, busy=0)
    migrate(settings)
    with sqlite3.connect(settings.home / "spikefront.db") as connection:
        assert connection.execute("SELECT name FROM workers").fetchall() == [("w1",)]


def test_a_database_of_a_newer_version_is_left_alone(settings: Settings, database: Database) -> None:
    with database.write() as session:
        session.execute(text("UPDATE alembic_version SET version_num = '9999'"))
    with pytest.raises(HomeUnusable, match="9999"):
        migrate(settings)


def test_a_damaged_database_is_a_sentence_not_a_traceback(tmp_path: Path) -> None:
    settings = Settings(home=tmp_path)
    (tmp_path / "spikefront.db").write_bytes(b"this is no database, it is a text of some length" * 100)
    with pytest.raises(HomeUnusable, match="not a database"):
        migrate(settings)


@pytest.mark.sqlite
def test_sqlite_runs_in_wal_mode_and_keeps_foreign_keys(database: Database) -> None:
    with database.read() as session:
        for pragma, expected in (("journal_mode", "wal"), ("foreign_keys", 1), ("synchronous", 1)):
            assert session.scalar(text(f"PRAGMA {pragma}")) == expected


def test_a_write_that_fails_half_way_leaves_nothing(database: Database) -> None:
    with pytest.raises(RuntimeError), database.write() as session:
        values = "('w1', 'cpu', 1, 0, '2030-01-01 00:00:00.000000')"
        session.execute(text(f"INSERT INTO workers (name, queue, slots, busy, seen_at) VALUES {values}"))
        raise RuntimeError("half way")
    with database.read() as session:
        assert session.scalar(text("SELECT count(*) FROM workers")) == 0


@pytest.mark.sqlite
def test_a_full_disk_is_a_507_and_no_run_is_kept(client: TestClient, database: Database) -> None:
    context = client.app.state.context

    def fill(
        connection: sqlite3.Connection,
    ) -> None:  # SQLite's own bound on the file gives the same error as a full disk
        connection.execute(f"PRAGMA max_page_count = {connection.execute('PRAGMA page_count').fetchone()[0]}")

    _on_every_connection(context.database, fill)
    statuses = set()
    for seed in range(40):  # the free space of the last pages is used first
        answer = client.post("/api/v1/runs", json={"seed": seed})
        statuses.add(answer.status_code)
        if answer.status_code == 507:
            assert answer.json()["code"] == "storage-full"
            break
    assert 507 in statuses
    stored = client.get("/api/v1/runs").json()["total"]
    with database.read() as session:
        rows = list(session.scalars(select(RunRow.id)))
        queued = session.scalar(text("SELECT count(*) FROM run_events WHERE type = 'state'"))
    assert len(rows) == stored == queued == seed  # each kept run whole, the refused one not at all


@pytest.mark.sqlite
def test_a_read_only_database_is_a_503_that_names_no_path(client: TestClient, settings: Settings) -> None:
    _on_every_connection(
        client.app.state.context.database, lambda connection: connection.execute("PRAGMA query_only = 1")
    )
    answer = client.post("/api/v1/runs", json={})
    assert (answer.status_code, answer.json()["code"]) == (503, "database-down")
    assert "read-only" in answer.json()["detail"] and str(settings.home) not in answer.text
    assert client.get("/api/v1/runs").json()["total"] == 0


@pytest.mark.sqlite
def test_a_locked_database_is_waited_for_then_reported(database: Database, lifecycle: Lifecycle) -> None:
    _on_every_connection(lifecycle._database, lambda connection: connection.execute("PRAGMA busy_timeout = 50"))
    with database.write() as session:
        session.execute(text("SELECT 1"))  # the first statement takes the turn to write
        with pytest.raises(DatabaseDown, match="busy"):
            lifecycle.worker_seen("w1", queue="cpu", slots=1, busy=0)
    lifecycle.worker_seen("w1", queue="cpu", slots=1, busy=0)


def _on_every_connection(database: Database, apply: object) -> None:
    from sqlalchemy import event

    event.listen(database.engine, "connect", lambda connection, _record: apply(connection))
    database.engine.dispose()


@pytest.mark.parametrize(
    ("url", "says"),
    [
        (
            "mysql://u:hush@h/d",
            "SPIKEFRONT_DATABASE_URL is 'mysql'; it must be the address of a SQLite or a PostgreSQL",
        ),
        ("no address: hush", "must be an address such as postgresql://"),
        ("postgresql+psycopg2://u:hush@h/d", "is 'postgresql+psycopg2'; it must be the address of a SQLite or"),
    ],
)
def test_an_address_that_no_driver_takes_names_the_setting_and_no_password(tmp_path: Path, url: str, says: str) -> None:
    with pytest.raises(BadValue) as caught:
        migrate(Settings(home=tmp_path, database_url_override=url))
    assert says in caught.value.message and caught.value.fields["field"] == "SPIKEFRONT_DATABASE_URL"
    assert "hush" not in caught.value.message


def test_a_driver_that_is_not_installed_is_named_with_its_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "backend.store.postgres", raising=False)
    monkeypatch.setitem(sys.modules, "psycopg", None)
    with pytest.raises(BadValue, match=r"pip install -c constraints.txt -e '\.\[server\]'"):
        Database("postgresql://u:hush@h/d")


class Refused(Exception):
    """What PostgreSQL's driver raises: it carries a SQLSTATE."""

    def __init__(self, sqlstate: str) -> None:
        super().__init__(sqlstate)
        self.sqlstate = sqlstate


@pytest.mark.parametrize(
    ("sqlstate", "says"),
    [
        ("53100", "The disk is full"), ("25006", "read-only"), ("40P01", "busy"), ("55P03", "busy"), ("53300", "no more"),
        ("42501", "may not"), ("08006", "does not answer"),
    ],
)  # fmt: skip
def test_what_a_served_database_refuses_is_a_sentence_without_the_statement(sqlstate: str, says: str) -> None:
    error = domain_error(DBAPIError("SELECT secret", {}, Refused(sqlstate)))
    assert says in error.message and "secret" not in error.message
    assert isinstance(error, StorageFull) is (sqlstate == "53100")


def test_a_folder_that_cannot_be_written_is_a_sentence(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("not a folder")
    with pytest.raises(HomeUnusable, match="Not a directory"):
        prepare_home(Settings(home=tmp_path / "file" / "home"))


def test_storage_errors_say_what_to_do() -> None:
    assert "Free some space" in StorageFull().message and "is kept" in QueueDown().message
