"""Runs whose bundle is damaged, or was taken in before such a one was refused: every page of them says so, none is a 500."""

from __future__ import annotations

import io
import json
import shutil
import struct
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

import numpy as np
import pytest
from fastapi.testclient import TestClient

from core.bundle import Bundle

from .conftest import Finisher

PAGES = (
    "metrics", "layers", "layers?mode=paper", "layers?mode=memory", "confusion", "examples", "examples?which=wrong",
    "examples?which=disagree", "images/3", "images/3?mode=paper", "calibration", "steps", "exits", "exits?threshold=0.5",
    "twin", "gradients", "diagnostics", "environment",
)  # fmt: skip
#: Of these, the pages on which a run stands beside its twin: the damage of one is met on those of the other.
OF_BOTH = tuple(page for page in PAGES if page.startswith(("examples", "images", "twin")))


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
    ("examples.npz", picture((1, 0, 2, 3))),
    ("examples.npz", picture((1, 2, 2, 7))),
    ("examples.npz", picture((1, 2, 2, 3), np.int64)),
    ("recount.json", edited("recount.json", lambda c: c.update(n_images=-1))),
    ("summary.json", written("summary.json", b"{}")),
    ("manifest.json", written("manifest.json", b"{}")),
]


@dataclass(frozen=True, kw_only=True)
class Shared:
    """A run and its twin, a link that keeps the run's figures and one that reads them again; both from before any damage."""

    snn: str
    cnn: str
    whole: str
    live: str


@pytest.fixture(scope="module")
def shared(standing: Finisher) -> Shared:
    snn, cnn = standing.succeeded("snn"), standing.succeeded("cnn")
    links = [standing.client.post("/api/v1/shares", json={"run_id": snn, "frozen": frozen}) for frozen in (True, False)]
    assert [link.status_code for link in links] == [201, 201]
    whole, live = (link.json()["token"] for link in links)
    return Shared(snn=snn, cnn=cnn, whole=whole, live=live)


@pytest.fixture
def damaged(shared: Shared, standing: Finisher, tmp_path: Path) -> Iterator[Bundle]:
    """The run's bundle, to be tampered with and put back."""
    bundle = standing.client.app.state.context.artifacts.bundle(shared.snn)
    shutil.copytree(bundle.path, tmp_path / "kept")
    yield bundle
    shutil.rmtree(bundle.path)
    shutil.copytree(tmp_path / "kept", bundle.path)


@pytest.mark.parametrize(("file", "tamper"), DAMAGE)
def test_every_page_of_a_damaged_run_answers_and_names_the_file(
    shared: Shared, damaged: Bundle, standing: Finisher, file: str, tamper: Callable[[Bundle], None]
) -> None:
    client, snn, cnn = standing.client, shared.snn, shared.cnn
    tamper(damaged)
    asked = [f"/api/v1/runs/{snn}/{page}" for page in PAGES] + [f"/api/v1/runs/{cnn}/{page}" for page in OF_BOTH]
    asked += [f"/api/v1/compare?runs={snn},{cnn}", f"/api/v1/shared/{shared.live}", f"/s/{shared.live}"]
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
    assert client.get(f"/api/v1/shared/{shared.whole}").status_code == 200  # it was stored before


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
