"""The API over a store that speaks S3: it reads what is asked for, keeps that here, and says what it cannot read."""

from __future__ import annotations

import hashlib
import io
import shutil
import zipfile
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
import s3
from fastapi.testclient import TestClient

from backend.app import create_app
from backend.store.artifacts import artifacts_of
from backend.store.backup import back_up
from backend.store.cache import Cache
from backend.store.collecting import collect
from backend.store.examining import facts
from backend.store.remote import RemoteArtifacts
from backend.store.restore import restore
from core.bundle import FILES, Bundle
from core.datasets.load import status
from core.errors import ArtifactsDown, RestoreFailed
from core.settings import Settings

RUNS = "/api/v1/runs"


@pytest.fixture
def server() -> Iterator[s3.Server]:
    with s3.serving() as server:
        yield server


@pytest.fixture
def remote(settings, server, monkeypatch, documented) -> Iterator[TestClient]:
    """The API of an installation whose bundles are in the store."""
    monkeypatch.setenv("SPIKEFRONT_ARTIFACTS_URL", s3.named(monkeypatch, server))
    app = create_app(Settings(home=settings.home))
    headers = {"Authorization": f"Bearer {app.state.context.token}"}
    with TestClient(app, base_url="http://127.0.0.1:8000", headers=headers) as opened:
        opened.event_hooks["response"].append(documented)
        yield opened


def imported(client: TestClient, folder: Path) -> str:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as file:
        for entry in [*(entry.name for entry in Bundle(folder).files()), "manifest.json"]:
            file.write(folder / entry, entry)
    answer = client.post("/api/v1/imports", content=buffer.getvalue(), headers={"Content-Type": "application/zip"})
    assert answer.status_code == 201, answer.text
    return answer.json()["id"]


def test_a_bundle_is_read_from_the_store_byte_for_byte_and_kept_here(remote, server, trained, settings):
    run_id = imported(remote, trained["snn"])
    assert server.puts()[-1] == f"installation/{run_id}/manifest.json"
    server.log.clear()
    assert remote.get(f"{RUNS}/{run_id}/layers").status_code == 200
    read = {line.rpartition("/")[2] for line in server.log}
    assert read == {"counts.json", "config.json"}, "what was asked for, and no more: the manifest is known"
    server.log.clear()
    assert remote.get(f"{RUNS}/{run_id}/layers").status_code == 200 and server.log == []
    packed = zipfile.ZipFile(io.BytesIO(remote.get(f"{RUNS}/{run_id}/artifacts/bundle.zip").content))
    for entry in Bundle(trained["snn"]).files():
        assert packed.read(entry.name) == (trained["snn"] / entry.name).read_bytes()
        whole = remote.get(f"{RUNS}/{run_id}/artifacts/{entry.name}").content
        assert hashlib.sha256(whole).hexdigest() == entry.sha256
    part = remote.get(f"{RUNS}/{run_id}/artifacts/weights.safetensors", headers={"Range": "bytes=4-7"})
    assert (part.status_code, part.content) == (206, (trained["snn"] / "weights.safetensors").read_bytes()[4:8])
    sha256 = hashlib.sha256((trained["snn"] / "manifest.json").read_bytes()).hexdigest()
    assert (settings.home / "cache" / sha256 / "weights.safetensors").is_file()
    content = remote.get(f"{RUNS}/{run_id}/artifacts/bundle.zip").content
    again = remote.post("/api/v1/imports", content=content, headers={"Content-Type": "application/zip"})
    assert (again.status_code, again.json()["id"]) == (200, run_id), "it is known by its manifest"


def test_a_damaged_or_missing_object_is_a_damaged_bundle(remote, server, trained):
    run_id = imported(remote, trained["snn"])
    key = f"installation/{run_id}/counts.json"
    whole = server.objects[key]
    for content, says in ((whole[:-9] + b" " * 9, "SHA-256 differs"), (None, "it is missing")):
        server.objects.pop(key)
        if content is not None:
            server.objects[key] = content
        answer = remote.get(f"{RUNS}/{run_id}/layers")
        assert (answer.status_code, answer.json()["code"]) == (409, "bundle-corrupt"), answer.text
        assert says in answer.json()["detail"]
        server.objects[key] = b""
    server.objects[key] = whole
    assert remote.get(f"{RUNS}/{run_id}/layers").status_code == 200, "nothing damaged was kept"


