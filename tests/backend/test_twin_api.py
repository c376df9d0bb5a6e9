"""`GET /runs/{id}/twin`: both networks' figures from either side, and a clear refusal where there is only one."""

from __future__ import annotations

import pytest
from fastapi.testclient import TestClient

from core.analysis.twin import twin_energy
from core.bundle import Bundle
from core.energy.modes import MODES
from core.energy.profiles import profiles
from core.schemas.runs import Run
from core.schemas.twin import RunTwin


def counts(finisher):
    return [Bundle(finisher.trained[kind]).counts() for kind in ("snn", "cnn")]


@pytest.mark.parametrize(("mode", "profile"), [("exact", "horowitz-45nm"), ("memory", "loihi")])
def test_either_twin_gives_the_same_figures_and_they_are_the_counts_priced(
    finisher, client: TestClient, mode: str, profile: str
) -> None:
    snn, cnn = finisher.succeeded("snn"), finisher.succeeded("cnn")
    asked = {"mode": mode, "profile": profile}
    one, other = (client.get(f"/api/v1/runs/{run_id}/twin", params=asked) for run_id in (snn, cnn))
    assert one.status_code == 200 and one.json() == other.json()
    found = RunTwin.model_validate_json(one.content)
    assert (found.snn_id, found.cnn_id) == (snn, cnn)
    assert (
        found.model_dump(exclude={"snn_id", "cnn_id"})
        == twin_energy(*counts(finisher), MODES[mode], profiles()[profile]).model_dump()
    )
    for run_id, energy in ((snn, found.snn_pj), (cnn, found.cnn_pj)):
        bill = client.get(f"/api/v1/runs/{run_id}/layers", params=asked).json()
        assert bill["total_energy_pj"] == pytest.approx(energy)


def test_the_lens_is_exact_at_horowitz_unless_said(finisher, client: TestClient) -> None:
    snn, _ = finisher.succeeded("snn"), finisher.succeeded("cnn")
    found = RunTwin.model_validate_json(client.get(f"/api/v1/runs/{snn}/twin").content)
    run = Run.model_validate_json(client.get(f"/api/v1/runs/{snn}").content)
    assert (found.mode, found.profile) == ("exact", "horowitz-45nm")
    assert found.measured_rate == pytest.approx(run.summary.firing_rate)
    assert found.snn_pj == pytest.approx(run.summary.energy_pj) and found.n_samples == run.summary.n_test


def test_the_newest_finished_twin_is_taken(finisher, client: TestClient) -> None:
    snn, _, newer = finisher.succeeded("snn"), finisher.succeeded("cnn"), finisher.succeeded("cnn")
    finisher.claimed("cnn")
    assert client.get(f"/api/v1/runs/{snn}/twin").json()["cnn_id"] == newer


def test_without_a_finished_twin_the_answer_says_what_there_is(finisher, client: TestClient) -> None:
    snn = finisher.succeeded("snn")

    def refused() -> str:
        answer = client.get(f"/api/v1/runs/{snn}/twin")
        assert (answer.status_code, answer.json()["code"]) == (409, "not-ready")
        return answer.json()["detail"]

    assert "has no finished CNN twin; none has been launched." in refused()
    finisher.claimed("cnn", seed=1)  # another seed is no twin
    assert "none has been launched" in refused()
    finisher.claimed("cnn")
    assert "has no finished CNN twin; the newest one is running." in refused()


def test_the_twin_of_a_cnn_is_called_spiking(finisher, client: TestClient) -> None:
    assert "no finished SNN twin" in client.get(f"/api/v1/runs/{finisher.succeeded('cnn')}/twin").json()["detail"]


def test_unknown_runs_modes_and_profiles_are_named(finisher, client: TestClient) -> None:
    snn, _ = finisher.succeeded("snn"), finisher.succeeded("cnn")
    missing = client.get("/api/v1/runs/0000000000000000/twin")
    assert (missing.status_code, missing.json()["code"]) == (404, "not-found")
    for query, near in (("mode=exat", "exact"), ("profile=horowitz-45", "horowitz-45nm")):
        answer = client.get(f"/api/v1/runs/{snn}/twin?{query}")
        assert (answer.status_code, answer.json()["code"]) == (422, "unknown-name")
        assert near in answer.json()["fields"]["near"]
