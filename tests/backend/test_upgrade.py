"""A database of schema version 1, made by the program of that time, is brought up to date with its rows intact."""

from __future__ import annotations

import json
import shutil
import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest
from fastapi.testclient import TestClient

from backend.app import create_app
from backend.store.db import HEAD
from core.schemas.pareto import Pareto
from core.schemas.run import RunConfig
from core.schemas.runs import Run, RunPage
from core.settings import Settings, prepare_home

OLD = Path(__file__).parent / "fixtures" / "schema_0001.db"
TABLES = ("runs", "run_events", "run_tallies", "shares", "idempotency_keys", "workers")


def rows(path: Path, table: str) -> list[dict]:
    with sqlite3.connect(path) as connection:
        connection.row_factory = sqlite3.Row
        return [dict(row) for row in connection.execute(f"SELECT * FROM {table} ORDER BY rowid")]


@pytest.fixture
def old_home(tmp_path: Path) -> Path:
    prepare_home(Settings(home=tmp_path))
    shutil.copy(OLD, tmp_path / "spikefront.db")
    return tmp_path


@pytest.fixture
def upgraded(old_home: Path) -> Iterator[TestClient]:
    app = create_app(Settings(home=old_home))
    headers = {"Authorization": f"Bearer {app.state.context.token}"}
    with TestClient(app, base_url="http://127.0.0.1:8000", headers=headers) as opened:
        yield opened


def test_every_row_and_column_of_version_1_is_still_there(old_home: Path, upgraded: TestClient) -> None:
    new = old_home / "spikefront.db"
    assert rows(OLD, "alembic_version") == [{"version_num": "0001"}]
    assert rows(new, "alembic_version") == [{"version_num": HEAD}]
    for table in TABLES:
        before, after = rows(OLD, table), rows(new, table)
        assert len(before) == len(after) > 0, table
        assert [{name: now[name] for name in before[0]} for now in after] == before, table


def test_old_runs_are_listed_searched_and_equal_to_new_ones(upgraded: TestClient) -> None:
    page = RunPage.model_validate_json(upgraded.get("/api/v1/runs").content)
    assert sorted(run.state for run in page.items) == ["cancelled", "queued", "succeeded", "succeeded"]
    for run in page.items:
        assert (run.tags, run.note, run.sweep_ids, run.imported, run.deleted_at) == ([], "", [], False, None)
        assert run.config.config_hash == run.config_hash and run.config.twin_hash == run.twin_hash
    found = RunPage.model_validate_json(upgraded.get("/api/v1/runs?q=ref-1").content)  # labels were not stored then
    assert [run.label for run in found.items] == ["SNN-SqueezeNet Ref-1"]
    body = {"mask": "F9", "overrides": {"training.max_epochs": 1, "training.train_limit": 32}}
    equal = upgraded.post("/api/v1/preview", json=body).json()["equal_run"]
    assert equal is not None and equal["state"] == "succeeded"


def test_an_old_key_still_stands_for_its_run(upgraded: TestClient) -> None:
    (old,) = [row for row in rows(OLD, "idempotency_keys") if row["key"] == "old-snn"]
    body = {"mask": "F9", "overrides": {"training.max_epochs": 1, "training.train_limit": 32}}
    again = upgraded.post("/api/v1/runs", json=body, headers={"Idempotency-Key": "old-snn"})
    assert (again.status_code, again.json()["id"]) == (200, old["run_id"])


def test_old_tallies_are_priced_though_their_bundles_are_gone(upgraded: TestClient) -> None:
    plot = Pareto.model_validate_json(upgraded.get("/api/v1/pareto?dataset=digits").content)
    stored = {row["run_id"]: row for row in rows(OLD, "run_tallies") if row["mode"] == "exact"}
    assert {point.run_id for point in plot.points} == set(stored) and len(stored) == 2
    for point in plot.points:
        tally = stored[point.run_id]
        assert point.energy_pj == pytest.approx(0.9 * tally["acs"] + 4.6 * tally["macs"])  # Horowitz, 45 nm, fp32


def test_old_configs_still_validate(upgraded: TestClient) -> None:
    for row in rows(OLD, "runs"):
        config = RunConfig.model_validate(json.loads(row["config"]))
        assert config.config_hash == row["config_hash"]
        shown = Run.model_validate_json(upgraded.get(f"/api/v1/runs/{row['id']}").content)
        assert shown.config == config
