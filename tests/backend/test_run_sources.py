"""Runs made from finished runs: named by id or by their weights, found when a worker takes the run, refused if not here."""

from __future__ import annotations

import shutil

import pytest

from backend.store import holders
from core.bundle import Bundle
from core.schemas.preview import Preview
from core.schemas.run import RunState
from core.schemas.runs import Run
from core.schemas.sweep import SweepDetail

TAUGHT = {"distillation": 0.5}


def post(finisher, path: str = "/api/v1/runs", **body):
    from_tiny = {"mask": "F9", "dataset": "digits", "recipe": "smoke"}
    return finisher.client.post(path, json={**from_tiny, **body})


@pytest.fixture
def source(finisher) -> str:
    """The id of a succeeded run."""
    return finisher.succeeded()


@pytest.fixture
def weights(finisher) -> str:
    return Bundle(finisher.trained["snn"]).weights_sha256


def test_a_run_may_start_from_a_run_by_its_id_or_by_its_weights(finisher, source, weights) -> None:
    for named in (source, weights):
        answer = post(finisher, overrides={"start": "bundle", "start_bundle": named, "max_epochs": 2})
        assert answer.status_code == 201, answer.text
        run = Run.model_validate_json(answer.content)
        assert (run.config.start, run.config.start_bundle) == ("bundle", weights)
        claim = finisher.lifecycle.claim(run.id, worker="w", lease_s=60)
        assert (claim.start.name, claim.teacher) == (source, None)


@pytest.mark.parametrize("spelling", ["teacher", "training.teacher"])
def test_any_run_may_teach_by_its_id(finisher, source, weights, spelling: str) -> None:
    preview = post(finisher, "/api/v1/preview", overrides={**TAUGHT, spelling: source})
    assert Preview.model_validate_json(preview.content).config.training.teacher == weights
    answer = post(finisher, overrides={**TAUGHT, spelling: source})
    claim = finisher.lifecycle.claim(answer.json()["id"], worker="w", lease_s=60)
    assert (claim.teacher.name, claim.start) == (source, None)


def test_a_fork_and_a_sweep_take_ids_too(finisher, source, weights) -> None:
    fork = finisher.client.post(f"/api/v1/runs/{source}/fork", json={"overrides": {**TAUGHT, "teacher": source}})
    assert fork.json()["config"]["training"]["teacher"] == weights
    base = {"mask": "F9", "dataset": "digits", "overrides": TAUGHT}
    sweep = {"name": "teachers", "base": base, "axes": {"training.teacher": [source, None], "seed": [0, 1]}}
    assert finisher.client.post("/api/v1/sweeps/preview", json=sweep).json()["n_runs"] == 4
    made = SweepDetail.model_validate_json(finisher.client.post("/api/v1/sweeps", json=sweep).content)
    runs = finisher.client.get("/api/v1/runs", params={"sweep": made.id}).json()["items"]
    assert sorted(str(run["config"]["training"]["teacher"]) for run in runs) == sorted(
        [weights, weights, "None", "None"]
    )
    assert len(made.groups) == 2


def test_the_newest_run_with_the_weights_is_found_and_one_in_the_bin_is_not(finisher, source, weights) -> None:
    newer = finisher.succeeded()
    run = post(finisher, overrides={"start": "bundle", "start_bundle": weights}).json()["id"]
    finisher.client.delete(f"/api/v1/runs/{newer}")
    assert finisher.lifecycle.claim(run, worker="w", lease_s=60).start.name == source
    finisher.client.delete(f"/api/v1/runs/{source}")
    again = post(finisher, overrides={"start": "bundle", "start_bundle": weights})
    assert again.status_code == 422


@pytest.mark.parametrize("path", ["/api/v1/runs", "/api/v1/preview"])
def test_weights_that_are_not_here_are_refused_at_once(finisher, source, path: str) -> None:
    for overrides, field in (
        ({"start": "bundle", "start_bundle": "a" * 64}, "start_bundle"),
        ({**TAUGHT, "teacher": "a" * 64}, "training.teacher"),
    ):
        answer = post(finisher, path, overrides=overrides)
        assert answer.status_code == 422, answer.text
        assert answer.json()["fields"]["field"] == field
        assert "a succeeded run here" in answer.json()["detail"]
    answer = post(finisher, path, overrides={"start": "bundle", "start_bundle": "not a digest"})
    assert "64 hexadecimal digits" in answer.json()["detail"]
    assert post(finisher, path, overrides={"start": "bundle", "start_bundle": "0123456789abcdef"}).status_code == 404


def test_a_run_that_has_not_succeeded_is_no_source(finisher) -> None:
    queued = finisher.queued().id
    answer = post(finisher, overrides={"start": "bundle", "start_bundle": queued})
    assert answer.status_code == 422
    assert "a run that has succeeded; this one is queued" in answer.json()["detail"]
    assert finisher.client.get(f"/api/v1/runs/{queued}").json()["state"] == RunState.QUEUED


def test_a_run_with_a_damaged_manifest_does_not_hide_another(finisher, source, weights, database) -> None:
    holders._weights.cache_clear()
    broken = finisher.succeeded()
    artifacts = finisher.client.app.state.context.artifacts
    (artifacts.folder(broken) / "manifest.json").write_text("{")
    with database.read() as session:
        assert holders.holder(session, artifacts, weights).name == source
    shutil.rmtree(artifacts.folder(broken))
    with database.read() as session:
        assert holders.holder(session, artifacts, weights).name == source


def test_a_source_that_is_gone_when_its_turn_comes_leaves_the_run_to_say_so(finisher, source, weights) -> None:
    run = post(finisher, overrides={"start": "bundle", "start_bundle": weights}).json()["id"]
    finisher.client.delete(f"/api/v1/runs/{source}")
    assert finisher.lifecycle.claim(run, worker="w", lease_s=60).start is None
