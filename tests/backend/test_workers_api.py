"""Who trains and what waits."""

from __future__ import annotations

from datetime import timedelta

import pytest
from fastapi.testclient import TestClient

from backend.catalog.estimate import Estimator
from backend.context import Context
from backend.kept import LOOK_S, Look
from backend.store.db import Database, utc_now
from backend.store.lifecycle import Lifecycle
from backend.store.models import RunRow, WorkerRow
from backend.workers.service import HEAD
from core.schemas.preview import Preview
from core.schemas.request import QUEUEING, RunRequest, told
from core.schemas.results import Progress
from core.schemas.workers import Activity, Offer, OfferedDataset, WaitingRuns, Workers
from core.settings import Settings


def queue(client: TestClient) -> WaitingRuns:
    return WaitingRuns.model_validate_json(client.get("/api/v1/queue").content)


def queued(client: TestClient, seed: int) -> str:
    return client.post("/api/v1/runs", json={"mask": "F9", "seed": seed}).json()["id"]


def test_workers_are_shown_with_what_they_run_while_they_give_signs_of_life(
    client: TestClient, lifecycle: Lifecycle, database: Database
) -> None:
    run_id = queued(client, 1)
    queued(client, 2)
    lifecycle.worker_seen("a:1", queue="cpu", slots=2, busy=1)
    lifecycle.worker_seen("b:2", queue="gpu", slots=1, busy=0)
    with database.write() as session:
        past = utc_now() - timedelta(minutes=5)
        session.add(WorkerRow(name="gone:3", queue="cpu", slots=4, busy=4, seen_at=past))
    assert lifecycle.claim(run_id, worker="a:1", lease_s=60) is not None
    first, second = Workers.model_validate_json(client.get("/api/v1/workers").content).items
    assert (first.name, first.queue, first.slots, first.busy) == ("a:1", "cpu", 2, 1)
    assert [(run.id, run.state, run.label) for run in first.runs] == [(run_id, "running", "SNN-SqueezeNet F9")]
    assert (second.name, second.runs) == ("b:2", [])
    client.post(f"/api/v1/runs/{run_id}/cancel")
    assert client.get("/api/v1/workers").json()["items"][0]["runs"][0]["state"] == "cancelling"


def test_the_queue_is_shown_in_its_order_with_times_once_a_worker_is_there(
    client: TestClient, lifecycle: Lifecycle
) -> None:
    ids = [queued(client, seed) for seed in range(4)]
    preview = Preview.model_validate_json(client.post("/api/v1/preview", json={"mask": "F9"}).content)
    run_s = preview.time.total_s
    waiting = queue(client)
    assert [(item.position, item.id) for item in waiting.items] == list(enumerate(ids, start=1))
    assert (waiting.queue, waiting.slots, waiting.total, waiting.ends_in_s) == ("cpu", 0, 4, None)
    assert all(item.starts_in_s is None and item.run_s == run_s and item.waiting_s >= 0 for item in waiting.items)

    lifecycle.worker_seen("a:1", queue="cpu", slots=2, busy=0)
    waiting = queue(client)
    # two slots, four equal runs: two start at once, two when these have ended
    assert [item.starts_in_s for item in waiting.items] == [0.0, 0.0, pytest.approx(run_s), pytest.approx(run_s)]
    assert waiting.slots == 2 and waiting.ends_in_s == pytest.approx(2 * run_s)

    lifecycle.claim(ids[0], worker="a:1", lease_s=60)
    waiting = queue(client)
    assert [item.id for item in waiting.items] == ids[1:] and waiting.total == 3
    assert waiting.items[0].starts_in_s == 0.0 and 0 < waiting.items[1].starts_in_s <= run_s

    lifecycle.worker_seen("g:1", queue="gpu", slots=1, busy=0)  # what it can do is left to it
    assert (queue(client).queue, queue(client).slots) == ("cpu+gpu", 3)
    starts = [item.starts_in_s for item in queue(client).items]
    assert starts == [0.0, pytest.approx(run_s), pytest.approx(2 * run_s)], "all on the one slot of the GPU"


