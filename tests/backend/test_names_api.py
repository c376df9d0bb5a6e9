"""Names of runs, what sets them apart, the archive, and many runs as columns."""

from __future__ import annotations

import pytest
from fastapi.testclient import TestClient

from core.schemas.compare import Comparison
from core.schemas.run_table import RunColumns, RunCounts
from core.schemas.runs import Run

BODY = {"mask": "F9", "overrides": {"training.max_epochs": 1, "training.train_limit": 32}}


@pytest.fixture
def run(client: TestClient) -> Run:
    return Run.model_validate_json(client.post("/api/v1/runs", json=BODY).content)


def patched(client: TestClient, run_id: str, **change: object) -> Run:
    answer = client.patch(f"/api/v1/runs/{run_id}", json=change)
    assert answer.status_code == 200, answer.text
    return Run.model_validate_json(answer.content)


def test_a_run_says_what_sets_it_apart_from_its_recipe(client: TestClient, run: Run):
    assert (run.label, run.differs) == ("SNN-SqueezeNet F9", "epochs 1, 32 images")
    assert run.title == run.described == "SNN-SqueezeNet F9, epochs 1, 32 images"
    plain = Run.model_validate_json(client.post("/api/v1/runs", json={"mask": "F9"}).content)
    assert plain.differs == "" and plain.title == "SNN-SqueezeNet F9"
    assert client.get("/api/v1/runs?q=32 images").json()["total"] == 1


def test_a_name_stands_in_place_of_the_label_and_is_found(client: TestClient, run: Run):
    named = patched(client, run.id, name="  for figure 3 ")
    assert (named.name, named.title, named.label) == ("for figure 3", "for figure 3", run.label)
    assert patched(client, run.id, note="x").name == "for figure 3"  # what is left out stays
    assert client.get("/api/v1/runs?q=FIGURE").json()["items"][0]["id"] == run.id
    assert client.get("/api/v1/queue").json()["items"][0]["label"] == "for figure 3"
    assert patched(client, run.id, name="").name is None and patched(client, run.id, name=None).name is None


@pytest.mark.parametrize("name", ["a" * 101, "two\nlines", "bell\x07", "\x9b31m", "line\u2028separator"])
def test_a_name_is_bounded_and_holds_no_control_characters(client: TestClient, run: Run, name: str):
    answer = client.patch(f"/api/v1/runs/{run.id}", json={"name": name})
    assert answer.status_code == 422 and "name" in answer.json()["detail"]


def test_columns_hold_every_run_with_its_energy_in_any_mode(client: TestClient, finisher):
    done = finisher.succeeded("snn")
    waits = client.post("/api/v1/runs", json=BODY).json()["id"]
    found = RunColumns.model_validate_json(client.get("/api/v1/runs/columns").content)
    assert found.n == 2 and found.columns["id"] == [waits, done] and {len(one) for one in found.columns.values()} == {2}
    shown = Run.model_validate_json(client.get(f"/api/v1/runs/{done}").content)
    assert found.columns["energy_pj"] == [None, pytest.approx(shown.summary.energy_pj)]
    assert found.columns["accuracy"][1] == shown.summary.accuracy and found.columns["label"][1] == shown.described
    narrow = RunColumns.model_validate_json(client.get("/api/v1/runs/columns?state=succeeded&mode=paper").content)
    assert narrow.columns["id"] == [done] and narrow.mode == "paper"
    assert client.get("/api/v1/runs/columns?mode=none").json()["code"] == "unknown-name"


def test_counts_say_by_state_what_there_is(client: TestClient, finisher, run: Run):
    finisher.succeeded("snn")
    found = RunCounts.model_validate_json(client.get("/api/v1/runs/counts").content)
    assert (found.total, found.ended, found.active) == (2, 1, 1)
    assert RunCounts.model_validate_json(client.get("/api/v1/runs/counts?kind=cnn").content).total == 0


def test_an_archived_run_is_left_out_unless_asked_for(client: TestClient, finisher):
    run_id = finisher.succeeded("snn")
    assert patched(client, run_id, archived=True).archived
    for route, items in (("runs", "items"), ("pareto?dataset=digits", "points")):
        sign = "&" if "?" in route else "?"
        assert client.get(f"/api/v1/{route}").json()[items] == []
        assert len(client.get(f"/api/v1/{route}{sign}archived=true").json()[items]) == 1
    assert client.get(f"/api/v1/runs/{run_id}").status_code == 200  # it is still there
    assert client.get("/api/v1/runs/counts").json()["states"] == {}


def test_a_double_blind_link_leaves_the_name_out_and_any_other_shows_it(client: TestClient, finisher):
    run_id, other = finisher.succeeded("snn"), finisher.succeeded("cnn")
    patched(client, run_id, name="mallorys best")
    for target in ({"run_id": run_id}, {"runs": [run_id, other]}, {"view": {"dataset": "digits"}}):
        for blind in (False, True):
            token = client.post("/api/v1/shares", json={**target, "blind": blind}).json()["token"]
            shown = client.get(f"/api/v1/shared/{token}").text + client.get(f"/s/{token}").text
            assert ("mallorys best" in shown) is not blind, (target, blind)
            assert "epochs 1, 32 images" in shown


def test_compared_runs_carry_their_names_and_their_images(client: TestClient, finisher):
    run_id, other = finisher.succeeded("snn"), finisher.succeeded("cnn")
    patched(client, run_id, name="mine")
    found = Comparison.model_validate_json(client.get(f"/api/v1/compare?runs={run_id},{other}").content)
    assert [run.title for run in found.runs] == ["mine", "CNN-SqueezeNet F9, epochs 1, 32 images"]
    assert [run.data_digest for run in found.runs] == ["", ""]
