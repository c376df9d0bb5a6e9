"""What a succeeded run shows: every figure held against the bundle that it came from."""

from __future__ import annotations

import base64
import hashlib
import io
from urllib.parse import urlsplit

import numpy as np
import pytest
from fastapi.testclient import TestClient
from PIL import Image
from sqlalchemy import update

from backend.store.artifacts import Artifacts
from backend.store.backfill import fill_older_rows
from backend.store.db import Database
from backend.store.models import RunRow, RunTallyRow
from core.analysis.exits import IMAGE_MODES
from core.analysis.findings import diagnostic_findings
from core.bundle import FILES, Bundle
from core.datasets.catalog import DATASETS
from core.energy.modes import MODES
from core.energy.price import other_pj
from core.energy.profiles import profiles
from core.schemas.bill import Layers
from core.schemas.catalog import Catalog
from core.schemas.diagnostics import Calibration, Confusion, DiagnosticsReport, Exits, Steps
from core.schemas.images import Examples
from core.schemas.pareto import Pareto
from core.schemas.preview import Preview
from core.schemas.results import EpochDone, Metrics
from core.schemas.runs import Run

RESULTS = (
    "layers", "confusion", "examples", "gradients", "calibration", "steps", "exits", "twin", "diagnostics",
    "artifacts/counts.json",
)  # fmt: skip


def test_results_wait_for_the_end_and_metrics_do_not(finisher, client: TestClient) -> None:
    claim = finisher.claimed()
    for name in RESULTS:
        answer = client.get(f"/api/v1/runs/{claim.run_id}/{name}")
        assert (answer.status_code, answer.json()["code"]) == (409, "not-ready"), name
    epoch = EpochDone(
        epoch=1, lr=0.1, train_loss=float("nan"), train_accuracy=0.25, validation_loss=float("inf"),
        validation_accuracy=0.5, firing_rate=None, wall_s=1.5, is_best=True,
    )  # fmt: skip
    finisher.lifecycle.record(claim, epoch)
    finisher.lifecycle.record(claim, epoch.model_copy(update={"epoch": 2}))
    answer = client.get(f"/api/v1/runs/{claim.run_id}/metrics")
    metrics = Metrics.model_validate_json(answer.content)
    assert metrics.epoch == [1, 2] and metrics.train_accuracy == [0.25, 0.25] and metrics.firing_rate == [None, None]
    assert np.isnan(metrics.train_loss).all() and np.isinf(metrics.validation_loss).all()
    assert answer.json()["train_loss"] == ["NaN", "NaN"]  # strict JSON, also for a loss that broke


def test_a_succeeded_run_shows_what_its_bundle_holds(finisher, client: TestClient) -> None:
    run_id = finisher.succeeded()
    bundle = Bundle(finisher.trained["snn"])
    run = Run.model_validate_json(client.get(f"/api/v1/runs/{run_id}").content)
    assert run.state == "succeeded" and run.summary == bundle.summary() and run.progress.phase == "done"
    assert run.config_hash == bundle.config().config_hash
    assert run.started_at is not None and run.finished_at is not None and run.created_at <= run.started_at
    assert Metrics.model_validate_json(client.get(f"/api/v1/runs/{run_id}/metrics").content) == bundle.metrics()
    assert client.get(f"/api/v1/runs/{run_id}/gradients").json() == bundle.gradients().model_dump()

    given = bundle.predictions()
    said = given.outputs.mean(axis=1).argmax(axis=1)
    confusion = Confusion.model_validate_json(client.get(f"/api/v1/runs/{run_id}/confusion").content)
    for i, j in np.ndindex(10, 10):
        assert confusion.matrix[i][j] == int(((given.label == i) & (said == j)).sum())
    assert confusion.n == 360 and sum(confusion.matrix[k][k] for k in range(10)) / 360 == pytest.approx(
        run.summary.accuracy
    )