def test_a_priority_is_set_with_a_run_and_changed_while_it_waits(client: TestClient, lifecycle: Lifecycle) -> None:
    first, second = queued(client, 1), queued(client, 2)
    urgent = client.post("/api/v1/runs", json={"mask": "F9", "seed": 3, "priority": 2}).json()
    assert urgent["priority"] == 2
    assert [(item.id, item.priority) for item in queue(client).items] == [(urgent["id"], 2), (first, 0), (second, 0)]
    changed = client.patch(f"/api/v1/runs/{second}", json={"priority": 10}).json()
    assert changed["priority"] == 10 and queue(client).items[0].id == second
    assert client.patch(f"/api/v1/runs/{second}", json={"note": "x"}).json()["priority"] == 10
    for wrong in (11, -11, 1.5, "high", True):
        assert client.patch(f"/api/v1/runs/{first}", json={"priority": wrong}).status_code == 422
        assert client.post("/api/v1/runs", json={"mask": "F9", "priority": wrong}).status_code == 422
    lifecycle.claim(first, worker="a:1", lease_s=60)
    refused = client.patch(f"/api/v1/runs/{first}", json={"priority": 1})
    assert (refused.status_code, refused.json()["code"]) == (409, "state-conflict")


def test_neither_priority_nor_device_makes_another_config_or_breaks_a_key(client: TestClient) -> None:
    plain = client.post("/api/v1/runs", json={"mask": "F9"}).json()
    other = client.post("/api/v1/runs", json={"mask": "F9", "priority": 3, "device": "cuda"}).json()
    assert (plain["config"], plain["config_hash"]) == (other["config"], other["config_hash"])
    assert (other["device"], plain["device"]) == ("cuda", None)
    key = {"Idempotency-Key": "k"}
    made = client.post("/api/v1/runs", json={"mask": "F8"}, headers=key)
    again = client.post("/api/v1/runs", json={"mask": "F8", "priority": 0, "device": None}, headers=key)
    assert (made.status_code, again.status_code, again.json()["id"]) == (201, 200, made.json()["id"])
    assert told(RunRequest(mask="F8")) == RunRequest(mask="F8").model_dump(mode="json", exclude=set(QUEUEING))


PETS = OfferedDataset(
    name="pets", n_train=40, n_test=10, complete=True, digest="ab" * 32, title="Pets", classes=("cat", "dog"), size=16,
    mean=(0.5, 0.5, 0.5), std=(0.2, 0.2, 0.2), mirrors=True,
)  # fmt: skip


