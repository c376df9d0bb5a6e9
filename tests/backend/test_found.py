"""The database is deleted, the bundles are not: their runs are listed again."""

from __future__ import annotations

import shutil
import time
from pathlib import Path

import filelock
import pytest
from apis import client_over
from fastapi.testclient import TestClient

from core.launcher.checks import _database
from core.schemas.runs import Run
from core.settings import Settings

RUNS = "/api/v1/runs"

pytestmark = pytest.mark.sqlite


def lose_database(settings: Settings) -> None:
    for path in settings.home.glob("spikefront.db*"):
        path.unlink()


def wait_total(client: TestClient, total: int) -> list[Run]:
    until = time.monotonic() + 20
    while (page := client.get(RUNS).json())["total"] != total:
        assert time.monotonic() < until, page["total"]
        time.sleep(0.05)
    return [Run.model_validate(item) for item in page["items"]]


@pytest.fixture
def lost(finisher, client: TestClient, settings: Settings) -> dict[str, Run]:
    """Two finished runs whose database is gone."""
    ids = {kind: finisher.succeeded(kind) for kind in ("snn", "cnn")}
    before = {kind: Run.model_validate_json(client.get(f"{RUNS}/{run_id}").content) for kind, run_id in ids.items()}
    lose_database(settings)
    return before


def test_after_the_database_was_deleted_the_next_start_lists_its_runs_again(
    lost: dict[str, Run], settings: Settings
) -> None:
    (check,) = _database(settings)
    assert check.status == "warn" and "2 finished runs" in check.found and "next start" in check.advice
    with client_over(settings) as client:
        found = {run.config.kind: run for run in wait_total(client, 2)}
        for kind, before in lost.items():
            after = found[kind]
            for name in ("id", "config", "config_hash", "twin_hash", "label", "summary", "state", "command"):
                assert getattr(after, name) == getattr(before, name), name
            assert after.progress.phase == "done" and not after.imported and after.finished_at is not None
            assert client.get(f"{RUNS}/{after.id}/layers").status_code == 200
        assert found["snn"].twin.id == lost["cnn"].id
        points = client.get("/api/v1/pareto?dataset=digits").json()["points"]
        assert {point["run_id"] for point in points} == {run.id for run in lost.values()}
        assert client.get("/api/v1/pareto?dataset=digits&steps=1").json()["missing"] == 0
    assert [check.status for check in _database(settings)] == ["ok"]


def test_what_is_damaged_or_no_run_is_left_alone_and_stops_nothing(lost: dict[str, Run], settings: Settings) -> None:
    runs = settings.home / "runs"
    weights = runs / lost["cnn"].id / "weights.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1])
    shutil.copytree(runs / lost["snn"].id, runs / "mine")
    (runs / ("a" * 16)).symlink_to(runs / lost["snn"].id)
    (runs / ("b" * 16)).mkdir()
    (runs / ("c" * 16)).write_text("a file")
    (runs / ("d" * 16)).mkdir()
    (runs / ("d" * 16) / "manifest.json").write_text("{}")
    with client_over(settings) as client:
        assert [run.id for run in wait_total(client, 1)] == [lost["snn"].id]
    assert weights.exists() and (runs / "mine").exists()


def test_an_unfinished_run_is_listed_as_failed_and_goes_on_when_it_is_launched_again(
    lost: dict[str, Run], settings: Settings
) -> None:
    runs = settings.home / "runs"
    left, held = (runs / (name * 8) for name in ("0a", "0b"))
    for folder in (left, held):
        (folder / "checkpoint").mkdir(parents=True)
        (folder / "checkpoint" / "last.safetensors").write_bytes(b"x")
        shutil.copy(runs / lost["snn"].id / "config.json", folder)
    with filelock.FileLock(held / ".lock"), client_over(settings) as client:
        found = {run.id: run for run in wait_total(client, 3)}
        assert held.name not in found, "somebody trains in it"
        run = found[left.name]
        assert (run.state, run.error.code) == ("failed", "database-lost")
        again = client.post(f"{RUNS}/{run.id}/retry").json()["id"]
        assert (runs / again / "checkpoint" / "last.safetensors").read_bytes() == b"x"


def test_beside_other_runs_nothing_is_listed_unasked(finisher, client: TestClient, settings: Settings) -> None:
    """Such a folder may be one that was to be removed for good."""
    run_id = finisher.succeeded("snn")
    runs: Path = settings.home / "runs"
    shutil.copytree(runs / run_id, runs / ("e" * 16))
    with client_over(settings) as other:
        time.sleep(0.5)
        assert other.get(RUNS).json()["total"] == 1
        assert other.get("/api/v1/installation").json()["n_unlisted"] == 1
        assert other.post("/api/v1/imports/unlisted").json() == {"ids": ["e" * 16]}
        assert other.get(RUNS).json()["total"] == 2
        assert other.post("/api/v1/imports/unlisted").json() == {"ids": []}
        assert other.get("/api/v1/installation").json()["n_unlisted"] == 0
