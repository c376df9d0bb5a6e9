"""`POST /runs/{id}/try`: a picture or a test image through a trained network and its twin."""

from __future__ import annotations

import base64
import sys
from collections.abc import Iterator

import numpy as np
import pytest
from fastapi.testclient import TestClient
from sqlalchemy import update

import backend.context
from backend.app import create_app
from backend.inference import InferProcess
from backend.store.models import RunRow
from core.bundle import Bundle
from core.datasets.picture import png
from core.schemas.inference import MAX_PICTURE_BYTES, Tried


class Lasting(InferProcess):
    """Outlives the API of one test: loading the engine takes seconds."""

    def close(self) -> None:
        pass


@pytest.fixture(scope="module")
def engine() -> Iterator[InferProcess]:
    process = Lasting()
    yield process
    InferProcess.close(process)


@pytest.fixture(autouse=True)
def _one_engine(engine, monkeypatch) -> None:
    monkeypatch.setattr(backend.context, "InferProcess", lambda: engine)


@pytest.fixture
def pair(finisher) -> tuple[str, str]:
    return finisher.succeeded("snn"), finisher.succeeded("cnn")


def post(client, run_id: str, content: bytes = b"", **query) -> Tried:
    answer = client.post(f"/api/v1/runs/{run_id}/try", content=content, params=query)
    assert answer.status_code == 200, answer.text
    return Tried.model_validate_json(answer.content)


def test_a_test_image_gets_the_tests_own_answer_step_by_step_beside_its_twins(client, finisher, pair):
    bundles = {kind: Bundle(folder) for kind, folder in finisher.trained.items()}
    kept = bundles["snn"].examples()
    index = int(kept.index[4])
    tried = post(client, pair[0], index=index)
    answers = bundles["snn"].predictions()
    assert tried.truth == answers.classes[answers.label[index]] and tried.index == index
    assert tried.picture is None
    for kind, run_id, network in (("snn", pair[0], tried.answer), ("cnn", pair[1], tried.twin)):
        assert (network.run_id, network.kind) == (run_id, kind)
        outputs = bundles[kind].predictions().outputs[index].astype(float)
        for t, confidence in enumerate(network.confidence, 1):
            mean = np.exp(outputs[:t].mean(0))
            assert np.allclose(confidence, mean / mean.sum(), atol=1e-4)
    assert [len(network.confidence) for network in (tried.answer, tried.twin)] == [4, 1]


def test_energy_grows_with_the_steps_to_what_this_image_cost_in_the_test(client, finisher, pair):
    bundle = Bundle(finisher.trained["snn"])
    index = int(bundle.examples().index[2])
    energy = post(client, pair[0], index=index, mode="exact", profile="horowitz-45nm").answer.energy_pj
    assert energy == sorted(energy) and energy[0] > 0
    stored = bundle.counts_per_sample()
    # SCIENCE: 0.9 pJ an accumulate and 4.6 pJ a multiply-accumulate; the constant input is charged once, at step 1
    constant = [layer.name for layer in bundle.counts().layers if layer.constant_input]
    mac = stored["mac"][index].copy()
    mac[[name in constant for name in stored["layers"]], 1:] = 0
    assert energy[-1] == pytest.approx(0.9 * stored["ac"][index].sum() + 4.6 * mac.sum(), rel=1e-9)
    memory = post(client, pair[0], index=index, mode="memory").answer.energy_pj
    assert memory[-1] > energy[-1]


def test_a_picture_of_ones_own_is_shown_as_it_went_in(client, pair):
    image = np.random.default_rng(0).integers(0, 256, (40, 64, 3), dtype=np.uint8)
    tried = post(client, pair[0], png(image))
    assert tried.index is None and tried.truth is None
    assert tried.picture.crop == (12, 0, 52, 40)  # (64 - 40) / 2 = 12 on each side
    assert base64.b64decode(tried.image.partition(",")[2])[:4] == b"\x89PNG"
    negative = post(client, pair[0], png(image), invert=True)
    assert negative.image != tried.image and negative.picture == tried.picture


