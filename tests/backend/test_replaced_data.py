"""A data set of one's own is replaced under its name: runs of the old images are never taken for runs of the new ones."""

from __future__ import annotations

import shutil
import sqlite3
import zipfile
from collections.abc import Callable
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from apis import client_over
from earlier import before_images_were_noted
from fastapi.testclient import TestClient
from PIL import Image
from typer.testing import CliRunner

from backend.app import create_app
from backend.store.lifecycle import Lifecycle
from core.bundle import Bundle
from core.cli.commands.bundle import app as bundle_command
from core.datasets.add import add
from core.datasets.identity import present_digest
from core.engine.experiment import run as train
from core.errors import BadValue, Interrupted
from core.recipes.build import build_config
from core.repeats import repeat_key
from core.schemas.request import RunRequest
from core.settings import Settings

TINY = {"training.max_epochs": 1, "training.batch_size": 4}
BODY = {"mask": "F9", "dataset": "pets", "overrides": TINY}


def pictures(folder: Path, classes: tuple[str, ...], *, seed: int, n: int = 10) -> Path:
    random = np.random.default_rng(seed)
    for name in classes:
        (folder / name).mkdir(parents=True)
        for number in range(n):
            Image.fromarray(random.integers(0, 256, (16, 16, 3), np.uint8)).save(folder / name / f"{number}.png")
    return folder


