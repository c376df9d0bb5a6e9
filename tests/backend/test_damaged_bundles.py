"""Runs whose bundle is damaged, or was taken in before such a one was refused: every page of them says so, none is a 500."""

from __future__ import annotations

import io
import json
import struct
import zipfile
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path

import numpy as np
import pytest
from fastapi.testclient import TestClient

from core.bundle import Bundle

PAGES = (
    "metrics", "layers", "layers?mode=paper", "layers?mode=memory", "confusion", "examples", "examples?which=wrong",
    "examples?which=disagree", "images/3", "images/3?mode=paper", "calibration", "steps", "exits", "exits?threshold=0.5",
    "twin", "gradients", "diagnostics", "environment",
)  # fmt: skip


def edited(name: str, edit: Callable[[dict], object]) -> Callable[[Bundle], None]:
    def tamper(bundle: Bundle) -> None:
        content = json.loads((bundle.path / name).read_text())
        edit(content)
        (bundle.path / name).write_text(json.dumps(content))

    return tamper


def written(name: str, content: bytes) -> Callable[[Bundle], None]:
    return lambda bundle: bundle.write_bytes(name, content)


def answers(**change: Callable[[np.ndarray], np.ndarray]) -> Callable[[Bundle], None]:
    def tamper(bundle: Bundle) -> None:
        given = bundle.predictions()
        arrays = {
            "index": given.index,
            "label": given.label,
            "outputs": given.outputs,
            "classes": np.array(given.classes),
        }
        bundle.write_arrays("predictions.npz", arrays | {name: make(arrays[name]) for name, make in change.items()})

    return tamper


def many_classes(bundle: Bundle) -> None:
    given = bundle.predictions()
    outputs = np.zeros((len(given.label), 4, 10_000), np.float32)
    arrays = {"index": given.index, "label": given.label, "outputs": outputs}
    bundle.write_arrays("predictions.npz", arrays | {"classes": np.array([f"c{n}" for n in range(10_000)])})


def no_layers(content: dict) -> None:
    content.update(layers=[], gradient_norm=[[]], firing_rate=[[]], active=[[]], dead=[[]], saturated=[[]])


def first_conv(content: dict, **values: object) -> None:
    next(layer for layer in content["layers"] if layer["kind"] == "conv").update(values)


def huge_header(bundle: Bundle) -> None:
    header = b"{'descr': '<f8', 'fortran_order': False, 'shape': (%d,), }" % 10**30
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as file:
        file.writestr("a.npy", b"\x93NUMPY\x01\x00" + struct.pack("<H", len(header)) + header)
    bundle.write_bytes("counts_per_sample.npz", buffer.getvalue())


def picture(shape: tuple[int, ...], dtype: type = np.uint8) -> Callable[[Bundle], None]:
    return lambda bundle: bundle.write_arrays("examples.npz", {"index": np.array([3]), "image": np.zeros(shape, dtype)})


def silent(content: dict) -> None:
    for layer in content["layers"]:
        if layer["spikes"]:
            layer["output_numel"] = 0


DAMAGE = [
    ("predictions.npz", answers(classes=lambda a: np.array(["\ud800", *a[1:]]))),
    ("predictions.npz", answers(classes=lambda a: np.array(["x" * 100_000, *a[1:]]))),
    ("predictions.npz", answers(label=lambda a: a.astype(float))),
    ("predictions.npz", answers(label=lambda a: a.astype(str))),
    ("predictions.npz", answers(outputs=lambda a: a.astype(str))),
    ("predictions.npz", answers(outputs=lambda a: a * np.float32(np.nan))),
    ("predictions.npz", answers(outputs=lambda a: a[:, :2])),
    ("predictions.npz", answers(index=lambda a: a[:0], label=lambda a: a[:0], outputs=lambda a: a[:0])),
    ("predictions.npz", answers(index=lambda a: a * 0)),
    ("predictions.npz", many_classes),
    ("predictions.npz", written("predictions.npz", b"PK")),
    ("counts.json", edited("counts.json", silent)),
    ("counts.json", edited("counts.json", lambda c: first_conv(c, kind="teleport"))),
    ("counts.json", edited("counts.json", lambda c: first_conv(c, ac=[-5] * 4))),
    ("counts.json", edited("counts.json", lambda c: first_conv(c, ac=[10**400] * 4))),
    ("counts.json", edited("counts.json", lambda c: first_conv(c, ac=[1]))),
    ("counts.json", edited("counts.json", lambda c: first_conv(c, name=c["layers"][2]["name"]))),
    ("counts.json", edited("counts.json", lambda c: c["layers"].clear())),
    ("counts_per_sample.npz", edited("counts.json", lambda c: first_conv(c, input_nonzero=[]))),
    ("counts_per_sample.npz", edited("counts.json", lambda c: first_conv(c, name="renamed"))),
    ("counts_per_sample.npz", lambda bundle: bundle.write_arrays("counts_per_sample.npz", {})),
    ("counts_per_sample.npz", huge_header),
    ("metrics.json", edited("metrics.json", lambda c: c["lr"].clear())),
    ("metrics.json", edited("metrics.json", lambda c: c.update(train_accuracy=["NaN"]))),
    ("gradients.json", edited("gradients.json", lambda c: c["norm"].clear())),
    ("gradients.json", edited("gradients.json", lambda c: c["norm"][0].pop())),
    ("diagnostics.json", edited("diagnostics.json", no_layers)),
    ("diagnostics.json", edited("diagnostics.json", lambda c: c["dead"].clear())),
    ("environment.json", written("environment.json", b'{"a":' + b"[" * 5000 + b"]" * 5000 + b"}")),
    ("environment.json", written("environment.json", b'{"a": "\\ud800"}')),
    ("environment.json", written("environment.json", b'{"a": NaN}')),
    ("examples.npz", picture((1, 0, 0, 3))),
    ("examples.npz", picture((1, 2, 2, 7))),
    ("examples.npz", picture((1, 2, 2, 3), np.int64)),
    ("summary.json", written("summary.json", b"{}")),
    ("manifest.json", written("manifest.json", b"{}")),
]