def test_a_run_keeps_its_figures_when_its_data_set_is_taken_away(finisher, client: TestClient, monkeypatch) -> None:
    run_id = finisher.succeeded()
    before = client.get(f"/api/v1/runs/{run_id}/layers").json()
    without = {name: spec for name, spec in DATASETS._entries.items() if name != "digits"}
    monkeypatch.setattr(DATASETS, "_entries", without)
    after = client.get(f"/api/v1/runs/{run_id}/layers")
    assert after.status_code == 200 and after.json()["total_energy_pj"] == before["total_energy_pj"]
    assert {layer["block"] for layer in after.json()["layers"]} == {None}
    for page in ("", "/metrics", "/confusion", "/examples", "/steps", "/exits", "/diagnostics"):
        assert client.get(f"/api/v1/runs/{run_id}{page}").status_code == 200, page
    # and it can be found: beside the data sets that there are, on the plot, and under a link
    catalog = Catalog.model_validate_json(client.get("/api/v1/catalog").content)
    assert catalog.former_datasets == ["digits"] and catalog.plotted["digits"] == "digits"
    assert "digits" not in [info.name for info in catalog.datasets]
    (point,) = client.get("/api/v1/pareto?dataset=digits").json()["points"]
    assert point["run_id"] == run_id and client.get("/api/v1/runs?dataset=digits").json()["total"] == 1
    assert client.post("/api/v1/shares", json={"view": {"dataset": "digits"}}).status_code == 201
    assert client.get("/api/v1/pareto?dataset=never").json()["code"] == "unknown-name"


def test_layers_are_priced_while_looking_in_every_mode(finisher, client: TestClient) -> None:
    run_id = finisher.succeeded()
    counts = Bundle(finisher.trained["snn"]).counts()
    for mode in MODES:
        answer = client.get(f"/api/v1/runs/{run_id}/layers", params={"mode": mode, "profile": "horowitz-45nm"})
        layers = Layers.model_validate_json(answer.content)
        tally = MODES[mode].tally(counts)
        assert (layers.total_acs, layers.total_macs) == (tally.acs, tally.macs)
        priced = 0.9 * tally.acs + 4.6 * tally.macs  # Horowitz, 45 nm, fp32
        if mode == "memory":
            assert layers.total_energy_pj > priced
        else:
            assert layers.total_energy_pj == pytest.approx(priced)
        assert {layer.block for layer in layers.layers} == {None, "F9"}
    assert client.get(f"/api/v1/runs/{run_id}/layers?mode=exat").json()["fields"]["near"][0] == "exact"


def test_a_plus_in_a_modes_name_is_written_as_2b_in_an_address(finisher, client: TestClient) -> None:
    layers = f"/api/v1/runs/{finisher.succeeded()}/layers?mode="
    assert client.get(f"{layers}exact%2Bneuron").json()["mode"] == "exact+neuron"
    bare = client.get(f"{layers}exact+neuron")  # a bare plus is a space there
    assert bare.status_code >= 400 and bare.json()["fields"]["near"][0] == "exact+neuron"


def test_examples_show_both_twins_on_the_same_images(finisher, client: TestClient) -> None:
    snn, cnn = finisher.succeeded("snn"), finisher.succeeded("cnn")
    given = {kind: Bundle(path).predictions() for kind, path in finisher.trained.items()}
    said = {kind: answers.outputs.mean(axis=1).argmax(axis=1) for kind, answers in given.items()}
    label = dict(zip(given["snn"].index.tolist(), given["snn"].label.tolist(), strict=True))
    answer = {k: dict(zip(given[k].index.tolist(), said[k].tolist(), strict=True)) for k in given}

    def ask(which: str, limit: int = 200) -> Examples:
        query = f"?which={which}&limit={limit}"
        return Examples.model_validate_json(client.get(f"/api/v1/runs/{snn}/examples{query}").content)

    first = ask("first", 5)
    assert len(first.items) == 5 and first.twin_run_id == cnn and first.n_test == 360
    assert [item.index for item in first.items] == sorted(item.index for item in first.items)
    for which in ("first", "wrong", "disagree"):
        found = ask(which)
        assert found.items, which
        for item in found.items:
            assert item.label == str(label[item.index])
            assert item.answer.run_id == snn and item.answer.prediction == str(answer["snn"][item.index])
            assert item.answer.correct == (item.answer.prediction == item.label)
            assert len(item.answer.confidence_per_step) == 4
            assert item.answer.confidence == item.answer.confidence_per_step[-1]
            twin = item.twin_answer
            assert twin is not None and twin.run_id == cnn and len(twin.confidence_per_step) == 1
            assert twin.prediction == str(answer["cnn"][item.index])
            assert which != "wrong" or not item.answer.correct
            assert which != "disagree" or item.answer.prediction != twin.prediction
    kept = {}
    for path in finisher.trained.values():
        examples = Bundle(path).examples()
        kept |= dict(zip(examples.index.tolist(), examples.image, strict=True))
    image = Image.open(io.BytesIO(base64.b64decode(first.items[0].image.partition(",")[2])))
    assert (np.asarray(image) == kept[first.items[0].index]).all()


