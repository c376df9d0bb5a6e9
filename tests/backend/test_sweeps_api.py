"""Sweeps by HTTP: foreseen, made whole or not at all, aggregated over seeds, stopped, forgotten."""

from __future__ import annotations

import shutil
import threading

import pytest
from fastapi.testclient import TestClient

from core.bundle import Bundle
from core.energy.modes import MODES
from core.errors import StateConflict
from core.schemas.run import RunConfig
from core.schemas.runs import RunPage
from core.schemas.sweep import SweepDetail, SweepPage, SweepPreview

SWEEPS = "/api/v1/sweeps"
BASE = {"mask": "F9", "overrides": {"training.max_epochs": 1, "training.train_limit": 32}}
AXES = {"kind": ["snn", "cnn"], "seed": [0, 1, 2]}


def body(axes: dict | None = None, **changes: object) -> dict:
    return {"name": "twins", "base": BASE, "axes": axes or AXES, **changes}


def create(client: TestClient, status: int = 201, key: str | None = None, **changes: object) -> SweepDetail:
    headers = {"Idempotency-Key": key} if key else {}
    answer = client.post(SWEEPS, json=body(**changes), headers=headers)
    assert answer.status_code == status, answer.text
    sweep = SweepDetail.model_validate_json(answer.content)
    assert answer.headers["location"] == f"{SWEEPS}/{sweep.id}"
    return sweep


def preview(client: TestClient, **changes: object) -> SweepPreview:
    return SweepPreview.model_validate_json(client.post(f"{SWEEPS}/preview", json=body(**changes)).content)


def runs(client: TestClient, query: str = "") -> RunPage:
    return RunPage.model_validate_json(client.get(f"/api/v1/runs?limit=200{query}").content)


def test_runs_of_a_sweep_are_listed_in_its_order_newest_first(client: TestClient) -> None:
    made = create(client, axes={"seed": [3, 1, 2, 0, 5, 4]})
    assert [run.config.seed for run in runs(client, f"&sweep={made.id}").items] == [4, 5, 0, 2, 1, 3]


def succeed(finisher, run_id: str, **figures: object) -> None:
    """Bring a queued run to its end with the bundle of its kind, and figures as another seed would give."""
    claim = finisher.lifecycle.claim(run_id, worker="w", lease_s=60)
    shutil.copytree(finisher.trained[claim.config.kind], claim.out)
    finisher.lifecycle.succeed(claim, Bundle(claim.out).summary().model_copy(update=figures))


def test_a_sweep_queues_every_combination_and_the_list_can_be_narrowed_to_it(client: TestClient) -> None:
    other = client.post("/api/v1/runs", json={"mask": "F8"}).json()["id"]
    sweep = create(client)
    assert (sweep.n_runs, sweep.states, sweep.name) == (6, {"queued": 6}, "twins")
    page = runs(client, f"&sweep={sweep.id}")
    assert page.total == 6 and {(run.config.kind, run.config.seed) for run in page.items} == {
        (kind, seed) for kind in ("snn", "cnn") for seed in (0, 1, 2)
    }
    assert all(run.sweep_ids == [sweep.id] and run.config.training.max_epochs == 1 for run in page.items)
    assert other not in {run.id for run in page.items} and runs(client).total == 7
    assert {run.id for run in page.items} < set(in_order(client)), "they wait to be claimed"
    assert client.get(f"{SWEEPS}/{sweep.id}").json() == sweep.model_dump(mode="json")


def in_order(client: TestClient) -> list[str]:
    return [item["id"] for item in client.get("/api/v1/queue").json()["items"]]


def test_runs_of_a_sweep_wait_in_its_order_each_with_the_priority_of_the_sweep(client: TestClient) -> None:
    first = client.post("/api/v1/runs", json={"mask": "F8"}).json()["id"]
    body = {"name": "three", "base": {**BASE, "priority": 4}, "axes": {"seed": [2, 0, 1]}}
    sweep = client.post(SWEEPS, json=body).json()
    seeds = [client.get(f"/api/v1/runs/{run_id}").json()["config"]["seed"] for run_id in in_order(client)]
    assert in_order(client)[-1] == first and seeds[:3] == [2, 0, 1]
    assert {run.priority for run in runs(client, f"&sweep={sweep['id']}").items} == {4}
    refused = client.post(SWEEPS, json={"name": "x", "base": BASE, "axes": {"priority": [1, 2]}})
    assert refused.status_code == 422, "it is no axis: it changes no run"


