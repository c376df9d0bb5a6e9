"""A run of the gallery comes in as every import does, and its images appear where its data set is."""

from pathlib import Path

import numpy as np
import pytest
from fastapi.testclient import TestClient

from backend.results.archive import stream
from core.bundle import Bundle
from core.errors import DatasetMissing
from core.gallery.catalog import content_of
from core.gallery.pack import add

ZIP = {"Content-Type": "application/zip"}


@pytest.fixture
def brought(trained, client: TestClient, tmp_path: Path) -> str:
    """The id of the spiking run, packed and imported."""
    run = add(Bundle(trained["snn"]), tmp_path)
    answer = client.post("/api/v1/imports", content=content_of(run, tmp_path), headers=ZIP)
    assert answer.status_code == 201, answer.text
    return answer.json()["id"]


def test_its_figures_are_the_runs_and_its_images_those_of_the_data_set(brought, trained, client: TestClient) -> None:
    summary = client.get(f"/api/v1/runs/{brought}").json()["summary"]
    assert summary == Bundle(trained["snn"]).summary().model_dump(mode="json")
    examples = client.get(f"/api/v1/runs/{brought}/examples?which=first&limit=3").json()["items"]
    assert len(examples) == 3 and all(item["image"].startswith("data:image/png") for item in examples)


def test_the_plot_says_that_it_was_brought_in(brought, client: TestClient) -> None:
    plot = client.get("/api/v1/pareto?dataset=digits").json()
    assert [(point["run_id"], point["imported"]) for point in plot["points"]] == [(brought, True)]


def test_without_the_data_set_all_but_the_images_is_there(brought, client: TestClient, monkeypatch) -> None:
    def missing(*_: object) -> None:
        raise DatasetMissing(name="digits", folder="somewhere", how="Fetch it.")

    monkeypatch.setattr("core.gallery.pictures.load", missing)
    assert client.get(f"/api/v1/runs/{brought}/examples?which=first&limit=3").json()["items"] == []
    assert client.get(f"/api/v1/runs/{brought}/confusion").status_code == 200
    assert client.get(f"/api/v1/runs/{brought}/images/0").json()["image"] is None


def test_a_bundle_whose_images_have_another_size_is_refused(trained, client: TestClient, tmp_path: Path) -> None:
    bundle = Bundle(tmp_path / "bundle")
    for entry in Bundle(trained["snn"]).files():
        bundle.write_bytes(entry.name, Bundle(trained["snn"]).read(entry.name))
    kept = bundle.examples()
    bundle.write_arrays("examples.npz", {"index": kept.index, "image": np.zeros((len(kept.index), 4, 4, 3), np.uint8)})
    bundle.seal()
    answer = client.post("/api/v1/imports", content=b"".join(stream(bundle)), headers=ZIP)
    assert answer.status_code == 422 and "examples.npz" in answer.text