def test_without_a_twin_there_is_nothing_to_disagree_with(finisher, client: TestClient) -> None:
    run_id = finisher.succeeded()
    finisher.claimed("cnn")  # a twin that has not succeeded is none
    assert client.get(f"/api/v1/runs/{run_id}/examples?which=disagree").json()["items"] == []
    first = Examples.model_validate_json(client.get(f"/api/v1/runs/{run_id}/examples?limit=3").content)
    assert first.twin_run_id is None and all(item.twin_answer is None for item in first.items)


def test_against_another_run_only_images_are_shown_that_it_got_right_and_this_one_did_not(
    finisher, client: TestClient
) -> None:
    ids = {kind: finisher.succeeded(kind) for kind in ("snn", "cnn")}
    right = {}
    for kind, path in finisher.trained.items():
        given = Bundle(path).predictions()
        right[kind] = dict(zip(given.index.tolist(), given.outputs.mean(1).argmax(1) == given.label, strict=True))
    kept = {index for path in finisher.trained.values() for index in Bundle(path).examples().index.tolist()}
    shown = 0
    for own, other in (("snn", "cnn"), ("cnn", "snn")):
        query = f"?against={ids[other]}&limit=200"
        found = Examples.model_validate_json(client.get(f"/api/v1/runs/{ids[own]}/examples{query}").content)
        expected = sorted(index for index in kept if right[other][index] and not right[own][index])
        assert [item.index for item in found.items] == expected[:200] and found.twin_run_id == ids[other]
        assert all(item.twin_answer.correct and not item.answer.correct for item in found.items)
        shown += len(found.items)
    assert shown > 0
    itself = client.get(f"/api/v1/runs/{ids['snn']}/examples?against={ids['snn']}").json()
    assert itself["items"] == []


def test_a_run_is_held_only_against_a_finished_run_on_the_same_data_set(
    finisher, client: TestClient, database: Database
) -> None:
    run_id, other = finisher.succeeded(), finisher.succeeded("cnn")
    examples = f"/api/v1/runs/{run_id}/examples?against="
    assert client.get(f"{examples}0000").json()["code"] == "not-found"
    assert client.get(examples + finisher.claimed("cnn", seed=5).run_id).json()["code"] == "not-ready"
    with database.write() as session:
        session.get(RunRow, other).dataset = "cifar10"
    answer = client.get(examples + other)
    assert (answer.status_code, answer.json()["code"]) == (422, "bad-value") and "digits" in answer.json()["detail"]


def test_steps_exits_and_calibration_are_those_of_the_stored_outputs(finisher, client: TestClient) -> None:
    run_id, bundle = finisher.succeeded(), Bundle(finisher.trained["snn"])
    given, summary = bundle.predictions(), bundle.summary()
    for mode in MODES:
        answer = client.get(f"/api/v1/runs/{run_id}/steps", params={"mode": mode, "profile": "horowitz-45nm"})
        steps = Steps.model_validate_json(answer.content)
        layers = Layers.model_validate_json(client.get(f"/api/v1/runs/{run_id}/layers", params={"mode": mode}).content)
        assert steps.mode == mode and [point.steps for point in steps.points] == [1, 2, 3, 4]
        for point in steps.points:
            said = given.outputs[:, : point.steps].mean(1, dtype=np.float64).argmax(1)
            assert point.accuracy == pytest.approx((said == given.label).mean())
        assert steps.points[-1].energy_pj == pytest.approx(layers.total_energy_pj)
    assert steps.points[-1].firing_rate == pytest.approx(summary.firing_rate)
    for mode in IMAGE_MODES:
        query = {"mode": mode, "threshold": 0.5}
        exits = Exits.model_validate_json(client.get(f"/api/v1/runs/{run_id}/exits", params=query).content)
        assert sum(exits.points[0].images) == exits.n == 360 and exits.points[0].mean_steps == 1
        assert exits.images.index == given.index.tolist() and exits.images.threshold == 0.5
        at_half = next(point for point in exits.points if point.threshold == 0.5)
        assert np.bincount(exits.images.step, minlength=5)[1:].tolist() == at_half.images
    assert client.get(f"/api/v1/runs/{run_id}/exits").json()["images"] is None
    refused = client.get(f"/api/v1/runs/{run_id}/exits?mode=paper")
    assert (refused.status_code, refused.json()["fields"]["field"]) == (422, "mode")
    assert client.get(f"/api/v1/runs/{run_id}/exits?threshold=1.5").json()["code"] == "invalid-request"
    assert client.get(f"/api/v1/runs/{run_id}/steps?profile=horowitz").status_code == 422
    scores = Calibration.model_validate_json(client.get(f"/api/v1/runs/{run_id}/calibration").content)
    assert scores.n == 360 and scores.accuracy == pytest.approx(summary.accuracy) and len(scores.bins) == 15