def test_without_a_twin_the_run_answers_alone(client, finisher):
    assert (
        post(client, finisher.succeeded("snn"), index=int(Bundle(finisher.trained["snn"]).examples().index[0])).twin
        is None
    )


@pytest.mark.parametrize(
    ("content", "query", "status", "code"),
    [
        (b"", {}, 422, "bad-value"),
        (b"x", {"index": 0}, 422, "bad-value"),
        (b"no picture", {}, 422, "bad-value"),
        (b"", {"index": 99_999}, 404, "not-found"),
        (b"", {"index": -1}, 422, "invalid-request"),
        (b"", {"index": 0, "mode": "exat"}, 422, "unknown-name"),
        (b"", {"index": 0, "profile": "x"}, 422, "unknown-name"),
        (b"", {"index": 0, "folder": "/etc"}, 422, "invalid-request"),
        (bytes(MAX_PICTURE_BYTES + 1), {}, 413, "body-too-large"),
    ],
)
def test_what_cannot_be_tried_is_refused_by_name(client, finisher, content, query, status, code):
    answer = client.post(f"/api/v1/runs/{finisher.succeeded('snn')}/try", content=content, params=query)
    assert (answer.status_code, answer.json()["code"]) == (status, code)


def test_a_run_whose_data_set_was_taken_away_is_refused_for_good(client, finisher, database):
    run_id = finisher.succeeded("snn")
    with database.write() as session:
        session.execute(update(RunRow).where(RunRow.id == run_id).values(dataset="pets"))
    for query, content in (({"index": 0}, b""), ({}, png(np.zeros((16, 16, 3), np.uint8)))):
        answer = client.post(f"/api/v1/runs/{run_id}/try", params=query, content=content)
        assert (answer.status_code, answer.json()["code"]) == (409, "dataset-missing")
        assert "pets" in answer.json()["detail"] and "add it again" in answer.json()["detail"]
        assert "Retry-After" not in answer.headers


def test_a_body_without_a_length_is_bounded_too(client, finisher):
    run_id = finisher.succeeded("snn")
    answer = client.post(f"/api/v1/runs/{run_id}/try", content=(bytes(1 << 20) for _ in range(6)))
    assert answer.json()["code"] == "body-too-large"
    picture = png(np.zeros((900, 900, 3), np.uint8)) + bytes(2 << 20)  # more than other routes take; PNG ends before
    assert client.post(f"/api/v1/runs/{run_id}/try", content=iter([picture])).status_code == 200


def test_only_a_succeeded_run_has_a_network_to_try(client, finisher):
    for run_id, code in (("nowhere", "not-found"), (finisher.queued().id, "not-ready")):
        answer = client.post(f"/api/v1/runs/{run_id}/try", params={"index": 0})
        assert answer.json()["code"] == code


def test_nobody_without_the_token_is_answered(client, finisher):
    run_id = finisher.succeeded("snn")
    answer = client.post(f"/api/v1/runs/{run_id}/try", params={"index": 0}, headers={"Authorization": "Bearer x"})
    assert answer.status_code == 401


def test_the_child_ends_with_the_api(settings, monkeypatch):
    child = InferProcess(
        argv=(sys.executable, "-c", "print('{}', flush=True); import time; time.sleep(600)"), answer_s=9
    )
    monkeypatch.setattr(backend.context, "InferProcess", lambda: child)
    with TestClient(create_app(settings)):
        child._start()
        assert child.pid is not None
    assert child.pid is None


def test_nothing_to_look_at_is_refused_as_an_empty_picture(finisher, client) -> None:
    answer = client.post(f"/api/v1/runs/{finisher.succeeded()}/try")
    assert answer.status_code == 422
    assert answer.json()["detail"].startswith("picture is 'empty'; it must be a PNG, JPEG or WebP file")
