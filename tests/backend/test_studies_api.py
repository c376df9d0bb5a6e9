"""A study as a sweep: random trials at once, a Pareto study's one after the other, each by a look of the API."""

from __future__ import annotations

import shutil

import pytest
from twins import TINY

from backend.sweeps.studies import go_on
from core.bundle import Bundle
from core.schemas.run import RunState
from core.schemas.sweep import SweepDetail, SweepPreview

BODY = {"name": "study", "base": {**TINY, "kind": "snn"}, "axes": {"training.lr": ["1e-4:1e-2:log"]}}


@pytest.fixture(autouse=True)
def _no_look_of_its_own(monkeypatch) -> None:
    monkeypatch.setattr("backend.sweeps.studies.LOOK_S", 3600.0)


def made(client, **study: object) -> SweepDetail:
    answer = client.post("/api/v1/sweeps", json={**BODY, "study": study})
    assert answer.status_code == 201, answer.text
    return SweepDetail.model_validate_json(answer.content)


def shown(client, sweep_id: str) -> SweepDetail:
    return SweepDetail.model_validate_json(client.get(f"/api/v1/sweeps/{sweep_id}").content)


def test_a_random_study_queues_all_its_trials_at_once(client) -> None:
    foreseen = client.post("/api/v1/sweeps/preview", json={**BODY, "study": {"trials": 5}})
    assert SweepPreview.model_validate_json(foreseen.content).n_new == 5
    found = made(client, trials=5)
    rates = [group.values["training.lr"] for group in found.groups]
    assert found.n_runs == 5 == len(set(rates)) and all(1e-4 <= rate <= 1e-2 for rate in rates)
    assert [one["training.lr"] for one in found.request.study.asked] == rates
    assert go_on(client.app.state.context) == 0 and not found.request.study.is_open


def test_a_pareto_study_asks_for_a_trial_whenever_one_has_ended(client, lifecycle, trained) -> None:
    context = client.app.state.context
    study = made(client, sampler="pareto", trials=3, at_once=1)
    assert study.n_runs == 1 and study.request.study.is_open and go_on(context) == 0  # it waits
    for n in (2, 3):
        claim = lifecycle.claim(shown(client, study.id).groups[-1].run_ids[0], worker="w@host", lease_s=60)
        shutil.copytree(trained["snn"], claim.out)
        lifecycle.succeed(claim, Bundle(claim.out).summary())
        assert go_on(context) == 1 and go_on(context) == 0
        assert shown(client, study.id).n_runs == n
    found = shown(client, study.id)
    assert not found.request.study.is_open and found.states[RunState.SUCCEEDED] == 2


def test_a_cancelled_trial_ends_a_study(client) -> None:
    study = made(client, sampler="pareto", trials=4, at_once=2)
    assert study.n_runs == 2
    client.post(f"/api/v1/sweeps/{study.id}/cancel")
    assert go_on(client.app.state.context) == 0
    found = shown(client, study.id)
    assert found.request.study.is_closed and found.n_runs == 2


def test_a_study_of_an_unknown_mode_or_an_impossible_range_is_refused(client) -> None:
    for study, axes, why in (
        ({"trials": 2, "mode": "exacr"}, BODY["axes"], "exact"),
        ({"trials": 2}, {"training.lr": ["1:0"]}, "low end below"),
        ({"trials": 0}, BODY["axes"], "trials"),
    ):
        answer = client.post("/api/v1/sweeps", json={**BODY, "axes": axes, "study": study})
        assert answer.status_code == 422 and why in answer.text, answer.text
