"""A double-blind link tells nothing of who made its runs, when, on what and where: everything it gives is searched."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path

import pytest
from fastapi.testclient import TestClient
from safetensors.numpy import load, save

from backend.shares.blind import IDENTIFYING, without_identity
from core.bundle import Bundle
from core.schemas.share import NewShare

WORKER, HOST, USER, FOLDER = "mallory@gpuhost77", "gpuhost77", "mallory", "/home/mallory/secret-lab"
COMMIT, DEVICE, SWEEP, NOTE = "c0ffee5eed15dead", "Mallory Accelerator 9000", "Mallorys masks", "for mallory only"
SPEED, WALL = 31337.25, 271.828182
VERSION = "9.8.7-mallory"
MARKS = (WORKER, HOST, USER, FOLDER, COMMIT, DEVICE, SWEEP, NOTE, str(SPEED), str(WALL), "Mallory")


@pytest.fixture
def marked(finisher, client: TestClient) -> tuple[str, str]:
    """A spiking run and its twin whose bundle, row, tags and sweep are full of who made them."""
    made = []
    for kind in ("snn", "cnn"):
        run = finisher.queued(kind)
        claim = finisher.lifecycle.claim(run.id, worker=WORKER, lease_s=60)
        shutil.copytree(finisher.trained[kind], claim.out)
        bundle = Bundle(claim.out)
        told = {"device": DEVICE, "train_images_per_s": SPEED, "train_wall_s": WALL, "evaluate_wall_s": WALL}
        bundle.write_model("summary.json", bundle.summary().model_copy(update=told))
        bundle.write_json("environment.json", {"commit": COMMIT, "user": USER, "host": HOST, "python": FOLDER})
        metrics = bundle.metrics()
        # a failure's text may hold anything, and versions and numbers of images tell of machine and time
        told = {"counter_version": VERSION, "n_images": 61, "answers_equal": 61, "stored": None}
        again = bundle.recount().model_copy(update=told)
        failed = {"failure": f"OSError: {FOLDER} of {HOST}", "layers": ()}
        bundle.write_model("recount.json", again if kind == "snn" else again.model_copy(update=failed))
        bundle.write_model("metrics.json", metrics.model_copy(update={"wall_s": [WALL] * len(metrics.epoch)}))
        bundle.write_bytes("weights.safetensors", save(load(bundle.read("weights.safetensors")), {"by": FOLDER}))
        bundle.seal()
        finisher.lifecycle.succeed(claim, bundle.summary())
        client.patch(f"/api/v1/runs/{run.id}", json={"tags": [USER], "note": NOTE})
        made.append(run.id)
    return made[0], made[1]


def links(client: TestClient, marked: tuple[str, str], **options: object) -> list[NewShare]:
    base = {"mask": "F9", "overrides": {"training.max_epochs": 1, "training.train_limit": 32}}
    body = {"name": SWEEP, "base": base, "axes": {"kind": ["snn", "cnn"]}}
    sweep_id = client.post("/api/v1/sweeps", json=body).json()["id"]
    found = []
    for target in (
        {"run_id": marked[0]},
        {"runs": list(marked)},
        {"sweep_id": sweep_id},
        {"view": {"dataset": "digits"}},
    ):
        weights = "view" not in target
        answer = client.post("/api/v1/shares", json={**target, "with_weights": weights, **options})
        assert answer.status_code == 201, answer.text
        found.append(NewShare.model_validate_json(answer.content))
    return found


def everything(client: TestClient, made: NewShare) -> dict[str, bytes]:
    """Each body that the link gives, and the names of its files."""
    token = client.headers.pop("authorization")
    try:
        shown = client.get(f"/api/v1/shared/{made.token}")
        names = [file["name"] for file in shown.json()["files"]] + (["manifest.json"] if made.frozen else [])
        found = {
            "json": shown.content,
            "page": client.get(f"/s/{made.token}").content,
            "names": " ".join(names).encode(),
        }
        return found | {name: client.get(f"/s/{made.token}?file={name}").content for name in names}
    finally:
        client.headers["authorization"] = token


@pytest.mark.parametrize("frozen", [False, True])
def test_nothing_that_a_double_blind_link_gives_holds_a_mark_of_its_makers(marked, client, frozen: bool) -> None:
    home = client.app.state.context.settings.home
    for made in links(client, marked, blind=True, frozen=frozen):
        run = client.get(f"/api/v1/runs/{marked[0]}").json()
        dates = {run[name][:10] for name in ("created_at", "started_at", "finished_at")} | {
            made.created_at.date().isoformat()
        }
        written = {f"{made.created_at.day} {made.created_at:%B %Y}", f"{made.expires_at:%B %Y}"}
        secrets = [*MARKS, *marked, made.id, made.token, str(home), str(Path.home()) + "/", *dates, *written,
                   "127.0.0.1", "Spikefront 0."]  # fmt: skip
        given = everything(client, made)
        assert len(given) >= (5 if frozen else 3)
        for name, content in given.items():
            if name == "offline.html":  # without Plotly's own text, in which a year or an address is no leak
                content = re.sub(rb"<script>.*?</script>", b"", content, flags=re.DOTALL)
            text = content.decode("utf-8", "replace").lower()
            assert not [secret for secret in secrets if secret.lower() in text], (made.type, name)


def test_the_same_links_without_it_do_hold_some_so_that_the_search_is_no_idle_one(marked, client: TestClient) -> None:
    run, compared, sweep, view = (everything(client, made) for made in links(client, marked))
    assert DEVICE.encode() in run["json"] and str(WALL).encode() in run["json"]
    assert str(WALL).encode() in compared["json"]
    assert SWEEP.encode() in sweep["page"]
    assert b"finished_at" in view["json"] and b'"finished_at":null' not in view["json"]


def test_even_without_it_no_link_holds_a_user_a_host_a_path_or_a_commit(marked, client: TestClient) -> None:
    for made in links(client, marked):
        for name, content in everything(client, made).items():
            text = content.decode("utf-8", "replace")
            assert not [mark for mark in (WORKER, HOST, FOLDER, COMMIT, NOTE, *marked) if mark in text], (
                made.type,
                name,
            )


def test_a_recount_that_failed_is_on_no_share_since_its_reason_may_name_a_path(marked, client: TestClient) -> None:
    made = NewShare.model_validate_json(client.post("/api/v1/shares", json={"run_id": marked[1]}).content)
    given = everything(client, made)
    assert json.loads(given["json"])["recount"] is None
    assert not [name for name, content in given.items() if FOLDER.encode() in content or b"ecounted" in content]


def test_a_double_blind_page_says_what_it_is_and_still_shows_its_figures(marked, client: TestClient) -> None:
    run, *_ = links(client, marked, blind=True)
    page = client.get(f"/s/{run.token}").text
    assert "double-blind" in page and "Cite it" not in page and "SNN-SqueezeNet F9" in page
    shown = client.get(f"/api/v1/shared/{run.token}").json()
    assert shown["summary"]["accuracy"] == client.get(f"/api/v1/runs/{marked[0]}").json()["summary"]["accuracy"]
    assert "Recounted by SpikingJelly: all answers and all operations equal." in page
    assert (shown["recount"]["counter_version"], shown["recount"]["recounted_images"]) == (None, None)
    assert "61 of 61" not in page and VERSION not in page
    open_page = client.get(f"/s/{links(client, marked)[0].token}").text
    assert f"Recounted by SpikingJelly {VERSION}: 61 of 61 answers and all operations equal." in open_page
    assert shown["version"] is None and shown["shared_at"] is None and shown["metrics"]["wall_s"] == []


def test_every_identifying_field_is_blanked_at_any_depth() -> None:
    for name, blank in IDENTIFYING.items():
        assert without_identity({"a": [{"b": {name: "mallory"}}]}) == {"a": [{"b": {name: blank}}]}
    assert json.loads(json.dumps(without_identity({"kept": 1}))) == {"kept": 1}