def test_a_store_that_is_away_is_a_503_and_what_needs_no_bundle_goes_on(remote, server, trained):
    run_id = imported(remote, trained["snn"])
    server.down = True
    answer = remote.get(f"{RUNS}/{run_id}/confusion")
    assert (answer.status_code, answer.json()["code"]) == (503, "artifacts-down")
    assert answer.headers["Retry-After"] and answer.json()["detail"] == (
        "The store of the bundles, s3://lab/installation, cannot be used: it answers with status 503."
    )
    assert remote.get(f"{RUNS}/{run_id}").status_code == remote.get("/api/v1/installation").status_code == 200
    server.down = False
    assert remote.get(f"{RUNS}/{run_id}/confusion").status_code == 200


def test_bin_purge_checkpoints_and_frozen_links_work_on_the_store(remote, server, trained, lifecycle):
    run_id = imported(remote, trained["snn"])
    made = remote.post("/api/v1/shares", json={"run_id": run_id, "frozen": True})
    assert made.status_code == 201, made.text
    assert [key for key in server.objects if key.startswith("installation/shares/")]
    assert remote.delete(f"/api/v1/shares/{made.json()['id']}").status_code in (200, 204)
    assert not [key for key in server.objects if key.startswith("installation/shares/")]

    artifacts = remote.app.state.context.artifacts
    server.objects["installation/aaaaaaaaaaaaaaaa/checkpoint/last.safetensors"] = b"state"
    assert artifacts.has_unfinished("a" * 16) and not artifacts.has_unfinished(run_id)
    assert artifacts.hand_on("a" * 16, "b" * 16) and not artifacts.hand_on(run_id, "c" * 16)
    artifacts.drop_unfinished("a" * 16)
    assert artifacts.run_ids() == sorted([run_id, "b" * 16])

    assert remote.delete(f"{RUNS}/{run_id}").status_code in (200, 204)
    remote.app.state.context.lifecycle.purge(older_than_s=-1)
    assert not [key for key in server.objects if run_id in key]


def test_the_cache_keeps_what_was_asked_for_last_and_what_is_in_use(tmp_path):
    import os
    import time

    cache = Cache(tmp_path, limit_bytes=100)
    for age, name in ((5_000, "old"), (4_000, "older-use"), (10, "in-use")):
        (cache.folder(name) / "file").write_bytes(b"x" * 60)
        os.utime(tmp_path / name, (time.time() - age,) * 2)
    cache.came(60)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["in-use"], "two of them are over the bound"
    cache.came(60)
    assert (tmp_path / "in-use" / "file").is_file()


def test_a_set_that_one_machine_adds_is_fetched_whole_by_another(remote, server, tmp_path, settings):
    import numpy as np
    from PIL import Image

    for part, n in (("train", 4), ("test", 2)):
        for name in ("cat", "dog"):
            for number in range(n):
                path = tmp_path / "pets" / part / name / f"{number}.png"
                path.parent.mkdir(parents=True, exist_ok=True)
                pixels = np.random.default_rng(hash((part, name, number)) % 2**32).integers(0, 256, (8, 8, 3))
                Image.fromarray(pixels.astype(np.uint8)).save(path)
    archive = shutil.make_archive(str(tmp_path / "pets"), "zip", tmp_path / "pets")
    answer = remote.post("/api/v1/datasets?name=pets&file=pets.zip", content=Path(archive).read_bytes())
    assert answer.status_code in (200, 201), answer.text
    artifacts = artifacts_of(remote.app.state.context.settings)
    assert [one.name for one in artifacts.datasets()] == ["pets"]
    other = tmp_path / "other"
    artifacts.fetch_dataset("pets", other)
    assert status("pets", other).ready
    here = settings.home / "data" / "pets"
    assert all((other / "pets" / path.name).read_bytes() == path.read_bytes() for path in here.glob("*.npy"))
    damaged = max(
        (key for key in server.objects if "/datasets/files/" in key), key=lambda key: len(server.objects[key])
    )
    server.objects[damaged] = b"other"
    with pytest.raises(Exception, match="damaged in the store"):
        artifacts.fetch_dataset("pets", tmp_path / "third")
    assert not (tmp_path / "third" / "pets").exists()