def test_diagnostics_come_with_their_findings_and_older_runs_say_that_they_have_none(
    finisher, client: TestClient
) -> None:
    run_id, bundle = finisher.succeeded(), Bundle(finisher.trained["snn"])
    address = f"/api/v1/runs/{run_id}/diagnostics"
    found = DiagnosticsReport.model_validate_json(client.get(address).content)
    assert found.diagnostics == bundle.diagnostics() and found.diagnostics.epochs == [1]
    assert found.findings == diagnostic_findings(found.diagnostics)
    older = client.app.state.context.artifacts.bundle(run_id)
    (older.path / "diagnostics.json").unlink()
    older.seal()
    older.verify()
    answer = client.get(address)
    assert (answer.status_code, answer.json()["code"]) == (409, "not-ready")
    assert "trained before they were measured" in answer.json()["detail"]
    assert client.get(f"/api/v1/runs/{run_id}/steps").status_code == 200


def test_the_files_can_be_fetched_with_the_token_or_by_their_signed_address(finisher, client: TestClient) -> None:
    run_id = finisher.succeeded()
    run = Run.model_validate_json(client.get(f"/api/v1/runs/{run_id}").content)
    assert [artifact.name for artifact in run.artifacts] == [*FILES, "diagnostics.json", "recount.json"]
    for artifact in run.artifacts:
        address = urlsplit(artifact.url)
        by_token = client.get(address.path)
        token = client.headers.pop("authorization")
        by_signature = client.get(f"{address.path}?{address.query}")
        bare = client.get(address.path)
        elsewhere = client.get(f"{address.path.replace(artifact.name, 'manifest.json')}?{address.query}")
        client.headers["authorization"] = token
        assert by_token.content == by_signature.content and len(by_token.content) == artifact.bytes
        assert hashlib.sha256(by_token.content).hexdigest() == artifact.sha256
        assert by_token.headers["content-disposition"].startswith("attachment")
        assert bare.status_code == 401 == elsewhere.status_code
    part = client.get(f"/api/v1/runs/{run_id}/artifacts/counts.json", headers={"Range": "bytes=0-9"})
    whole = (finisher.trained["snn"] / "counts.json").read_bytes()
    assert (part.status_code, part.content) == (206, whole[:10])
    beyond = client.get(f"/api/v1/runs/{run_id}/artifacts/counts.json", headers={"Range": "bytes=99999999-"})
    assert (beyond.status_code, beyond.json()["code"]) == (416, "range-not-satisfiable")
    assert beyond.headers["content-range"] == f"bytes */{len(whole)}"
    odd = client.get(f"/api/v1/runs/{run_id}/artifacts/counts.json", headers={"Range": "lines=1"})
    assert (odd.status_code, odd.json()["code"]) == (400, "bad-request") and "Range" in odd.json()["detail"]


@pytest.mark.parametrize("name", [".lock", "secret.txt", "..%2Ftoken", "%2e%2e%2f%2e%2e%2ftoken", "counts.json%00"])
def test_no_other_file_can_be_fetched(finisher, client: TestClient, name: str) -> None:
    run_id = finisher.succeeded()
    (client.app.state.context.artifacts.folder(run_id) / "secret.txt").write_text("secret")
    answer = client.get(f"/api/v1/runs/{run_id}/artifacts/{name}")
    assert answer.status_code == 404 and "secret" not in answer.text.replace("secret.txt", "")