def test_a_run_on_a_data_set_that_only_a_worker_has_can_be_asked_for(
    client: TestClient, lifecycle: Lifecycle, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(
        "SPIKEFRONT_HOME", str(settings.home)
    )  # the table of data sets looks in the data folder of the settings
    body = {"mask": "F9", "dataset": "pets"}
    assert client.post("/api/v1/preview", json=body).status_code == 422
    offer = Offer(device="cpu", threads=1, datasets=[PETS, OfferedDataset(name="cifar10", complete=True)])
    lifecycle.worker_seen("gpu1", queue="cpu", slots=1, busy=0, offer=offer)
    preview = Preview.model_validate_json(client.post("/api/v1/preview", json=body).content)
    assert (preview.dataset_ready, preview.n_train) == (True, 32)
    assert preview.dataset_note == "The data set is on the worker gpu1 alone, not on the API's machine."
    shown = {item["name"]: item for item in client.get("/api/v1/catalog").json()["datasets"]}
    assert (shown["pets"]["n_classes"], shown["pets"]["ready"], shown["pets"]["workers"]) == (2, False, ["gpu1"])
    made = [client.post("/api/v1/runs", json={**body, **change}) for change in ({}, {"dataset": "cifar10"})]
    assert [answer.status_code for answer in made] == [201, 201]
    assert [item.waits for item in queue(client).items] == [None, None]
    with client.app.state.context.database.read() as session:
        assert session.get_one(RunRow, made[0].json()["id"]).data_digest == PETS.digest, "as the worker says"
    assert client.get("/api/v1/datasets/pets/pictures").json()["code"] == "dataset-missing"

    lifecycle.worker_gone("gpu1")
    lifecycle.worker_seen("a:1", queue="cpu", slots=1, busy=0, offer=Offer(device="cpu", threads=1))
    why = "No worker has the data set 'pets'."
    assert client.get(f"/api/v1/runs/{made[0].json()['id']}").json()["waits"] == why
    waiting = queue(client)
    assert (waiting.items[0].waits, waiting.items[0].starts_in_s) == (why, None)
    assert client.post("/api/v1/preview", json={**body, "dataset": "cifar10"}).json()["dataset_ready"] is False
    refused = client.post("/api/v1/runs", json={**body, "dataset": "cifar10", "seed": 1})
    assert (refused.status_code, refused.json()["code"]) == (409, "dataset-missing")


def test_a_waiting_run_whose_data_set_was_taken_away_does_not_hide_the_queue(
    client: TestClient, database: Database
) -> None:
    ids = [queued(client, seed) for seed in range(2)]
    with database.write() as session:
        row = session.get_one(RunRow, ids[0])
        row.dataset, row.config = "pets", {**row.config, "dataset": "pets"}
    assert [(item.id, item.run_s > 0) for item in queue(client).items] == [(ids[0], False), (ids[1], True)]


def context_of(client: TestClient) -> Context:
    return client.app.state.context  # type: ignore[attr-defined]


def activity(client: TestClient) -> Activity:
    return Activity.model_validate_json(client.get("/api/v1/activity").content)


def test_what_goes_on_is_one_small_answer_that_says_when_lists_have_changed(
    client: TestClient, lifecycle: Lifecycle
) -> None:
    clock = 0.0
    object.__setattr__(context_of(client), "activity", Look(clock=lambda: clock, spent=lambda: 0.0))
    lifecycle.worker_seen("a:1", queue="cpu", slots=1, busy=0)
    before = activity(client)
    assert (before.active, before.waiting.total, before.workers[0].runs) == (0, 0, [])
    ids = [queued(client, seed) for seed in range(HEAD + 2)]
    claim = lifecycle.claim(ids[0], worker="a:1", lease_s=60)
    assert claim is not None
    now = activity(client)
    assert now.revision > before.revision and now.active == HEAD + 2
    assert [item.id for item in now.waiting.items] == ids[1 : HEAD + 1] and now.waiting.total == HEAD + 1
    assert now.waiting.items == [
        item.model_copy(update={"waiting_s": mine.waiting_s, "starts_in_s": mine.starts_in_s})
        for item, mine in zip(queue(client).items, now.waiting.items, strict=False)
    ]
    assert [item.seed for item in now.waiting.items] == list(range(1, HEAD + 1))
    (held,) = now.workers[0].runs
    assert (held.id, held.seed, held.progress and held.progress.phase) == (ids[0], 0, "starting")

    lifecycle.record(claim, Progress(epoch=1, max_epochs=2, step=3, steps=9))
    assert activity(client).workers == now.workers, "within the second all are told the same"
    clock += LOOK_S
    later = activity(client)
    assert later.revision == now.revision, "progress is no reason to read a list again"
    assert later.workers[0].runs[0].progress == held.progress.model_copy(
        update={"phase": "training", "epoch": 1, "max_epochs": 2, "step": 3, "steps": 9}
    )
    client.post(f"/api/v1/runs/{ids[1]}/cancel")
    assert activity(client).waiting.items[0].id == ids[2], "one's own act shows at once"


def test_what_a_run_will_compute_is_worked_out_once(client: TestClient, monkeypatch: pytest.MonkeyPatch) -> None:
    worked = []
    real = Estimator._operations
    monkeypatch.setattr(Estimator, "_operations", lambda self, config: worked.append(config) or real(self, config))
    first = [queued(client, seed) for seed in range(3)]
    before = queue(client)
    assert len(worked) == 3 and {item.id for item in before.items} == set(first)
    queued(client, 9)
    assert [item.run_s for item in queue(client).items[:3]] == [item.run_s for item in before.items]
    assert len(worked) == 4
    monkeypatch.setattr("backend.catalog.estimate.MOST_KEPT", 4)  # and no more are kept than so many
    queued(client, 10)
    assert queue(client).total == len(context_of(client).operations) == 5


def test_an_empty_queue_ends_at_once(client: TestClient, lifecycle: Lifecycle) -> None:
    lifecycle.worker_seen("a:1", queue="cpu", slots=1, busy=0)
    assert queue(client) == WaitingRuns(queue="cpu", slots=1, total=0, ends_in_s=0.0, items=[])
