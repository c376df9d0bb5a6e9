"""Who trains and what waits."""

from __future__ import annotations

from datetime import timedelta

import pytest
from fastapi.testclient import TestClient

from backend.store.db import Database, utc_now
from backend.store.lifecycle import Lifecycle
from backend.store.models import RunRow, WorkerRow
from backend.workers.service import _starts
from core.schemas.preview import Preview
from core.schemas.workers import WaitingRuns, Workers


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

    lifecycle.worker_seen("g:1", queue="gpu", slots=1, busy=0)  # from now on runs go there
    assert (queue(client).queue, queue(client).slots) == ("gpu", 1)


def test_a_waiting_run_whose_data_set_was_taken_away_does_not_hide_the_queue(
    client: TestClient, database: Database
) -> None:
    ids = [queued(client, seed) for seed in range(2)]
    with database.write() as session:
        row = session.get_one(RunRow, ids[0])
        row.dataset, row.config = "pets", {**row.config, "dataset": "pets"}
    assert [(item.id, item.run_s > 0) for item in queue(client).items] == [(ids[0], False), (ids[1], True)]


def test_an_empty_queue_ends_at_once(client: TestClient, lifecycle: Lifecycle) -> None:
    lifecycle.worker_seen("a:1", queue="cpu", slots=1, busy=0)
    assert queue(client) == WaitingRuns(queue="cpu", slots=1, total=0, ends_in_s=0.0, items=[])


@pytest.mark.parametrize(
    ("busy", "slots", "lasts", "starts"),
    [
        ([], 1, [3.0, 2.0, 1.0], [0.0, 3.0, 5.0]),
        ([], 2, [3.0, 1.0, 5.0], [0.0, 0.0, 1.0]),  # the third takes the slot that is free first
        ([4.0, 1.0], 2, [2.0, 2.0], [1.0, 3.0]),
        ([4.0], 2, [9.0, 1.0], [0.0, 4.0]),
    ],
)
def test_each_run_takes_the_slot_that_is_free_first(busy, slots, lasts, starts) -> None:
    assert _starts(busy, slots, lasts) == starts