def test_seeds_are_one_group_with_mean_deviation_and_interval(finisher, client: TestClient) -> None:
    sweep = create(client)
    snn, cnn = sweep.groups
    assert (snn.label, snn.values, snn.seeds) == ("SNN-SqueezeNet F9", {"kind": "snn"}, [0, 1, 2])
    assert (cnn.label, cnn.values, cnn.n, cnn.accuracy) == ("CNN-SqueezeNet F9", {"kind": "cnn"}, 0, None)
    for run_id, accuracy in zip(snn.run_ids, (0.90, 0.92, 0.94), strict=True):
        succeed(finisher, run_id, accuracy=accuracy, firing_rate=accuracy / 10)
    succeed(finisher, cnn.run_ids[1], accuracy=0.5)
    client.post(f"/api/v1/runs/{cnn.run_ids[2]}/cancel")
    for mode in ("exact", "exact+neuron"):
        answer = client.get(f"{SWEEPS}/{sweep.id}", params={"mode": mode})
        shown = SweepDetail.model_validate_json(answer.content)
        snn, cnn = shown.groups
        assert shown.states == {"succeeded": 4, "cancelled": 1, "queued": 1} and shown.mode == mode
        # deviation 0.02, t(0.975, 2) = 4.302653: as in the tests of aggregate
        assert (snn.n, snn.accuracy.mean, snn.accuracy.deviation) == (3, pytest.approx(0.92), pytest.approx(0.02))
        assert snn.accuracy.high - snn.accuracy.mean == pytest.approx(4.302653 * 0.02 / 3**0.5)
        assert snn.firing_rate.mean == pytest.approx(0.092) and snn.params.mean == 182_730
        tally = MODES[mode].tally(Bundle(finisher.trained["snn"]).counts())
        assert snn.energy_pj.mean == pytest.approx(0.9 * tally.acs + 4.6 * tally.macs)  # Horowitz, 45 nm, fp32
        assert snn.energy_pj.deviation == 0.0 and snn.states == {"succeeded": 3}
        assert (cnn.n, cnn.accuracy.mean, cnn.accuracy.low, cnn.firing_rate) == (1, 0.5, None, None)
    assert client.get(f"{SWEEPS}/{sweep.id}?mode=exat").json()["code"] == "unknown-name"


def test_what_exists_is_taken_in_and_not_paid_for_again(finisher, client: TestClient) -> None:
    done = finisher.succeeded("snn")
    waiting = finisher.queued("cnn", seed=1).id
    stopped = finisher.queued("cnn", seed=2).id
    client.post(f"/api/v1/runs/{stopped}/cancel")
    seen = preview(client)
    assert (seen.n_combinations, seen.n_runs, seen.n_existing, seen.n_new) == (6, 6, 2, 4)
    equal = {item.label: item.equal_run.id for item in seen.combinations if item.equal_run}
    assert equal == {"SNN-SqueezeNet F9, seed 0": done, "CNN-SqueezeNet F9, seed 1": waiting}
    assert seen.time.measured and seen.time.total_s == pytest.approx(
        sum(item.time_s for item in seen.combinations if item.equal_run is None)
    )
    before = runs(client).total
    assert runs(client).total == before  # a preview stores nothing
    sweep = create(client)
    members = {run_id for group in sweep.groups for run_id in group.run_ids}
    assert {done, waiting} <= members and stopped not in members and len(members) == 6
    assert sweep.states == {"succeeded": 1, "queued": 5} and runs(client).total == before + 4
    second = create(client)
    assert {run_id for group in second.groups for run_id in group.run_ids} == members
    assert runs(client).total == before + 4
    third = create(client, repeat=True)
    assert third.states == {"queued": 6} and runs(client).total == before + 10
    assert preview(client, repeat=True).n_new == 6


def test_combinations_with_the_same_numbers_are_one_run(client: TestClient) -> None:
    axes = {"kind": ["snn", "cnn"], "time_steps": [2, 4]}  # a CNN has no time steps
    seen = preview(client, axes=axes)
    assert (seen.n_combinations, seen.n_runs, seen.n_new) == (4, 3, 3)
    assert len({item.config_hash for item in seen.combinations}) == 3
    sweep = create(client, axes=axes)
    assert sweep.n_runs == 3
    labels = [group.label for group in sweep.groups]
    assert labels == ["SNN-SqueezeNet F9, T = 2", "SNN-SqueezeNet F9, T = 4", "CNN-SqueezeNet F9"]
    assert sweep.groups[2].values == {"kind": "cnn"}
    assert preview(client, axes=axes, repeat=True).n_runs == 3


