"""A bundle that an earlier program wrote opens whole: its files, its figures, an import of it, a link to it.

`fixtures/bundle_0004.zip` is what the program of schema version 0004 left of one epoch of a tiny MnasNet on digits, before
configs held an architecture and before runs were counted again. A database and frozen links of that age: see
`test_upgrade.py` and `test_share_old.py`.
"""

from __future__ import annotations

import zipfile
from pathlib import Path

import pytest
from fastapi.testclient import TestClient

from core.analysis.confusion import accuracy, confusion
from core.analysis.predictions import predict
from core.bundle import Bundle
from core.energy.modes import MODES
from core.energy.price import price
from core.energy.profiles import profiles
from core.recipes.build import plan_of

ZIP = Path(__file__).parent / "fixtures" / "bundle_0004.zip"


@pytest.fixture
def old(tmp_path: Path) -> Bundle:
    with zipfile.ZipFile(ZIP) as file:
        file.extractall(tmp_path / "old")
    return Bundle(tmp_path / "old")


def test_it_is_small_and_of_its_time() -> None:
    assert ZIP.stat().st_size < 200_000
    with zipfile.ZipFile(ZIP) as file:
        assert "recount.json" not in file.namelist() and b'"architecture"' not in file.read("config.json")


def test_every_file_is_read_and_agrees_with_the_others(old: Bundle) -> None:
    old.verify()
    config, summary, counts, predictions = old.config(), old.summary(), old.counts(), old.predictions()
    assert old.complete and summary.config_hash == config.config_hash
    assert plan_of(config).params == summary.params == sum(tensor.size for name, tensor in old.weights().items()
                                                           if "running" not in name and "batches" not in name)  # fmt: skip
    tally = MODES[summary.mode].tally(counts)
    assert (tally.acs, tally.macs) == (summary.acs, summary.macs)
    assert price(tally, profiles()[summary.profile]) == pytest.approx(summary.energy_pj)
    table = confusion(predictions.label, predict(predictions.outputs), predictions.classes)
    assert accuracy(table) == summary.accuracy and len(predictions.label) == summary.n_test
    assert old.recount() is None and old.metrics().epoch == [1] and old.diagnostics() is not None


def test_it_is_imported_shown_plotted_and_shared(client: TestClient) -> None:
    run = client.post("/api/v1/imports", content=ZIP.read_bytes(), headers={"Content-Type": "application/zip"})
    assert run.status_code == 201, run.text
    run_id, figures = run.json()["id"], run.json()["summary"]
    for part in ("layers", "layers?mode=paper", "confusion", "metrics", "gradients", "diagnostics", "environment",
                 "calibration", "steps", "exits?mode=exact", "examples", "images/0"):  # fmt: skip
        answer = client.get(f"/api/v1/runs/{run_id}/{part}")
        assert answer.status_code == 200, (part, answer.text)
    (point,) = client.get("/api/v1/pareto?dataset=digits").json()["points"]
    assert point["energy_pj"] == pytest.approx(figures["energy_pj"]) and point["accuracy"] == figures["accuracy"]
    assert client.get("/api/v1/pareto?dataset=digits&steps=1").json()["missing"] == 0
    for frozen in (False, True):
        link = client.post("/api/v1/shares", json={"run_id": run_id, "frozen": frozen, "with_weights": True}).json()
        assert client.get(f"/s/{link['token']}").status_code == 200
        assert client.get(f"/api/v1/shared/{link['token']}").json()["summary"] == figures
