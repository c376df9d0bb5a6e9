"""Bundles from elsewhere: taken when they agree with themselves to the last figure, refused with the reason otherwise."""

from __future__ import annotations

import errno
import io
import json
import shutil
import stat
import struct
import subprocess
import sys
import threading
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from fastapi.testclient import TestClient

from backend.app import create_app
from backend.imports import service, upload
from backend.imports.workplace import workplace
from core.bundle import FILES, LATER_FILES, Bundle
from core.schemas.preview import Preview
from core.schemas.runs import Run

IMPORTS = "/api/v1/imports"


def zipped(folder: Path, *, prefix: str = "", extra: dict[str, bytes] | None = None) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as file:
        for path in sorted(folder.iterdir()):
            file.write(path, prefix + path.name)
        for name, content in (extra or {}).items():
            file.writestr(name, content)
    return buffer.getvalue()


def send(client: TestClient, content: object):
    return client.post(IMPORTS, content=content, headers={"Content-Type": "application/zip"})


def refused(client: TestClient, content: object, code: str, says: str) -> None:
    """The answer says why, and nothing of the bundle stays."""
    answer = send(client, content)
    assert (answer.status_code, answer.json()["code"]) == (413 if code == "body-too-large" else 422, code), answer.text
    assert says in answer.json()["detail"], answer.json()["detail"]
    assert client.get("/api/v1/runs").json()["total"] == 0
    root = client.app.state.context.artifacts.root
    assert not root.exists() or list(root.iterdir()) == []


@pytest.fixture
def bundle(trained: dict[str, Path], tmp_path: Path) -> Bundle:
    """A copy to be tampered with."""
    return Bundle(shutil.copytree(trained["snn"], tmp_path / "bundle"))


def test_an_imported_bundle_is_a_succeeded_run_with_all_its_results(finisher, client: TestClient) -> None:
    path = finisher.trained["snn"]
    before = Preview.model_validate_json(client.post("/api/v1/preview", json={"mask": "F9"}).content).time
    answer = send(client, zipped(path))
    assert answer.status_code == 201, answer.text
    run = Run.model_validate_json(answer.content)
    assert answer.headers["location"] == f"/api/v1/runs/{run.id}"
    assert (run.state, run.imported, run.progress.phase, run.worker) == ("succeeded", True, "done", None)
    assert run.config == Bundle(path).config() and run.summary == Bundle(path).summary()
    assert {artifact.name for artifact in run.artifacts} >= set(FILES)
    assert (
        client.get(f"/api/v1/runs/{run.id}/artifacts/weights.safetensors").content
        == (path / "weights.safetensors").read_bytes()
    )
    own = finisher.succeeded("snn")  # the same bundle by way of a worker shows the same
    for name in ("layers", "confusion", "metrics", "gradients", "layers?mode=paper"):
        assert client.get(f"/api/v1/runs/{run.id}/{name}").json() == client.get(f"/api/v1/runs/{own}/{name}").json()
    points = client.get("/api/v1/pareto?dataset=digits").json()["points"]
    assert len(points) == 2 and points[0]["energy_pj"] == points[1]["energy_pj"]
    assert client.get(f"/api/v1/runs/{own}").json()["imported"] is False
    client.delete(f"/api/v1/runs/{own}")
    # another machine's speed says nothing of this one
    assert Preview.model_validate_json(client.post("/api/v1/preview", json={"mask": "F9"}).content).time == before


def test_the_same_bundle_is_shown_and_not_stored_twice(client: TestClient, trained: dict[str, Path]) -> None:
    first = send(client, zipped(trained["snn"]))
    again = send(
        client, zipped(trained["snn"], prefix="my-run/", extra={"__MACOSX/._config.json": b"x", "a.txt": b"y"})
    )
    assert (first.status_code, again.status_code) == (201, 200) and again.json()["id"] == first.json()["id"]
    other = send(client, zipped(trained["cnn"]))
    assert other.status_code == 201 and other.json()["twin"]["id"] == first.json()["id"]
    client.delete(f"/api/v1/runs/{first.json()['id']}")
    back = send(client, zipped(trained["snn"]))
    assert (back.status_code, back.json()["id"], back.json()["deleted_at"]) == (200, first.json()["id"], None)
    assert client.get("/api/v1/runs").json()["total"] == 2
    root = client.app.state.context.artifacts.root
    assert sorted(path.name for path in root.iterdir()) == sorted([first.json()["id"], other.json()["id"]])


