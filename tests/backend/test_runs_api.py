"""Runs by HTTP: made once, listed in pages, stopped, repeated, removed; and what can be chosen."""

from __future__ import annotations

import re
import threading

import pytest
from fastapi.testclient import TestClient

from core.backbones.catalog import FIRE_MASKS, plan_for
from core.datasets.catalog import DATASETS
from core.energy.modes import MODES
from core.energy.profiles import profiles
from core.recipes.catalog import RECIPES
from core.schemas.catalog import Catalog
from core.schemas.preview import Preview
from core.schemas.run import RunConfig, RunState
from core.schemas.runs import Run, RunPage


def make(client: TestClient, **body: object) -> Run:
    answer = client.post("/api/v1/runs", json=body)
    assert answer.status_code == 201, answer.text
    return Run.model_validate_json(answer.content)


def page(client: TestClient, query: str = "") -> RunPage:
    return RunPage.model_validate_json(client.get(f"/api/v1/runs{query}").content)


def test_a_run_is_kept_queued_while_the_broker_is_away(client: TestClient, caplog: pytest.LogCaptureFixture) -> None:
    answer = client.post("/api/v1/runs", json={"mask": "Ref-1", "seed": 7})
    run = Run.model_validate_json(answer.content)
    assert answer.status_code == 201 and answer.headers["location"] == f"/api/v1/runs/{run.id}"
    assert run.state is RunState.QUEUED and run.progress.phase == "waiting"
    assert run.label == "SNN-SqueezeNet Ref-1" and run.config.mask == ("F4", "F6", "F8", "F9")
    assert run.config_hash == run.config.config_hash and run.twin_hash == run.config.twin_hash
    assert run.command.startswith("spikefront train --backbone squeezenet --kind snn --mask F4,F6,F8,F9")
    assert [record.message for record in caplog.records if record.levelname == "WARNING"] == ["queue.not_rung"]
    assert client.app.state.context.lifecycle.next_run() == (run.id, run.config)
    assert client.get(answer.headers["location"]).json() == answer.json()


def test_the_same_key_and_body_make_one_run(client: TestClient) -> None:
    first = client.post("/api/v1/runs", json={"seed": 1}, headers={"Idempotency-Key": "k-1"})
    again = client.post("/api/v1/runs", json={"seed": 1, "recipe": "smoke"}, headers={"Idempotency-Key": "k-1"})
    assert (first.status_code, again.status_code) == (201, 200)  # the default spelled out is the same body
    assert first.json()["id"] == again.json()["id"] and first.headers["location"] == again.headers["location"]
    other = client.post("/api/v1/runs", json={"seed": 2}, headers={"Idempotency-Key": "k-1"})
    assert (other.status_code, other.json()["code"]) == (409, "idempotency-conflict")
    assert page(client).total == 1
    assert client.post("/api/v1/runs", json={"seed": 1}).status_code == 201  # without a key it is a new run
    assert page(client).total == 2


@pytest.mark.parametrize("key", ["", "x" * 256, "a\tb"])
def test_a_useless_key_is_refused(client: TestClient, key: str) -> None:
    answer = client.post("/api/v1/runs", json={}, headers={"Idempotency-Key": key})
    assert (answer.status_code, answer.json()["fields"]["field"]) == (422, "Idempotency-Key")


