"""`/runs/{id}/robustness`: measured by a child process, one at a time, kept beside the bundle, shown in any price."""

from __future__ import annotations

import json
import sys

import pytest
from fastapi.testclient import TestClient
from sqlalchemy import update

import backend.context
from backend.app import create_app
from backend.measuring import Measurements
from backend.store.artifacts import Artifacts
from backend.store.models import RunRow
from core.analysis.robustness import FILE, kept
from core.bundle import Bundle
from core.schemas.robustness import MeasureRequest, RunRobustness

from .conftest import Finisher, wait_until

SLEEPS = (sys.executable, "-c", "import time; time.sleep(600)")


def get(client, run_id: str, **query) -> RunRobustness:
    answer = client.get(f"/api/v1/runs/{run_id}/robustness", params=query)
    assert answer.status_code == 200, answer.text
    return RunRobustness.model_validate_json(answer.content)


def post(client, run_id: str, **body):
    return client.post(f"/api/v1/runs/{run_id}/robustness", json=body)


def test_a_run_is_measured_in_the_background_and_shown_on_its_page_s_route_and_its_share(client, finisher, settings):
    run_id = finisher.succeeded("snn")
    assert get(client, run_id) == RunRobustness(work=None, found=None)
    asked = post(client, run_id, images=6, seed=3)
    assert asked.status_code == 202 and asked.json()["work"]["state"] == "running"
    wait_until(lambda: get(client, run_id).work.state != "running", timeout_s=300)
    seen = get(client, run_id)
    assert seen.work.state == "done" and seen.work.done == seen.work.total == 16 * 6, seen.work
    found = seen.found
    assert (found.n, found.n_test, found.seed, found.answers_equal, found.time_steps) == (6, 360, 3, 6, 4)
    bundle = Artifacts(settings).bundle(run_id)
    bundle.verify()  # its manifest stands as it did
    assert FILE not in [entry.name for entry in bundle.files()]
    assert kept(bundle).n == 6
    assert get(client, run_id, mode="memory").found.undisturbed.energy_pj > found.undisturbed.energy_pj
    share = client.post("/api/v1/shares", json={"run_id": run_id, "with_twin": False, "with_images": False}).json()
    shown = client.get(f"/api/v1/shared/{share['token']}").json()
    assert shown["robustness"] == json.loads(found.model_dump_json())
    page = client.get(f"/s/{share['token']}").text
    assert "Under noise, blur and fewer bits" in page and 'data-chart="weight_bits"' in page


def test_one_at_a_time_and_what_is_under_way_ends_with_the_api(settings, lifecycle, trained, monkeypatch):
    works = Measurements(argv=SLEEPS)
    monkeypatch.setattr(backend.context, "Measurements", lambda: works)
    app = create_app(settings)
    headers = {"Authorization": f"Bearer {app.state.context.token}"}
    with TestClient(app, base_url="http://127.0.0.1:8000", headers=headers) as client:
        finisher = Finisher(client=client, lifecycle=lifecycle, trained=trained)
        first, second = finisher.succeeded("snn"), finisher.succeeded("cnn")
        assert post(client, first).status_code == post(client, first).status_code == 202  # the same one goes on
        refused = post(client, second)
        assert (refused.status_code, refused.json()["code"]) == (409, "measurement-busy")
        assert first in refused.json()["detail"] and "Please wait" in refused.json()["detail"]
        child = works._child
    assert child.poll() is not None
    ended = works.of(first)
    assert ended.state == "failed" and ended.problem.code == "measurement-failed"


def test_a_child_that_says_no_sense_is_a_failure_in_words(settings):
    for said in ("print('what?')", 'print(\'{"type": "failed", "code": "internal", "message": "It broke."}\')'):
        works = Measurements(argv=(sys.executable, "-c", said))
        works.start("a", MeasureRequest(folder=settings.home, data=settings.data))
        wait_until(lambda works=works: works.of("a").state != "running")
        assert works.of("a").problem.status == 503
        works.close()


@pytest.mark.parametrize("images", [0, -1, 1.5, "many", True])
def test_a_number_of_images_that_is_none_is_refused(client, finisher, images):
    answer = post(client, finisher.succeeded("snn"), images=images)
    assert (answer.status_code, answer.json()["code"]) == (422, "invalid-request")


def test_what_cannot_be_measured_is_refused_at_once(client, finisher, database, settings):
    assert post(client, "nowhere").json()["code"] == "not-found"
    assert post(client, finisher.queued().id).json()["code"] == "not-ready"
    run_id = finisher.succeeded("snn")
    for name in ("cifar10", "pets"):  # one that is not on this machine, and one that was taken away
        with database.write() as session:
            session.execute(update(RunRow).where(RunRow.id == run_id).values(dataset=name))
        answer = post(client, run_id)
        assert (answer.status_code, answer.json()["code"]) == (409, "dataset-missing")
        assert name in answer.json()["detail"] and "add" in answer.json()["detail"]
    assert client.get(f"/api/v1/runs/{run_id}/robustness", params={"mode": "exat"}).json()["code"] == "unknown-name"


def test_a_file_that_is_none_of_ours_is_said_to_be_damaged(client, finisher, settings):
    run_id = finisher.succeeded("snn")
    bundle: Bundle = Artifacts(settings).bundle(run_id)
    (bundle.path / FILE).write_text('{"version": 1}')
    answer = client.get(f"/api/v1/runs/{run_id}/robustness")
    assert (answer.status_code, answer.json()["code"]) == (409, "bundle-corrupt") and FILE in answer.json()["detail"]