@pytest.fixture
def data(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("SPIKEFRONT_DATA", str(settings.data))
    return settings.data


@pytest.fixture
def client(settings: Settings, data: Path):
    with client_over(settings) as opened:
        yield opened


@pytest.fixture
def put(tmp_path: Path, data: Path) -> Callable[..., str]:
    """Adds or replaces the data set `pets`; its digest."""
    made = iter(range(100))

    def put(*classes: str, seed: int) -> str:
        source = pictures(tmp_path / f"source{next(made)}", classes, seed=seed)
        add("pets", source, data, replace=True, size=16)
        return present_digest("pets", data)

    return put


def trained(client: TestClient, lifecycle: Lifecycle, data: Path, kind: str, **changes: object) -> str:
    """A run that was launched and trained on what is there now."""
    run_id = client.post("/api/v1/runs", json={**BODY, "kind": kind, **changes}).json()["id"]
    claim = lifecycle.claim(run_id, worker="w@host", lease_s=60)
    summary = train(
        claim.config, out=claim.out, data_dir=data, device="cpu", threads=1, emit=lambda event: None,
        teacher=claim.teacher,
    )  # fmt: skip
    lifecycle.succeed(claim, summary)
    return run_id


def shown(client: TestClient, run_id: str) -> dict:
    return client.get(f"/api/v1/runs/{run_id}").json()


@pytest.mark.parametrize("classes", [("ant", "bee"), ("cat", "dog")])  # other classes; other pictures of the same
def test_runs_of_the_old_and_the_new_images_are_no_twins_not_equal_and_not_compared_by_image(
    client: TestClient, lifecycle: Lifecycle, data: Path, put: Callable[..., str], classes: tuple[str, ...]
) -> None:
    before = put("cat", "dog", seed=1)
    snn, cnn = (trained(client, lifecycle, data, kind) for kind in ("snn", "cnn"))
    assert shown(client, snn)["twin"]["id"] == cnn and shown(client, snn)["summary"]["data_digest"] == before
    assert client.post("/api/v1/preview", json=BODY).json()["equal_run"]["id"] == snn

    assert put(*classes, seed=2) != before
    assert client.post("/api/v1/preview", json=BODY).json()["equal_run"] is None
    sweep = {"name": "both", "base": BODY, "axes": {"kind": ["snn", "cnn"]}}
    assert client.post("/api/v1/sweeps/preview", json=sweep).json()["n_existing"] == 0
    client.delete(f"/api/v1/runs/{cnn}")  # the newest CNN is now one of the new images
    other = trained(client, lifecycle, data, "cnn")
    assert shown(client, snn)["config_hash"] == build_config(RunRequest(**BODY)).config_hash  # as it always was
    assert shown(client, snn)["twin"] is None and shown(client, other)["twin"] is None
    assert client.get(f"/api/v1/runs/{snn}/twin").json()["code"] == "not-ready"
    for item in client.get(f"/api/v1/runs/{snn}/examples?limit=50").json()["items"]:
        assert item["label"] in ("cat", "dog") and item["twin_answer"] is None
    kept = {item["index"]: item["image"] for item in client.get(f"/api/v1/runs/{other}/examples").json()["items"]}
    for index, image in kept.items():
        assert client.get(f"/api/v1/runs/{other}/images/{index}").json()["image"] == image
        assert client.get(f"/api/v1/runs/{snn}/images/{index}").json()["twin"] is None

    answer = client.get(f"/api/v1/runs/{snn}/examples?against={other}")
    assert (answer.status_code, answer.json()["code"]) == (422, "bad-value"), answer.text
    assert "same images" in answer.json()["detail"]
    compared = client.get(f"/api/v1/compare?runs={snn},{other}").json()
    assert compared["differences"][0]["paired"] is None and compared["twins"] == []
    share = client.post("/api/v1/shares", json={"runs": [snn, other]})
    assert share.status_code == 201, share.text
    assert client.get(f"/api/v1/shared/{share.json()['token']}").json()["images"] == []
    assert client.get(f"/s/{share.json()['token']}").status_code == 200
    alone = client.post("/api/v1/shares", json={"run_id": snn}).json()["token"]
    assert client.get(f"/api/v1/shared/{alone}").json()["twin"] is None

    plot = client.get("/api/v1/pareto?dataset=pets").json()
    assert ([point["run_id"] for point in plot["points"]], plot["exchanged"]) == ([other], 1)
    assert client.get("/api/v1/pareto?dataset=pets&columns=true").json()["exchanged"] == 1
    answer = client.post(f"/api/v1/runs/{snn}/try?index=0")
    assert (answer.status_code, answer.json()["code"]) == (409, "not-ready") and "replaced" in answer.json()["detail"]
    for page in ("layers", "confusion", "steps", "exits", "calibration"):
        assert client.get(f"/api/v1/runs/{snn}/{page}").status_code == 200, page

    assert put("cat", "dog", seed=1) == before  # the same pictures again are the same data set
    assert client.post("/api/v1/preview", json=BODY).json()["equal_run"]["id"] == snn


def test_repeats_of_two_sets_are_two_groups_and_a_queued_run_is_of_what_it_was_trained_on(
    client: TestClient, lifecycle: Lifecycle, data: Path, put: Callable[..., str]
) -> None:
    put("cat", "dog", seed=1)
    sweep = {"name": "seeds", "base": {**BODY, "kind": "cnn"}, "axes": {"seed": [0, 1]}}
    made = client.post("/api/v1/sweeps", json=sweep).json()
    first, second = made["groups"][0]["run_ids"]
    now = ""
    for run_id in (first, second):
        claim = lifecycle.claim(run_id, worker="w@host", lease_s=60)
        options = {"device": "cpu", "threads": 1, "emit": lambda event: None}
        lifecycle.succeed(claim, train(claim.config, out=claim.out, data_dir=data, **options))
        now = now or put("cat", "dog", seed=2)  # while the second one waits
    groups = client.get(f"/api/v1/sweeps/{made['id']}").json()["groups"]
    assert sorted(group["n"] for group in groups) == [1, 1]
    assert shown(client, second)["summary"]["data_digest"] == now
    assert shown(client, first)["twin_hash"] != shown(client, second)["twin_hash"]


def test_a_finished_folder_a_teacher_and_a_checkpoint_of_other_images_are_not_taken(
    client: TestClient, lifecycle: Lifecycle, data: Path, put: Callable[..., str], tmp_path: Path
) -> None:
    options = {"data_dir": data, "device": "cpu", "threads": 1, "emit": lambda event: None}
    put("cat", "dog", seed=1)
    pupil = build_config(RunRequest(**{**BODY, "overrides": {**TINY, "distillation": 0.5}}))
    before = train(pupil, out=tmp_path / "run", **options)
    teacher = shutil.copytree(tmp_path / "run" / "teacher", tmp_path / "teacher")
    twins = [str(tmp_path / "run"), str(teacher)]
    assert CliRunner().invoke(bundle_command, ["twin", *twins]).exit_code == 0
    assert train(pupil, out=tmp_path / "run", **options) == before  # it is there already
    trained(client, lifecycle, data, "cnn")
    stopped = build_config(RunRequest(**{**BODY, "kind": "cnn", "overrides": {**TINY, "training.max_epochs": 2}}))
    states: list[str] = []
    with pytest.raises(Interrupted):
        train(stopped, out=tmp_path / "part", should_stop=lambda: states.append("") or len(states) > 6, **options)

    now = put("ant", "bee", "cow", seed=2)
    with pytest.raises(BadValue, match="other images of pets"):
        train(pupil, out=tmp_path / "run", **options)
    with pytest.raises(BadValue, match="other images of pets"):
        train(pupil, out=tmp_path / "new", teacher=teacher, **options)
    run_id = client.post("/api/v1/runs", json={**BODY, "overrides": {**TINY, "distillation": 0.5}}).json()["id"]
    assert lifecycle.claim(run_id, worker="w@host", lease_s=60).teacher is None
    summary = train(stopped, out=tmp_path / "part", **options)
    assert summary.data_digest == now and Bundle(tmp_path / "part").predictions().classes == ["ant", "bee", "cow"]
    shutil.copytree(teacher, tmp_path / "late" / "teacher")  # of an attempt from before
    assert train(pupil, out=tmp_path / "late", **options).data_digest == now
    assert Bundle(tmp_path / "late" / "teacher").summary().data_digest == now
    refused = CliRunner().invoke(bundle_command, ["twin", twins[0], str(tmp_path / "late" / "teacher")])
    assert isinstance(refused.exception, BadValue) and "the twin of" in refused.exception.message


@pytest.mark.sqlite
def test_runs_from_before_are_of_the_images_that_their_bundles_show(
    client: TestClient, lifecycle: Lifecycle, data: Path, put: Callable[..., str], settings: Settings
) -> None:
    put("cat", "dog", seed=1)
    old = trained(client, lifecycle, data, "snn")
    now = put("cat", "dog", seed=2)
    snn, cnn = (trained(client, lifecycle, data, kind) for kind in ("snn", "cnn"))
    artifacts = client.app.state.context.artifacts
    for run_id in (old, snn, cnn):
        before_images_were_noted(artifacts.bundle(run_id))
    with sqlite3.connect(settings.home / "spikefront.db") as connection:
        hashes = {"twin_hash": lambda c: c.twin_hash, "repeat_hash": lambda c: repeat_key(c, None)}
        for run_id in (old, snn, cnn):
            config = artifacts.bundle(run_id).config()
            values = [make(config) for make in hashes.values()]
            connection.execute(
                "UPDATE runs SET data_digest = NULL, twin_hash = ?, repeat_hash = ? WHERE id = ?", [*values, run_id]
            )
    create_app(settings).state.context.database.close()
    assert shown(client, snn)["twin"]["id"] == cnn and shown(client, old)["twin"] is None
    assert client.post("/api/v1/preview", json=BODY).json()["equal_run"]["id"] == snn
    new = trained(client, lifecycle, data, "cnn", seed=0)  # of today, beside one from before
    assert shown(client, snn)["twin"]["id"] == new and shown(client, new)["summary"]["data_digest"] == now
    assert client.get(f"/api/v1/runs/{old}/examples?against={snn}").status_code == 422


def test_an_imported_bundle_is_of_the_images_that_it_was_trained_on(
    client: TestClient, lifecycle: Lifecycle, data: Path, put: Callable[..., str], tmp_path: Path
) -> None:
    put("cat", "dog", seed=1)
    run_id = trained(client, lifecycle, data, "snn")
    content = client.get(f"/api/v1/runs/{run_id}/artifacts/bundle.zip").content
    put("cat", "dog", seed=2)
    trained(client, lifecycle, data, "cnn")
    client.delete(f"/api/v1/runs/{run_id}")
    client.app.state.context.lifecycle.purge(older_than_s=-1)
    sent = {"Content-Type": "application/zip"}
    answer = client.post("/api/v1/imports", content=content, headers=sent)
    assert answer.status_code == 201, answer.text
    assert answer.json()["twin"] is None and answer.json()["imported"]

    folder = tmp_path / "unpacked"
    zipfile.ZipFile(BytesIO(content)).extractall(folder)
    before_images_were_noted(Bundle(folder))  # nothing is said of the images: they are looked at
    buffer = BytesIO()
    with zipfile.ZipFile(buffer, "w") as file:
        for path in folder.iterdir():
            file.write(path, path.name)
    again = client.post("/api/v1/imports", content=buffer.getvalue(), headers=sent)
    assert again.status_code == 201 and again.json()["twin"] is None
    put("ant", "bee", seed=3)
    for run in client.get("/api/v1/runs").json()["items"]:
        client.delete(f"/api/v1/runs/{run['id']}")
    client.app.state.context.lifecycle.purge(older_than_s=-1)
    refused = client.post("/api/v1/imports", content=content, headers=sent)
    assert (refused.status_code, refused.json()["fields"]["field"]) == (422, "class 0")
