"""A database of every schema version, made by a program of that version, is brought up to date with its rows intact.

`fixtures/schema_<version>.db` holds runs in several states, and what its version had of tags, notes, sweeps, steps,
imports, the bin and links. 0002, 0003
and 0004 came in one step, so no program stopped at the first two: their files are the schemas of those migrations with the
rows of the program of 0004, cut to the columns that they had. A new version needs its file alone.
"""

from __future__ import annotations

import json
import shutil
import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from apis import client_over, without_settings
from earlier import before_images_were_noted
from fastapi.testclient import TestClient

from backend.app import create_app
from backend.store.db import HEAD, MIGRATIONS
from backend.store.models import Base
from core.bundle import Bundle
from core.repeats import RULE
from core.schemas.pareto import Pareto
from core.schemas.run import RunConfig
from core.schemas.runs import Run, RunPage
from core.settings import Settings, prepare_home

FIXTURES = Path(__file__).parent / "fixtures"
OLD = {path.stem.removeprefix("schema_"): path for path in sorted(FIXTURES.glob("schema_*.db"))}
MOST_BYTES = 200_000
#: What the start writes anew, by a rule of today: table -> columns.
FILLED = {"runs": {"label", "repeat_hash"}}
KEPT_BY_SQLITE = ("alembic_version", "sqlite_sequence")


def tables(path: Path) -> list[str]:
    with sqlite3.connect(path) as connection:
        names = connection.execute("SELECT name FROM sqlite_master WHERE type = 'table' ORDER BY name")
        return [name for (name,) in names if name not in KEPT_BY_SQLITE]


def rows(path: Path, table: str) -> list[dict]:
    with sqlite3.connect(path) as connection:
        connection.row_factory = sqlite3.Row
        return [dict(row) for row in connection.execute(f"SELECT * FROM {table} ORDER BY rowid")]


def rows_or_none(path: Path, table: str) -> list[dict]:
    """No row of a table that this version had not yet."""
    return rows(path, table) if table in tables(path) else []


@pytest.fixture(scope="module", params=OLD, ids=lambda version: version)
def old(request: pytest.FixtureRequest) -> Path:
    return OLD[request.param]