@pytest.mark.parametrize(
    ("changes", "code", "says"),
    [
        ({"axes": {"seed": [1], "mask": ["F9", []]}}, "impossible-mask", "In the combination seed 1, mask "),
        ({"axes": {"kind": ["cnn"], "tau": [2, 0.5]}}, "bad-value", "kind cnn, tau 0.5: neuron.tau"),
        ({"axes": {"seed": list(range(257)), "kind": ["snn", "cnn"]}}, "bad-value", "at most 512"),
        ({"axes": {}}, "invalid-request", "axes"),
        ({"axes": {"seed": []}}, "invalid-request", "axes.seed"),
        ({"name": " "}, "invalid-request", "name"),
        ({"axes": {"seed": [1]}, "ax": 1}, "invalid-request", "ax"),
    ],
)
def test_an_impossible_sweep_is_refused_whole(client: TestClient, changes: dict, code: str, says: str) -> None:
    for route in (SWEEPS, f"{SWEEPS}/preview"):
        answer = client.post(route, json={**body(), **changes})
        assert (answer.status_code, answer.json()["code"]) == (422, code), answer.text
        assert says in answer.json()["detail"]
    assert runs(client).total == 0 and client.get(SWEEPS).json()["total"] == 0


def test_a_data_set_that_is_not_here_refuses_the_sweep_and_not_its_preview(client: TestClient) -> None:
    changes = {"axes": {"dataset": ["digits", "cifar10"]}}
    answer = client.post(SWEEPS, json=body(**changes))
    assert (answer.status_code, answer.json()["code"]) == (409, "dataset-missing") and runs(client).total == 0
    assert preview(client, **changes).n_runs == 2


def test_a_sweep_that_fails_half_way_leaves_nothing(client: TestClient, monkeypatch: pytest.MonkeyPatch) -> None:
    from backend.sweeps.repository import SweepRepository
    from core.errors import DatabaseDown

    def down(*_: object) -> None:
        raise DatabaseDown(why="it is busy.")

    monkeypatch.setattr(SweepRepository, "add", down)  # after the runs were inserted, before the commit
    assert client.post(SWEEPS, json=body()).status_code == 503
    assert runs(client).total == 0 and client.get(SWEEPS).json()["total"] == 0


