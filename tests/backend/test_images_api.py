"""One test image step by step, the images of a cell of the confusion matrix, and the bundle as one file."""

from __future__ import annotations

import io
import zipfile
from urllib.parse import urlsplit

import numpy as np
import pytest
from fastapi.testclient import TestClient

from core.bundle import FILES, MANIFEST, Bundle
from core.schemas.images import Examples, SeenImage
from core.schemas.runs import Run


def seen(client: TestClient, run_id: str, index: int, **query: str) -> SeenImage:
    answer = client.get(f"/api/v1/runs/{run_id}/images/{index}", params=query)
    assert answer.status_code == 200, answer.text
    return SeenImage.model_validate_json(answer.content)


def test_an_image_has_its_own_spikes_and_its_own_energy(finisher, client: TestClient) -> None:
    run_id = finisher.succeeded()
    bundle = Bundle(finisher.trained["snn"])
    given, per_sample = bundle.predictions(), bundle.counts_per_sample()
    place = 17
    index = int(given.index[place])
    found = seen(client, run_id, index, mode="exact", profile="horowitz-45nm")
    assert (found.index, found.label, found.twin) == (index, given.classes[given.label[place]], None)
    assert [layer.name for layer in found.run.layers] == per_sample["neuron_layers"].tolist()
    assert [layer.spikes for layer in found.run.layers] == per_sample["spikes"][place].tolist()
    # Horowitz, 45 nm, fp32: 0.9 pJ an AC, 4.6 pJ a MAC
    layers = {layer.name: layer for layer in bundle.counts().layers}
    constant = [layers[name].constant_input for name in per_sample["layers"].tolist()]
    macs = per_sample["mac"][place]
    macs[constant, 1:] = 0  # the image is the same at every step: charged once
    of_step = 0.9 * per_sample["ac"][place].sum(0) + 4.6 * macs.sum(0)
    assert found.run.energy_pj == pytest.approx(of_step.cumsum())


def test_the_mean_over_all_images_is_the_energy_of_the_test_set(finisher, client: TestClient) -> None:
    run_id = finisher.succeeded()
    every = [seen(client, run_id, int(i)) for i in Bundle(finisher.trained["snn"]).predictions().index[:40]]
    layers = client.get(f"/api/v1/runs/{run_id}/layers").json()
    assert every[0].run.mean_energy_pj[-1] == pytest.approx(layers["total_energy_pj"])
    assert len({image.run.energy_pj[-1] for image in every}) > 1  # each image has its own
    spent = np.array([image.run.energy_pj for image in every])
    assert (np.diff(spent, axis=1) >= 0).all()


def test_a_mode_without_an_energy_of_one_image_gives_none_and_keeps_the_rest(finisher, client: TestClient) -> None:
    snn, cnn = finisher.succeeded("snn"), finisher.succeeded("cnn")
    index = int(Bundle(finisher.trained["snn"]).predictions().index[3])
    found = seen(client, snn, index, mode="paper")
    assert found.run.energy_pj is None and len(found.run.mean_energy_pj) == 4
    assert found.twin is not None and found.twin.answer.run_id == cnn and found.twin.layers == []
    assert len(found.twin.mean_energy_pj) == 1
    assert client.get(f"/api/v1/runs/{snn}/images/{index}?mode=exat").json()["code"] == "unknown-name"


def test_an_image_that_the_test_set_has_not_is_not_found(finisher, client: TestClient) -> None:
    run_id = finisher.succeeded()
    answer = client.get(f"/api/v1/runs/{run_id}/images/360")  # digits: 0..359
    assert (answer.status_code, answer.json()["code"]) == (404, "not-found")
    assert "360" in answer.json()["detail"]


def test_a_cell_of_the_confusion_matrix_opens_its_images(finisher, client: TestClient) -> None:
    run_id = finisher.succeeded()
    matrix = np.array(client.get(f"/api/v1/runs/{run_id}/confusion").json()["matrix"])
    classes = Bundle(finisher.trained["snn"]).predictions().classes
    off = matrix - np.diag(np.diag(matrix))
    truth, answer = map(int, np.unravel_index(off.argmax(), off.shape))
    query = f"truth={truth}&answer={answer}&limit=200"
    found = Examples.model_validate_json(client.get(f"/api/v1/runs/{run_id}/examples?{query}").content)
    assert 1 <= len(found.items) <= off.max()  # of every kind of mistake some are kept
    assert {(item.label, item.answer.prediction) for item in found.items} == {(classes[truth], classes[answer])}
    every = client.get(f"/api/v1/runs/{run_id}/examples?limit=200").json()["items"]
    for name, place, said in (
        ("truth", truth, lambda item: item["label"]),
        ("answer", answer, lambda item: item["answer"]["prediction"]),
    ):
        row = client.get(f"/api/v1/runs/{run_id}/examples?{name}={place}&limit=200").json()["items"]
        assert {item["index"] for item in row} >= {i["index"] for i in every if said(i) == classes[place]} != set()
        assert {said(item) for item in row} == {classes[place]}
    other = next(k for k in range(10) if matrix[truth][k] == 0)
    assert client.get(f"/api/v1/runs/{run_id}/examples?truth={truth}&answer={other}").json()["items"] == []


def test_the_bundle_comes_as_one_zip_that_can_be_imported_again(finisher, client: TestClient) -> None:
    run_id = finisher.succeeded()
    address = urlsplit(Run.model_validate_json(client.get(f"/api/v1/runs/{run_id}").content).bundle_url)
    anyone = {"Authorization": ""}
    answer = client.get(f"{address.path}?{address.query}", headers=anyone)  # by its signature alone
    assert answer.status_code == 200 and answer.headers["content-type"] == "application/zip"
    assert f'filename="{run_id}-bundle.zip"' in answer.headers["content-disposition"]
    assert client.get(address.path, headers=anyone).status_code == 401
    with zipfile.ZipFile(io.BytesIO(answer.content)) as archive:
        assert archive.testzip() is None
        assert set(archive.namelist()) >= {*FILES, MANIFEST}
        for name in archive.namelist():
            assert archive.read(name) == (finisher.trained["snn"] / name).read_bytes()
    again = client.post("/api/v1/imports", content=answer.content, headers={"Content-Type": "application/zip"})
    assert (again.status_code, again.json()["id"]) == (200, run_id)  # known by its manifest


def test_the_environment_is_what_the_bundle_says_and_waits_for_it(finisher, client: TestClient) -> None:
    run_id = finisher.succeeded()
    noted = client.get(f"/api/v1/runs/{run_id}/environment").json()["noted"]
    assert noted == Bundle(finisher.trained["snn"]).environment() and noted["torch"]
    waiting = finisher.claimed().run_id
    for name in ("environment", "images/0", "artifacts/bundle.zip"):
        answer = client.get(f"/api/v1/runs/{waiting}/{name}")
        assert (answer.status_code, answer.json()["code"]) == (409, "not-ready"), name
    assert Run.model_validate_json(client.get(f"/api/v1/runs/{waiting}").content).bundle_url is None