@pytest.fixture
def runs(finisher) -> tuple[str, str]:
    return finisher.succeeded("snn"), finisher.succeeded("cnn")


@pytest.mark.parametrize(("file", "tamper"), DAMAGE)
def test_every_page_of_a_damaged_run_answers_and_names_the_file(
    runs: tuple[str, str], client: TestClient, file: str, tamper: Callable[[Bundle], None]
) -> None:
    snn, cnn = runs
    whole = client.post("/api/v1/shares", json={"run_id": snn, "frozen": True})
    live = client.post("/api/v1/shares", json={"run_id": snn})
    assert (whole.status_code, live.status_code) == (201, 201)
    tamper(client.app.state.context.artifacts.bundle(snn))
    asked = [f"/api/v1/runs/{snn}/{page}" for page in PAGES] + [f"/api/v1/runs/{cnn}/{page}" for page in PAGES]
    asked += [
        f"/api/v1/compare?runs={snn},{cnn}",
        f"/api/v1/shared/{live.json()['token']}",
        f"/s/{live.json()['token']}",
    ]
    found = {path: client.get(path) for path in asked}
    for kind in ({"run_id": snn}, {"runs": [snn, cnn]}):
        found[str(kind)] = client.post("/api/v1/shares", json={**kind, "frozen": True})
    for path, answer in found.items():
        if answer.status_code in (200, 201):
            assert len(answer.content) < 20 << 20
            continue
        problem = answer.json()
        assert answer.status_code == 409 and problem["code"] in ("bundle-corrupt", "not-ready", "unknown-layer"), path
        if problem["code"] == "bundle-corrupt":
            assert problem["fields"]["file"] == file and len(answer.content) < 2000, problem
    shown = [answer for answer in found.values() if answer.status_code == 409]
    assert shown or file in ("summary.json", "manifest.json")  # these are in the database, or of the downloads alone
    for path in (f"/api/v1/runs/{snn}", "/api/v1/runs", "/api/v1/pareto?dataset=digits", "/api/v1/shares"):
        assert client.get(path).status_code == 200, path
    assert client.get(f"/api/v1/shared/{whole.json()['token']}").status_code == 200  # it was stored before


def test_a_frozen_link_whose_figures_do_not_fit_says_so(finisher, client: TestClient) -> None:
    """One that was stored from a bundle which would be refused by now."""
    made = client.post("/api/v1/shares", json={"run_id": finisher.succeeded(), "frozen": True}).json()
    folder = Path(client.app.state.context.artifacts.root) / "shares" / made["id"]
    content = json.loads((folder / "results.json").read_text())
    content["metrics"]["lr"] = []
    text = json.dumps(content).encode()
    (folder / "results.json").write_bytes(text)
    manifest = json.loads((folder / "manifest.json").read_text())
    for entry in manifest["files"]:
        if entry["name"] == "results.json":
            entry.update(bytes=len(text), sha256=sha256(text).hexdigest())
    (folder / "manifest.json").write_text(json.dumps(manifest))
    for address in (f"/api/v1/shared/{made['token']}", f"/s/{made['token']}"):
        answer = client.get(address)
        assert (answer.status_code, answer.json()["code"]) == (409, "bundle-corrupt")
    (folder / "manifest.json").write_text("[]")
    assert client.get(f"/api/v1/shared/{made['token']}").status_code == 409
    assert client.get("/api/v1/shares").json()["items"][0]["bytes"] == 0