def test_a_bundle_that_was_trained_here_is_shown_as_it_is(finisher, client: TestClient) -> None:
    run_id = finisher.succeeded("snn")
    answer = send(client, zipped(client.app.state.context.artifacts.folder(run_id)))
    assert (answer.status_code, answer.json()["id"], answer.json()["imported"]) == (200, run_id, False)


def test_one_bundle_sent_by_many_at_once_is_one_run(client: TestClient, trained: dict[str, Path]) -> None:
    content, answers, barrier = zipped(trained["snn"]), [], threading.Barrier(3)

    def submit() -> None:
        barrier.wait()
        answers.append(send(client, content))

    threads = [threading.Thread(target=submit) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(answer.status_code for answer in answers) == [200, 200, 201]
    assert len({answer.json()["id"] for answer in answers}) == 1 == client.get("/api/v1/runs").json()["total"]


def test_a_bundle_from_before_a_file_was_introduced_is_whole(client: TestClient, bundle: Bundle) -> None:
    for name in LATER_FILES:
        (bundle.path / name).unlink(missing_ok=True)
    bundle.seal()
    assert send(client, zipped(bundle.path)).status_code == 201


def changed(name: str, **values: object) -> Callable[[Bundle], None]:
    """Other values in a JSON file, and a manifest that vouches for them."""

    def change(bundle: Bundle) -> None:
        path = bundle.path / name
        path.write_text(json.dumps(json.loads(path.read_text()) | values))
        bundle.seal()

    return change


def fewer_spikes(bundle: Bundle) -> None:
    """Counts that promise less energy than the summary says, or the other way round."""
    path = bundle.path / "counts.json"
    content = json.loads(path.read_text())
    layer = next(layer for layer in content["layers"] if sum(layer["ac"]))
    layer["ac"] = [ac // 2 for ac in layer["ac"]]
    path.write_text(json.dumps(content))
    bundle.seal()


def other_answers(bundle: Bundle) -> None:
    given = bundle.predictions()
    arrays = {"index": given.index, "label": given.label, "outputs": -given.outputs, "classes": np.array(given.classes)}
    bundle.write_arrays("predictions.npz", arrays)
    bundle.seal()


def flipped_byte(bundle: Bundle) -> None:
    path = bundle.path / "weights.safetensors"
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)


def without_a_file(bundle: Bundle) -> None:
    (bundle.path / "gradients.json").unlink()


def without_manifest(bundle: Bundle) -> None:
    (bundle.path / "manifest.json").unlink()


def unlisted(bundle: Bundle) -> None:
    path = bundle.path / "manifest.json"
    content = json.loads(path.read_text())
    content["files"] = [entry for entry in content["files"] if entry["name"] != "summary.json"]
    path.write_text(json.dumps(content))


def huge_array(bundle: Bundle) -> None:
    """An npz whose header promises 8 TB and whose data are some bytes."""
    header = b"{'descr': '<f8', 'fortran_order': False, 'shape': (1000000000000,), }"
    header = header.ljust(118) + b"\n"
    with zipfile.ZipFile(bundle.path / "counts_per_sample.npz", "w") as file:
        file.writestr("a.npy", b"\x93NUMPY\x01\x00" + struct.pack("<H", len(header)) + header + bytes(64))
    bundle.seal()


def broken_inside(bundle: Bundle) -> None:
    """An npz that opens and lists its arrays, whose first one is packed wrongly."""
    path = bundle.path / "counts_per_sample.npz"
    content = bytearray(path.read_bytes())
    name, extra = struct.unpack("<HH", content[26:30])  # of the first local header
    content[30 + name + extra : 34 + name + extra] = b"\xff" * 4
    path.write_bytes(content)
    bundle.seal()


@pytest.mark.parametrize(
    ("tamper", "code", "says"),
    [
        (changed("summary.json", energy_pj=1.0), "upload-corrupt", "energy_pj is 1, where counts.json gives"),
        (changed("summary.json", acs=0.0), "upload-corrupt", "acs is 0, where counts.json gives"),
        (changed("summary.json", accuracy=0.99), "upload-corrupt", "accuracy is 0.99, where predictions.npz gives"),
        (changed("summary.json", f1_macro=0.99), "upload-corrupt", "f1_macro is 0.99, where predictions.npz gives"),
        (changed("summary.json", params=1), "upload-corrupt", "params is 1, where the rest"),
        (changed("summary.json", seed=5), "upload-corrupt", "seed is 5, where the rest"),
        (changed("summary.json", mode="exat"), "unknown-name", "exact"),
        (changed("config.json", seed=5), "upload-corrupt", "config_hash"),
        (changed("config.json", backbone="squeezenot"), "unknown-name", "squeezenet"),
        (changed("config.json", colour="red"), "upload-corrupt", "colour"),
        (changed("counts.json", n_samples=1), "upload-corrupt", "n_test is 360, where the rest of the bundle gives 1"),
        (changed("counts.json", kind="cnn"), "upload-corrupt", "kind is cnn"),
        (changed("recount.json", layers=[]), "upload-corrupt", "its layers are not those of counts.json"),
        (changed("recount.json", counter_version="2.0.0 of mallory@lab"), "upload-corrupt", "recount.json"),
        (fewer_spikes, "upload-corrupt", "where counts.json gives"),
        (other_answers, "upload-corrupt", "accuracy is"),
        (flipped_byte, "upload-corrupt", "weights.safetensors cannot be used: its SHA-256 differs"),
        (without_a_file, "upload-corrupt", "gradients.json cannot be used: it is missing"),
        (without_manifest, "upload-corrupt", "manifest.json cannot be used: it is missing"),
        (unlisted, "upload-corrupt", "it does not list summary.json"),
        (huge_array, "upload-corrupt", "cannot be used"),
        (broken_inside, "upload-corrupt", "cannot be read"),
    ],
)
def test_a_bundle_that_contradicts_itself_is_refused(
    client: TestClient, bundle: Bundle, tamper: Callable[[Bundle], None], code: str, says: str
) -> None:
    tamper(bundle)
    refused(client, zipped(bundle.path), code, says)


def escaping(bundle: Bundle) -> bytes:
    return zipped(bundle.path, extra={"../../escaped.txt": b"x"})


def absolute(bundle: Bundle) -> bytes:
    return zipped(bundle.path, extra={"/etc/escaped": b"x"})


def linked(bundle: Bundle) -> bytes:
    link = zipfile.ZipInfo("link")
    link.external_attr = (stat.S_IFLNK | 0o777) << 16
    return zipped(bundle.path, extra={link: b"/etc/passwd"})


def too_deep(bundle: Bundle) -> bytes:
    return zipped(bundle.path, prefix="a/b/")


def in_two_folders(bundle: Bundle) -> bytes:
    return zipped(bundle.path, prefix="a/", extra={"b/config.json": b"{}"})


def many_members(bundle: Bundle) -> bytes:
    return zipped(bundle.path, extra={f"n{number}": b"" for number in range(upload.MAX_MEMBERS)})


def cut_off(bundle: Bundle) -> bytes:
    return zipped(bundle.path)[:-40]


def nothing(bundle: Bundle) -> bytes:
    return b""


def no_zip(bundle: Bundle) -> bytes:
    return b"this is a letter, not a zip"


@pytest.mark.parametrize(
    ("pack", "code", "says"),
    [
        (escaping, "unsafe-archive", "leads out of the folder"),
        (absolute, "unsafe-archive", "leads out of the folder"),
        (linked, "unsafe-archive", "is a link"),
        (too_deep, "upload-corrupt", "at its top or in one folder"),
        (in_two_folders, "unsafe-archive", "is in it twice"),
        (many_members, "unsafe-archive", "more than 1000 files"),
        (cut_off, "upload-corrupt", "no readable zip"),
        (nothing, "upload-corrupt", "no readable zip"),
        (no_zip, "upload-corrupt", "no readable zip"),
    ],
)
def test_an_archive_that_is_dangerous_or_broken_is_refused(
    client: TestClient, bundle: Bundle, pack: Callable[[Bundle], bytes], code: str, says: str
) -> None:
    refused(client, pack(bundle), code, says)
    home = client.app.state.context.settings.home
    assert not list(home.parent.rglob("escaped*"))


def test_what_an_archive_unpacks_to_is_bounded_and_what_an_inner_one_does_too(
    client: TestClient, bundle: Bundle, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The bound is set so that the bundle itself fits; 64 MB of zeros pack to 64 kB."""
    monkeypatch.setattr(upload, "MAX_UNPACKED", 16 << 20)
    refused(client, zipped(bundle.path, extra={"zeros": bytes(64 << 20)}), "unsafe-archive", "more than 16 MB")
    given = bundle.predictions()
    arrays = {"index": given.index, "label": given.label, "outputs": given.outputs, "classes": np.array(given.classes)}
    bundle.write_arrays("predictions.npz", arrays | {"zeros": np.zeros(8 << 20)}, compressed=True)
    bundle.seal()
    refused(client, zipped(bundle.path), "unsafe-archive", "predictions.npz was not extracted")


def test_a_body_above_the_bound_is_refused_announced_or_not(
    client: TestClient, bundle: Bundle, monkeypatch: pytest.MonkeyPatch
) -> None:
    content = zipped(bundle.path)
    monkeypatch.setitem(service.UPLOADS, IMPORTS, len(content) - 1)
    monkeypatch.setattr(service, "LIMIT_BYTES", len(content) - 1)
    refused(client, content, "body-too-large", f"larger than {len(content) - 1} bytes")
    refused(client, iter([content[:100], content[100:]]), "body-too-large", "larger than")
    monkeypatch.setitem(service.UPLOADS, IMPORTS, len(content))
    monkeypatch.setattr(service, "LIMIT_BYTES", len(content))
    assert send(client, iter([content[:100], content[100:]])).status_code == 201


def test_an_import_wants_the_token(client: TestClient, trained: dict[str, Path]) -> None:
    token = client.headers.pop("authorization")
    assert send(client, zipped(trained["snn"])).status_code == 401
    client.headers["authorization"] = token
    assert client.get("/api/v1/runs").json()["total"] == 0


def unpackable(monkeypatch: pytest.MonkeyPatch, error: OSError) -> None:
    def refuse(*_: object) -> None:
        raise error

    monkeypatch.setattr(service, "unpack", refuse)


def test_what_the_disk_refuses_is_said(
    client: TestClient, trained: dict[str, Path], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    content, artifacts = zipped(trained["snn"]), client.app.state.context.artifacts
    unpackable(monkeypatch, OSError(errno.ENOSPC, "No space left on device"))
    answer = send(client, content)
    assert (answer.status_code, answer.json()["code"]) == (507, "storage-full")
    unpackable(monkeypatch, OSError(errno.EROFS, "Read-only file system"))
    answer = send(client, content)
    assert (answer.status_code, answer.json()["code"]) == (503, "home-unusable")
    assert "Read-only file system" in answer.json()["detail"] and list(artifacts.root.iterdir()) == []
    monkeypatch.undo()
    artifacts.root.rmdir()
    artifacts.root.write_text("a file in the place of the folder")
    answer = send(client, content)
    assert (answer.status_code, answer.json()["code"]) == (503, "home-unusable")


DYING = """
import sys, time
from pathlib import Path
from backend.imports.workplace import workplace
with workplace(Path(sys.argv[1])) as folder:
    (folder / "bundle").mkdir()
    print(folder.name, flush=True)
    time.sleep(60)
"""


def test_what_a_killed_api_left_of_an_import_is_cleared_at_the_next_start(
    client: TestClient, trained: dict[str, Path]
) -> None:
    context = client.app.state.context
    root = context.artifacts.root
    with workplace(root) as folder:  # as an import that is under way
        (folder / "upload.zip").write_bytes(b"x")
        kept = {folder.name}
        child = subprocess.Popen([sys.executable, "-c", DYING, str(root)], stdout=subprocess.PIPE, text=True)
        name = child.stdout.readline().strip()
        child.kill()
        child.wait()
        assert (root / name / "bundle").is_dir()
        (root / "0123456789abcdef").mkdir()  # a run's
        create_app(context.settings).state.context.database.close()
        assert {path.name for path in root.iterdir()} == kept | {"0123456789abcdef"}
        assert (folder / "upload.zip").is_file()
    assert [path.name for path in root.iterdir()] == ["0123456789abcdef"]


def test_weights_of_a_type_that_numpy_has_not_are_refused(client: TestClient, bundle: Bundle) -> None:
    header = json.dumps({"w": {"dtype": "BF16", "shape": [1], "data_offsets": [0, 2]}}).encode()
    bundle.write_bytes("weights.safetensors", struct.pack("<Q", len(header)) + header + b"\x00\x00")
    bundle.seal()
    refused(client, zipped(bundle.path), "upload-corrupt", "weights.safetensors cannot be used: the type of a tensor")


def test_a_refusal_names_file_field_value_and_what_would_be_right(client: TestClient, bundle: Bundle) -> None:
    changed("summary.json", n_train=2**63)(bundle)
    answer = send(client, zipped(bundle.path))
    assert answer.status_code == 422
    assert answer.json()["fields"] == {
        "file": "summary.json",
        "field": "n_train",
        "value": "9223372036854775808",
        "expected": "32",
        "why": "n_train is 9223372036854775808, where the config's split gives 32.",
    }