@pytest.fixture(scope="module")
def home(old: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Brought up to date once for all tests, which change nothing but the views of links."""
    folder = tmp_path_factory.mktemp("old")
    prepare_home(Settings(home=folder))
    shutil.copy(old, folder / "spikefront.db")
    return folder


@pytest.fixture(scope="module")
def upgraded(home: Path) -> Iterator[TestClient]:
    with pytest.MonkeyPatch.context() as patch:
        without_settings(patch)
        with client_over(Settings(home=home)) as opened:
            yield opened


def test_every_version_but_the_newest_has_a_database() -> None:
    """Before a new migration is written, a database of what is then the newest version is put beside the others."""
    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS))
    versions = {script.revision for script in ScriptDirectory.from_config(config).walk_revisions()}
    assert HEAD in versions and len(versions) >= 6
    assert sorted(versions - {HEAD} - set(OLD)) == []
    assert sorted(set(OLD) - versions) == []


def test_a_database_is_of_the_version_in_its_name_and_small(old: Path) -> None:
    assert rows(old, "alembic_version") == [{"version_num": old.stem.removeprefix("schema_")}]
    assert old.stat().st_size < MOST_BYTES
    assert {row["state"] for row in rows(old, "runs")} >= {"succeeded", "queued", "cancelled"}
    for table in tables(old):
        assert rows(old, table), f"{table} is empty: losing its rows would not be noticed"


def test_every_row_and_column_is_still_there(old: Path, home: Path, upgraded: TestClient) -> None:
    new = home / "spikefront.db"
    assert rows(new, "alembic_version") == [{"version_num": HEAD}]
    for table in tables(old):
        before, after = rows(old, table), rows(new, table)
        assert len(before) == len(after), table
        kept = set(before[0]) - FILLED.get(table, set())
        assert [{name: now[name] for name in kept} for now in after] == [
            {name: was[name] for name in kept} for was in before
        ], table
    for run in rows(new, "runs"):
        assert run["label"] and run["repeat_hash"].startswith(RULE)
        assert run["differs"] is not None and run["name"] is None and not run["archived"]


def test_the_tables_are_exactly_those_of_the_models(upgraded: TestClient) -> None:
    with upgraded.app.state.context.database.engine.connect() as connection:
        assert compare_metadata(MigrationContext.configure(connection), Base.metadata) == []


def test_runs_are_listed_with_their_tags_notes_and_sweeps(old: Path, upgraded: TestClient) -> None:
    tags, swept = rows_or_none(old, "run_tags"), rows_or_none(old, "sweep_runs")
    stored = {row["id"]: row for row in rows(old, "runs")}
    for asked, gone in (("", False), ("&deleted=true", True)):
        page = RunPage.model_validate_json(upgraded.get(f"/api/v1/runs?limit=200{asked}").content)
        wanted = {id for id, row in stored.items() if (row.get("deleted_at") is not None) is gone}
        assert {run.id for run in page.items} == wanted and page.total == len(wanted)
        for run in page.items:
            row = stored[run.id]
            assert (run.state, run.note, run.imported) == (
                row["state"], row.get("note", ""), row.get("import_digest") is not None,
            )  # fmt: skip
            assert run.tags == sorted(tag["tag"] for tag in tags if tag["run_id"] == run.id)
            assert run.sweep_ids == sorted(of["sweep_id"] for of in swept if of["run_id"] == run.id)
            assert run.config.config_hash == run.config_hash == row["config_hash"]
            assert run.config.twin_hash == run.twin_hash == row["twin_hash"]


def test_runs_are_found_by_name_and_equal_to_new_ones(upgraded: TestClient) -> None:
    found = RunPage.model_validate_json(
        upgraded.get("/api/v1/runs?q=-squeezenet%20").content
    )  # version 1 had no labels
    assert found.items and {run.label.partition("-")[2].partition(" ")[0] for run in found.items} == {"SqueezeNet"}
    body = {"mask": "F9", "overrides": {"training.max_epochs": 1, "training.train_limit": 32}}
    equal = upgraded.post("/api/v1/preview", json=body).json()["equal_run"]
    assert equal is not None and equal["state"] == "succeeded"


def test_an_old_key_still_stands_for_its_run(old: Path, upgraded: TestClient) -> None:
    (key,) = [row for row in rows(old, "idempotency_keys") if row["key"] == "old-snn"]
    body = {"mask": "F9", "overrides": {"training.max_epochs": 1, "training.train_limit": 32}}
    again = upgraded.post("/api/v1/runs", json=body, headers={"Idempotency-Key": "old-snn"})
    assert (again.status_code, again.json()["id"]) == (200, key["run_id"])


def test_tallies_are_priced_though_their_bundles_are_gone(old: Path, upgraded: TestClient) -> None:
    plot = Pareto.model_validate_json(upgraded.get("/api/v1/pareto?dataset=digits").content)
    stored = {row["run_id"]: row for row in rows(old, "run_tallies") if row["mode"] == "exact"}
    assert {point.run_id for point in plot.points} == set(stored) and len(stored) >= 2
    for point in plot.points:
        tally = stored[point.run_id]
        assert point.energy_pj == pytest.approx(0.9 * tally["acs"] + 4.6 * tally["macs"])  # Horowitz, 45 nm, fp32


def test_runs_stopped_early_are_plotted_from_the_stored_steps(old: Path, upgraded: TestClient) -> None:
    stored = {row["run_id"]: row for row in rows_or_none(old, "run_steps") if row["steps"] == 1}
    plot = Pareto.model_validate_json(upgraded.get("/api/v1/pareto?dataset=digits&steps=1").content)
    early = {point.run_id: point for point in plot.points if point.kind == "snn"}
    assert set(early) == set(stored)  # before the table was there: its bundle would tell, and is gone
    for run_id, row in stored.items():
        tally = json.loads(row["tallies"])["exact"]
        assert (early[run_id].accuracy, early[run_id].acs) == (row["accuracy"], tally["acs"])


def test_links_are_listed_and_those_that_need_no_bundle_open(old: Path, upgraded: TestClient) -> None:
    shares = {row["id"]: row for row in rows(old, "shares")}
    listed = {item["id"]: item for item in upgraded.get("/api/v1/shares").json()["items"]}
    assert set(listed) == set(shares)
    for id, row in shares.items():
        asked = json.loads(row["request"]) if row.get("request") else {"run_id": row["run_id"]}
        assert listed[id]["run_id"] == asked["run_id"] and listed[id]["views"] == row["views"]
        assert (listed[id]["revoked_at"] is None) == (row["revoked_at"] is None)
    kinds = {"sweep": "sweep_id", "view": "view"}
    asked = [json.loads(row["request"]) for row in shares.values() if row.get("request")]
    for kind, field in kinds.items():
        there = any(request.get(field) for request in asked)
        opened = upgraded.get(f"/api/v1/shared/old-{kind}")
        assert opened.status_code == (200 if there else 404), opened.text
        assert upgraded.get(f"/s/old-{kind}").status_code == (200 if there else 404)


def test_configs_still_validate(old: Path, upgraded: TestClient) -> None:
    for row in rows(old, "runs"):
        config = RunConfig.model_validate(json.loads(row["config"]))
        assert config.config_hash == row["config_hash"]
        if row.get("deleted_at") is None:
            shown = Run.model_validate_json(upgraded.get(f"/api/v1/runs/{row['id']}").content)
            assert shown.config == config


@pytest.mark.sqlite
def test_runs_and_links_from_before_the_images_were_noted_are_read_listed_and_shared(
    finisher, client: TestClient, settings: Settings
) -> None:
    """Schema 0006: no digest in a row, in its summary, or in a bundle."""
    snn, cnn = finisher.succeeded("snn"), finisher.succeeded("cnn")
    frozen, live = (client.post("/api/v1/shares", json={"run_id": snn, "frozen": f}).json() for f in (True, False))
    path = settings.home / "spikefront.db"
    for run_id in (snn, cnn):
        before_images_were_noted(Bundle(client.app.state.context.artifacts.folder(run_id)))
    with sqlite3.connect(path) as connection:
        connection.execute("DROP INDEX ix_runs_line")
        for index in ("ix_runs_project", "ix_runs_submitter"):
            connection.execute(f"DROP INDEX {index}")
        for table, column in (("runs", "project"), ("sweeps", "submitter"), ("shares", "made_by")):
            connection.execute(f"ALTER TABLE {table} DROP COLUMN {column}")
        asked = ("priority", "submitter", "place", "wants_device", "memory_cpu", "memory_gpu", "not_before")
        for column in ("data_digest", "name", "differs", "archived", *asked):
            connection.execute(f"ALTER TABLE runs DROP COLUMN {column}")
        connection.execute("ALTER TABLE workers DROP COLUMN offer")
        accounts = ("access_tokens", "sessions", "accounts", "sign_in_counts", "spent_tickets", "audit_log")
        triggers = connection.execute("SELECT name FROM sqlite_master WHERE type = 'trigger'").fetchall()
        for (trigger,) in triggers:
            connection.execute(f"DROP TRIGGER {trigger}")
        for table in ("saved_views", "turns", "revisions", *accounts):
            connection.execute(f"DROP TABLE {table}")
        connection.execute("UPDATE runs SET summary = json_remove(summary, '$.data_digest'), repeat_hash = '2:old'")
        connection.execute("UPDATE alembic_version SET version_num = '0006'")
    app = create_app(settings)
    assert rows(path, "alembic_version") == [{"version_num": HEAD}]
    assert [(row["data_digest"], row["repeat_hash"][:2]) for row in rows(path, "runs")] == [("", "3:")] * 2
    headers = {"Authorization": f"Bearer {app.state.context.token}"}
    with TestClient(app, base_url="http://127.0.0.1:8000", headers=headers) as now:
        listed = {run.id: run for run in RunPage.model_validate_json(now.get("/api/v1/runs").content).items}
        assert listed[snn].twin.id == cnn and listed[snn].summary.data_digest is None
        assert len(Pareto.model_validate_json(now.get("/api/v1/pareto?dataset=digits").content).points) == 2
        assert now.get(f"/api/v1/runs/{snn}/examples?against={cnn}").status_code == 200
        assert now.get(f"/api/v1/compare?runs={snn},{cnn}").json()["differences"][0]["paired"] is not None
        assert [now.get(f"/api/v1/shared/{link['token']}").status_code for link in (frozen, live)] == [200, 200]
        assert now.get(f"/api/v1/shared/{live['token']}").json()["twin"] is not None
        bundle = now.get(f"/api/v1/runs/{snn}/artifacts/bundle.zip").content
        again = now.post("/api/v1/imports", content=bundle, headers={"Content-Type": "application/zip"})
        assert (again.status_code, again.json()["id"]) == (200, snn)