def test_the_pareto_plot_reprices_stored_tallies_and_draws_the_front(finisher, client: TestClient) -> None:
    ids = {kind: finisher.succeeded(kind) for kind in ("snn", "cnn")}
    counts = {kind: Bundle(path).counts() for kind, path in finisher.trained.items()}
    accuracy = {kind: Bundle(path).summary().accuracy for kind, path in finisher.trained.items()}
    for mode in MODES:
        answer = client.get("/api/v1/pareto", params={"dataset": "digits", "mode": mode})
        plot = Pareto.model_validate_json(answer.content)
        points = {point.kind.value: point for point in plot.points}
        energy = {}
        for kind in ("snn", "cnn"):
            tally = MODES[mode].tally(counts[kind])
            prices = profiles()["horowitz-45nm"]
            other = sum(n * other_pj(prices, name) for name, n in tally.other.items())
            assert (other > 0) == (mode == "memory")
            energy[kind] = 0.9 * tally.acs + 4.6 * tally.macs + other
            assert points[kind].energy_pj == pytest.approx(energy[kind]) and points[kind].run_id == ids[kind]
            assert points[kind].accuracy == accuracy[kind] and points[kind].mask == ("F9",)
        front = [
            kind
            for kind, other in (("snn", "cnn"), ("cnn", "snn"))
            if not (
                energy[other] <= energy[kind]
                and accuracy[other] >= accuracy[kind]
                and (energy[other], accuracy[other]) != (energy[kind], accuracy[kind])
            )
        ]
        assert plot.front == [ids[kind] for kind in sorted(front, key=energy.__getitem__)]
        assert {point.run_id for point in plot.points if point.on_front} == set(plot.front)
    assert Pareto.model_validate_json(client.get("/api/v1/pareto?dataset=cifar10").content).points == []


def test_a_mode_that_came_later_is_tallied_from_the_stored_counts(
    finisher, client: TestClient, database: Database
) -> None:
    finisher.succeeded()
    later = [mode for mode in MODES if mode != "exact"]

    def points_in(mode: str) -> dict:
        return client.get("/api/v1/pareto", params={"dataset": "digits", "mode": mode}).json()

    settings, before = client.app.state.context.settings, {mode: points_in(mode) for mode in later}
    with database.write() as session:
        session.query(RunTallyRow).filter(RunTallyRow.mode.in_(later)).delete()
    for mode in later:
        assert len(before[mode]["points"]) == 1 and points_in(mode)["points"] == []
    fill_older_rows(database, Artifacts(settings), settings.data)
    assert {mode: points_in(mode) for mode in later} == before
    with database.write() as session:  # as a row of a version that did not keep what is neither AC nor MAC
        session.query(RunTallyRow).update({"other": None})
    memory = before["memory"]["points"][0]["energy_pj"]
    assert points_in("memory")["points"][0]["energy_pj"] < memory
    fill_older_rows(database, Artifacts(settings), settings.data)
    assert points_in("memory") == before["memory"]


def test_after_a_first_run_the_time_estimate_is_measured(finisher, client: TestClient) -> None:
    run_id = finisher.succeeded()
    summary = Bundle(finisher.trained["snn"]).summary()
    config = client.get(f"/api/v1/runs/{run_id}").json()["config"]
    body = {"mask": "F9", "overrides": {"training.max_epochs": 1, "training.train_limit": 32}}
    preview = Preview.model_validate_json(client.post("/api/v1/preview", json=body).content)
    assert preview.config.model_dump(mode="json") == config
    assert preview.equal_run is not None and preview.equal_run.id == run_id
    assert preview.equal_run.accuracy == summary.accuracy
    assert preview.time is not None and preview.time.measured and "SNN-SqueezeNet F9" in preview.time.basis
    # the same run again takes as long as it took
    assert preview.time.total_s == pytest.approx(summary.train_wall_s + summary.evaluate_wall_s, rel=1e-6)
    # and a newer run of less training, slow by what each run does once, does not set the pace
    tiny = finisher.succeeded()
    with client.app.state.context.database.write() as session:
        session.execute(update(RunRow).where(RunRow.id == tiny).values(n_train=1, ops_per_s=1.0))
    again = Preview.model_validate_json(client.post("/api/v1/preview", json=body).content)
    assert again.time == preview.time


def test_a_bundle_whose_file_is_gone_says_which(finisher, client: TestClient) -> None:
    run_id = finisher.succeeded()
    (client.app.state.context.artifacts.folder(run_id) / "predictions.npz").unlink()
    answer = client.get(f"/api/v1/runs/{run_id}/confusion")
    assert (answer.status_code, answer.json()["code"]) == (409, "bundle-corrupt")
    assert answer.json()["fields"]["file"] == "predictions.npz"
    assert client.get(f"/api/v1/runs/{run_id}/layers").status_code == 200