def test_the_same_key_makes_one_sweep_also_when_sent_at_once(client: TestClient) -> None:
    answers, barrier = [], threading.Barrier(4)

    def submit() -> None:
        barrier.wait()
        answers.append(client.post(SWEEPS, json=body(), headers={"Idempotency-Key": "s"}))

    threads = [threading.Thread(target=submit) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(answer.status_code for answer in answers) == [200, 200, 200, 201]
    assert len({answer.json()["id"] for answer in answers}) == 1 and runs(client).total == 6
    for route, other in ((SWEEPS, body(name="other")), ("/api/v1/runs", {})):
        clash = client.post(route, json=other, headers={"Idempotency-Key": "s"})
        assert (clash.status_code, clash.json()["code"]) == (409, "idempotency-conflict")
    client.post("/api/v1/runs", json={}, headers={"Idempotency-Key": "r"})
    assert client.post(SWEEPS, json=body(), headers={"Idempotency-Key": "r"}).status_code == 409


def test_sweeps_are_listed_in_pages_newest_first(client: TestClient) -> None:
    made = [create(client, name=f"s{n}", axes={"seed": [n, n + 1]}).id for n in range(5)]
    first = SweepPage.model_validate_json(client.get(f"{SWEEPS}?limit=3").content)
    second = SweepPage.model_validate_json(client.get(f"{SWEEPS}?limit=3&cursor={first.next_cursor}").content)
    assert [sweep.id for sweep in first.items + second.items] == made[::-1]
    assert first.total == 5 and second.next_cursor is None
    assert all(sweep.n_runs == 2 and sweep.states == {"queued": 2} for sweep in first.items)
    assert client.get(f"{SWEEPS}?cursor=zzz").json()["code"] == "bad-value"


def test_cancelling_stops_what_is_active_and_leaves_what_has_ended(finisher, client: TestClient) -> None:
    sweep = create(client)
    succeed(finisher, sweep.groups[0].run_ids[0])
    running = sweep.groups[0].run_ids[1]
    finisher.lifecycle.claim(running, worker="w", lease_s=60)
    for _ in range(2):  # twice is no error
        answer = client.post(f"{SWEEPS}/{sweep.id}/cancel")
        assert answer.status_code == 200
        assert answer.json()["states"] == {"succeeded": 1, "cancelling": 1, "cancelled": 4}


def test_a_run_that_ends_while_its_sweep_is_cancelled_keeps_its_end(
    client: TestClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    sweep, lifecycle = create(client), client.app.state.context.lifecycle
    quick, cancel = sweep.groups[0].run_ids[0], lifecycle.cancel

    def ended_meanwhile(run_id: str) -> None:
        if run_id == quick:
            raise StateConflict(run_id=run_id, state="succeeded", wanted="cancelling it")
        cancel(run_id)

    monkeypatch.setattr(lifecycle, "cancel", ended_meanwhile)
    assert client.post(f"{SWEEPS}/{sweep.id}/cancel").json()["states"] == {"queued": 1, "cancelled": 5}


def test_deleting_a_sweep_leaves_its_runs_and_deleting_a_run_leaves_its_sweep(client: TestClient) -> None:
    sweep = create(client, key="s")
    gone = sweep.groups[0].run_ids[0]
    client.post(f"/api/v1/runs/{gone}/cancel")
    client.delete(f"/api/v1/runs/{gone}")
    shown = SweepDetail.model_validate_json(client.get(f"{SWEEPS}/{sweep.id}").content)
    assert shown.n_runs == 5 and gone not in shown.groups[0].run_ids
    client.post(f"/api/v1/runs/{gone}/restore")
    assert client.get(f"{SWEEPS}/{sweep.id}").json()["n_runs"] == 6
    assert client.delete(f"{SWEEPS}/{sweep.id}").status_code == 204
    page = runs(client)
    assert page.total == 6 and all(run.sweep_ids == [] for run in page.items)
    for method, path in (("GET", ""), ("DELETE", ""), ("POST", "/cancel")):
        answer = client.request(method, f"{SWEEPS}/{sweep.id}{path}")
        assert (answer.status_code, answer.json()["code"]) == (404, "not-found")
    assert create(client, key="s").id != sweep.id  # its key went with it


def test_a_stored_sweep_can_be_asked_for_again_as_it_was(client: TestClient) -> None:
    sweep = create(client, axes={"training.lr": [0.01, 0.1], "mask": ["F9", ["F8", "F9"]]})
    again = client.post(SWEEPS, json=sweep.request.model_dump(mode="json")).json()
    assert [group["run_ids"] for group in again["groups"]] == [group.run_ids for group in sweep.groups]
    assert [group.values for group in sweep.groups][:2] == [
        {"training.lr": 0.01, "mask": "F9"},
        {"training.lr": 0.01, "mask": "F8,F9"},
    ]
    assert all(RunConfig.model_validate(group["config"]) for group in again["groups"])


def test_options_of_the_network_are_axes_whose_values_the_label_says(client: TestClient) -> None:
    axes = {"architecture.stem_width": [128, 64], "mask": ["F9", "F8,F9"]}
    foreseen = preview(client, axes=axes)
    assert [item.label for item in foreseen.combinations] == [
        "SNN-SqueezeNet F9",
        "SNN-SqueezeNet F8,F9",
        "SNN-SqueezeNet F9, stem 64",
        "SNN-SqueezeNet F8,F9, stem 64",
    ]
    made = create(client, axes=axes)
    assert {(group.label, group.values["architecture.stem_width"]) for group in made.groups} == {
        (item.label, item.values["architecture.stem_width"]) for item in foreseen.combinations
    }


def test_options_that_give_one_network_are_one_run(client: TestClient) -> None:
    foreseen = preview(client, axes={"bypass": ["none", "simple"], "mask": ["F9", "F8,F9"]})
    assert (foreseen.n_combinations, foreseen.n_runs) == (4, 3)  # F9 alone has fewer channels in than out
    depths = {"name": "d", "base": {"backbone": "msresnet", "mask": "Full"}, "axes": {"depth": [20, 32]}}
    answer = SweepPreview.model_validate_json(client.post(f"{SWEEPS}/preview", json=depths).content)
    assert [item.label for item in answer.combinations] == ["SNN-MS-ResNet Full", "SNN-MS-ResNet Full, depth 32"]


def test_seeds_on_other_images_are_groups_of_their_own_and_the_unfinished_stand_with_the_newest(
    finisher, client
) -> None:
    (group,) = create(client, axes={"seed": [0, 1, 2]}).groups
    whole, part, waiting = group.run_ids
    succeed(finisher, whole, accuracy=0.9)
    succeed(finisher, part, accuracy=0.5, n_train_available=7, dataset_complete=False)
    (sweep,) = SweepPage.model_validate_json(client.get(SWEEPS).content).items
    first, second = SweepDetail.model_validate_json(client.get(f"{SWEEPS}/{sweep.id}").content).groups
    assert (first.run_ids, first.n, first.accuracy.mean) == ([whole], 1, 0.9)
    assert (second.run_ids, second.n, second.accuracy.mean) == ([part, waiting], 1, 0.5)