def test_one_key_used_by_many_at_once_makes_one_run(client: TestClient) -> None:
    answers, barrier = [], threading.Barrier(5)

    def submit() -> None:
        barrier.wait()
        answers.append(client.post("/api/v1/runs", json={}, headers={"Idempotency-Key": "once"}))

    threads = [threading.Thread(target=submit) for _ in range(5)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(answer.status_code for answer in answers) == [200, 200, 200, 200, 201]
    assert len({answer.json()["id"] for answer in answers}) == 1 == page(client).total


def test_pages_follow_one_another_newest_first_and_meet_every_run_once(client: TestClient) -> None:
    made = [make(client, seed=seed).id for seed in range(7)]
    seen, cursor, sizes = [], "", []
    while True:
        part = page(client, f"?limit=3{cursor}")
        seen += [run.id for run in part.items]
        sizes.append(len(part.items))
        assert part.total == 7
        if part.next_cursor is None:
            break
        passing = make(client, seed=99)  # a run that comes and goes shifts no page
        client.post(f"/api/v1/runs/{passing.id}/cancel")
        client.delete(f"/api/v1/runs/{passing.id}")
        cursor = f"&cursor={part.next_cursor}"
    assert seen == made[::-1] and sizes == [3, 3, 1]


def test_filters_narrow_the_list_and_the_total(client: TestClient) -> None:
    make(client, mask="Ref-1", kind="snn")
    make(client, mask="F4,F6,F8,F9", kind="cnn")
    fast = make(client, mask="Full", recipe="fast")
    client.post(f"/api/v1/runs/{fast.id}/cancel")
    for query, n in (
        ("", 3),
        ("kind=snn", 2),
        ("kind=cnn", 1),
        ("mask=Ref-1", 2),
        ("mask=f9,F8,F6,F4", 2),
        ("mask=Ref-1&kind=cnn", 1),
        ("state=queued", 2),
        ("state=queued&state=cancelled", 3),
        ("state=succeeded", 0),
        ("dataset=digits", 3),
        ("dataset=cifar10", 0),
        ("recipe=fast", 1),
        ("backbone=squeezenet", 3),
    ):
        found = page(client, f"?{query}")
        assert (len(found.items), found.total) == (n, n), query


def test_twins_find_each_other(client: TestClient) -> None:
    snn = make(client, kind="snn", seed=3)
    assert snn.twin is None
    cnn = make(client, kind="cnn", seed=3)
    make(client, kind="cnn", seed=4)
    assert cnn.twin is not None and (cnn.twin.id, cnn.twin.kind) == (snn.id, "snn")
    twins = {run.id: run.twin.id if run.twin else None for run in page(client).items}
    assert twins[snn.id] == cnn.id and twins[cnn.id] == snn.id


def test_cancel_retry_and_delete_each_ask_for_the_right_state(client: TestClient) -> None:
    run = make(client, seed=5)
    at = f"/api/v1/runs/{run.id}"
    for request in (client.post(f"{at}/retry"), client.delete(at)):
        assert (request.status_code, request.json()["code"]) == (409, "state-conflict")
    assert client.post(f"{at}/cancel").json()["state"] == "cancelled"
    assert client.post(f"{at}/cancel").json()["state"] == "cancelled"  # twice is no error
    again = client.post(f"{at}/retry", headers={"Idempotency-Key": "r"})
    assert again.status_code == 201 and again.json()["id"] != run.id and again.json()["state"] == "queued"
    assert RunConfig.model_validate(again.json()["config"]) == run.config
    assert client.post(f"{at}/retry", headers={"Idempotency-Key": "r"}).json()["id"] == again.json()["id"]
    assert client.delete(at).status_code == 204
    assert client.get(at).status_code == 404 == client.delete(at).status_code
    assert page(client).total == 1


def test_purging_the_bin_removes_a_deleted_runs_bundle_and_nothing_beside_it(client: TestClient) -> None:
    one, other = make(client, seed=1), make(client, seed=2)
    folders = [client.app.state.context.artifacts.folder(run.id) for run in (one, other)]
    for folder in folders:
        folder.mkdir(parents=True)
        (folder / "config.json").write_text("{}")
    client.post(f"/api/v1/runs/{one.id}/cancel")
    client.delete(f"/api/v1/runs/{one.id}")
    lifecycle = client.app.state.context.lifecycle
    assert lifecycle.purge() == [] and all(folder.exists() for folder in folders)  # a day is left to undo it
    assert lifecycle.purge(older_than_s=0) == [one.id]
    assert [folder.exists() for folder in folders] == [False, True]


def test_a_data_set_that_is_not_here_is_refused_before_anything_is_queued(client: TestClient) -> None:
    answer = client.post("/api/v1/runs", json={"dataset": "cifar10"})
    assert (answer.status_code, answer.json()["code"]) == (409, "dataset-missing")
    assert page(client).total == 0
    preview = Preview.model_validate_json(client.post("/api/v1/preview", json={"dataset": "cifar10"}).content)
    assert not preview.dataset_ready and preview.dataset_note and preview.n_train is None
    assert preview.params == 736_458 and preview.macs == 4_466_848  # SqueezeNet, the printed definition


def test_the_preview_is_the_plans_arithmetic(client: TestClient) -> None:
    for kind, mask in (("snn", "Ref-1"), ("cnn", "Full")):
        answer = client.post("/api/v1/preview", json={"kind": kind, "mask": mask})
        preview = Preview.model_validate_json(answer.content)
        plan = plan_for(backbone="squeezenet", mask=FIRE_MASKS[mask], input_shape=(3, 16, 16), n_classes=10)
        assert (preview.params, preview.dense_macs, preview.neurons) == (plan.params, plan.dense_ops, plan.neurons)
        assert preview.mask_name == mask and preview.dataset_ready
        assert preview.n_train == 1437 - round(1437 * 0.2)
        assert sum(layer.params for layer in preview.layers) == plan.params
        assert sum(layer.dense_macs for layer in preview.layers) == plan.dense_ops
        assert {layer.block for layer in preview.layers} == {None, *FIRE_MASKS[mask]}
        assert {"neuron": kind == "snn", "relu": kind == "cnn"} == {
            word: any(layer.kind == word for layer in preview.layers) for word in ("neuron", "relu")
        }
        assert preview.time is not None and not preview.time.measured and "guess" in preview.time.basis
        assert preview.equal_run is None
    assert page(client).total == 0


HALF = {"architecture.stem_width": 64, "architecture.stem_stride": 2}


def test_a_preview_shows_a_network_with_options(client: TestClient) -> None:
    def look(**body: object) -> Preview:
        body = {"mask": "Ref-1", "dataset": "cifar10", **body}
        return Preview.model_validate_json(client.post("/api/v1/preview", json=body).content)

    half = look(overrides=HALF)
    assert (half.params, half.neurons, half.label) == (545_146, 163_840, "SNN-SqueezeNet Ref-1, stem 64/2")
    assert (half.config.architecture.stem_width, half.config.architecture.stem_stride) == (64, 2)
    assert half.layers[0].output_shape == (64, 16, 16) and half.config_hash != look().config_hash
    same = look(overrides={"architecture.stem_width": "128", "architecture.bypass": "none"})
    assert same == look() and same.label == "SNN-SqueezeNet Ref-1"
    deep = look(backbone="msresnet", mask="Full", overrides={"depth": 32})
    assert len(deep.config.mask) == 13 and deep.mask_name == "Full" and deep.label == "SNN-MS-ResNet Full, depth 32"
    paper = look(backbone="mnasnet", mask="Full", definition="paper-cifar10", kind="cnn")
    assert (paper.params, paper.label) == (151_890, "CNN-MnasNet Full, paper-cifar10")


@pytest.mark.parametrize(
    ("body", "field", "says"),
    [
        ({"backbone": "xception", "overrides": {"architecture.stem_width": 64}}, "architecture.stem_width", "left out"),
        ({"overrides": {"architecture.stem_width": 4096}}, "architecture.stem_width", "at most 1024"),
        ({"backbone": "msresnet", "overrides": {"architecture.depth": 50}}, "architecture.depth", "20, 32, 44, 56"),
    ],
)
def test_an_option_that_a_network_has_not_is_refused_at_its_field(
    client: TestClient, body: dict, field: str, says: str
) -> None:
    for route in ("preview", "runs"):
        answer = client.post(f"/api/v1/{route}", json=body)
        assert (answer.status_code, answer.json()["code"]) == (422, "bad-value")
        assert answer.json()["fields"]["field"] == field and says in answer.json()["detail"]
    assert page(client).total == 0


def test_the_name_of_a_run_says_its_options_wherever_it_stands(client: TestClient) -> None:
    run = make(client, mask="Ref-1", overrides=HALF)
    plain = make(client, mask="Ref-1")
    assert (run.label, plain.label) == ("SNN-SqueezeNet Ref-1, stem 64/2", "SNN-SqueezeNet Ref-1")
    assert [one.label for one in page(client).items] == [plain.label, run.label]
    assert [one.id for one in page(client, "?q=stem 64").items] == [run.id]
    assert "--set architecture.stem_width=64 --set architecture.stem_stride=2" in run.command
    cnn = make(client, mask="Ref-1", kind="cnn", overrides=HALF)
    assert Run.model_validate_json(client.get(f"/api/v1/runs/{run.id}").content).twin.id == cnn.id
    assert Run.model_validate_json(client.get(f"/api/v1/runs/{plain.id}").content).twin is None


def test_a_fork_keeps_the_options_of_its_network_unless_it_names_them(client: TestClient) -> None:
    run = make(client, mask="Ref-1", overrides=HALF)

    def fork(of: Run, **body: object) -> RunConfig:
        answer = client.post(f"/api/v1/runs/{of.id}/fork", json=body)
        assert answer.status_code == 201, answer.text
        return Run.model_validate_json(answer.content).config

    assert fork(run, seed=1).architecture == fork(run, recipe="fast").architecture == run.config.architecture
    assert fork(run, recipe="fast", overrides={"stem_width": 32}).architecture.stem_width == 32
    plain = fork(run, overrides={"stem_width": None, "stem_stride": "1"})
    assert plain == make(client, mask="Ref-1").config
    small = make(client, backbone="msresnet", mask="Full")
    assert len(fork(small, overrides={"depth": 32}).mask) == 13
    assert fork(small, overrides={"depth": 32}, mask="R1.5").mask == ("R1.5",)
    paper = make(client, backbone="mnasnet", definition="paper", mask="Full")
    assert fork(paper, recipe="fast").mask == paper.config.mask


def test_the_catalog_says_which_definition_has_which_blocks_and_options(client: TestClient) -> None:
    catalog = Catalog.model_validate_json(client.get("/api/v1/catalog").content)
    by_name = {item.name: {one.name: one for one in item.definitions} for item in catalog.backbones}
    assert list(by_name["mnasnet"]) == ["small", "paper", "paper-cifar10", "imagenet"]
    assert by_name["mnasnet"]["paper"].blocks == ("M1.1", "M2.1", "M2.2", "M3.1", "M3.2", "M4.1", "M4.2")
    stem = by_name["squeezenet"]["small"].options[0]
    assert (stem.field, stem.default, stem.closed) == ("architecture.stem_width", 128, False)
    assert by_name["squeezenet"]["imagenet"].options == [] == by_name["mixnet"]["small"].options
    assert by_name["msresnet"]["imagenet"].options[0].field == "architecture.depth"


def test_an_equal_run_is_pointed_out_unless_it_came_to_nothing(client: TestClient) -> None:
    run = make(client, seed=8)

    def equal(**body: object) -> str | None:
        found = Preview.model_validate_json(client.post("/api/v1/preview", json=body).content).equal_run
        return found.id if found else None

    assert equal(seed=8) == run.id
    assert equal(seed=9) is None and equal(seed=8, kind="cnn") is None
    client.post(f"/api/v1/runs/{run.id}/cancel")
    assert equal(seed=8) is None


def test_the_catalog_lists_every_name_that_is_registered(client: TestClient) -> None:
    catalog = Catalog.model_validate_json(client.get("/api/v1/catalog").content)
    for listed, registry in (
        (catalog.datasets, DATASETS),
        (catalog.recipes, RECIPES),
        (catalog.modes, MODES),
        (catalog.profiles, profiles()),
    ):
        assert [entry.name for entry in listed] == list(registry)
    assert [entry.expected_minutes for entry in catalog.recipes] == [row.expected_minutes for row in RECIPES.values()]
    assert catalog.default_mode in MODES and catalog.default_profile in profiles()
    ready = {entry.name: entry.ready for entry in catalog.datasets}
    assert ready["digits"] and not ready["cifar10"]
    assert catalog.backbones[0].masks["Ref-1"] == ("F4", "F6", "F8", "F9")


def test_the_printed_points_come_by_data_set(client: TestClient) -> None:
    assert client.get("/api/v1/published?dataset=digits").json() == []
    points = client.get("/api/v1/published?dataset=cifar10").json()
    assert {point["kind"] for point in points} == {"snn", "cnn"}
    assert client.get("/api/v1/pareto?dataset=cifar10").json()["published"] == points


def test_every_route_is_described(client: TestClient) -> None:
    document = client.get("/api/v1/openapi.json").json()
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            assert operation.get("description"), f"{method} {path}"
    assert not any(re.search(r"/(s|static)/", path) for path in document["paths"])