def test_a_backup_of_the_store_is_whole_and_goes_back_into_a_folder_or_another_store(
    remote, server, trained, tmp_path, monkeypatch
):
    run_id = imported(remote, trained["snn"])
    share = remote.post("/api/v1/shares", json={"run_id": run_id, "frozen": True}).json()["id"]
    settings = remote.app.state.context.settings
    back_up(settings, tmp_path / "copy", data=False, token=False)
    server.log.clear()
    again = back_up(settings, tmp_path / "copy", data=False, token=False)
    assert again.n_new == 0 and not again.left_out
    assert not [line for line in server.log if line.startswith("GET ") and line.endswith("weights.safetensors")]

    monkeypatch.delenv("SPIKEFRONT_ARTIFACTS_URL")
    folder = Settings(home=tmp_path / "folder")
    restore(folder, tmp_path / "copy")
    artifacts_of(folder).bundle(run_id).verify()
    assert artifacts_of(folder).files(f"shares/{share}")

    with pytest.raises(RestoreFailed, match="s3://lab/installation .SPIKEFRONT_ARTIFACTS_URL. is not empty"):
        restore(stored_at(tmp_path / "new", "s3://lab/installation"), tmp_path / "copy")
    there = stored_at(tmp_path / "new", "s3://lab/other")
    restore(there, tmp_path / "copy")
    before = {
        key.partition("/")[2]: content for key, content in server.objects.items() if key.startswith("installation")
    }
    after = {key.partition("/")[2]: content for key, content in server.objects.items() if key.startswith("other/")}
    kept = {
        name for name in before if name.startswith("shares/") or name.rpartition("/")[2] in (*FILES, "manifest.json")
    }
    assert kept <= set(after) and all(before[name] == content for name, content in after.items())

    server.objects.pop(f"installation/{run_id}/counts.json")
    other = back_up(settings, tmp_path / "third", data=False, token=False)
    assert other.left_out == [f"Run {run_id}: The bundle's counts.json cannot be used: it is missing."]


def test_a_store_that_goes_away_while_an_installation_comes_back_is_left_as_it_was(
    remote, server, trained, tmp_path, monkeypatch
):
    imported(remote, trained["snn"])
    back_up(remote.app.state.context.settings, tmp_path / "copy", data=False, token=False)
    target = stored_at(tmp_path / "new", "s3://lab/other")
    broken = RemoteArtifacts.bring_back

    def third_fails(self, key, source):
        if len([key for key in server.objects if key.startswith("other/")]) == 2:
            raise ArtifactsDown(place="s3://lab/other", why="it does not answer.")
        broken(self, key, source)

    monkeypatch.setattr(RemoteArtifacts, "bring_back", third_fails)
    with pytest.raises(ArtifactsDown):
        restore(target, tmp_path / "copy")
    assert not [key for key in server.objects if key.startswith("other/")]
    assert not target.home.exists() or not any(target.home.iterdir())


def test_the_doctor_hears_of_a_store_that_is_away_and_of_a_bundle_that_is_gone(remote, server, trained):
    run_id = imported(remote, trained["snn"])
    context = remote.app.state.context
    server.objects.pop(f"installation/{run_id}/manifest.json")
    found = facts(context.database, context.artifacts)
    assert (found["store"], found["store_down"]) == ("s3://lab/installation", None)
    assert found["without_bundle"] == [run_id]
    server.down = True
    found = facts(context.database, artifacts_of(context.settings))
    assert "status 503" in found["store_down"] and found["without_bundle"] == [], "of what is away nothing is known"


def test_what_nobody_needs_goes_from_the_store_too(remote, server, trained):
    run_id = imported(remote, trained["snn"])
    context = remote.app.state.context
    for name in (
        "aaaaaaaaaaaaaaaa/log.txt",
        "bbbbbbbbbbbbbbbb/checkpoint/state",
        "shares/gone/results.json",
        "mine/notes",
    ):
        server.objects[f"installation/{name}"] = b"x" * 10
    s3_clock = datetime(2030, 1, 2, tzinfo=UTC)  # of each object: a day before
    for dry_run in (True, False):
        found = collect(
            context.database,
            context.artifacts,
            context.settings.data,
            days=0,
            audit_days=9,
            dry_run=dry_run,
            now=s3_clock,
        )
        sizes = {one.what.split()[0]: (one.items, one.bytes) for one in list(found)}
        assert (sizes["folders"], sizes["stored"]) == ((1, 10), (1, 10)), "what a run can go on from stays"
    left = {key.partition("/")[2].partition("/")[0] for key in server.objects}
    assert left >= {run_id, "b" * 16, "mine"} and not left & {"a" * 16, "shares"}


def stored_at(home: Path, address: str) -> Settings:
    return Settings(home=home, SPIKEFRONT_ARTIFACTS_URL=address)
