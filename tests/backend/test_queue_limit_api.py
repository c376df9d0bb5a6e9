"""How many runs of one person may wait."""

from __future__ import annotations

import pytest
from fastapi.testclient import TestClient
from stores import at_once

from core.settings import Settings

RUNS, SWEEPS = "/api/v1/runs", "/api/v1/sweeps"
BODY = {"mask": "F9", "overrides": {"training.max_epochs": 1, "training.train_limit": 32}}
LIMIT = 3


@pytest.fixture
def settings(settings: Settings) -> Settings:
    return settings.model_copy(update={"queue_limit": LIMIT})


def submit(client: TestClient, seed: int, key: str | None = None):
    return client.post(RUNS, json={**BODY, "seed": seed}, headers={"Idempotency-Key": key} if key else {})


def refused(answer) -> dict:
    problem = answer.json()
    assert (answer.status_code, problem["code"]) == (409, "queue-full"), answer.text
    return problem


def test_one_more_than_may_wait_is_refused_and_the_answer_says_what_would_be_right(client: TestClient):
    first = [submit(client, seed, key=f"k{seed}") for seed in range(LIMIT)]
    assert [answer.status_code for answer in first] == [201] * LIMIT
    problem = refused(submit(client, 9))
    assert problem["fields"] == {"limit": 3, "waiting": 3, "wanted": 1}
    assert "SPIKEFRONT_QUEUE_LIMIT" in problem["detail"] and "cancel some" in problem["detail"]
    assert submit(client, 0, key="k0").status_code == 200  # one that was made before is no more
    run_id = first[0].json()["id"]
    refused(client.post(f"{RUNS}/{run_id}/fork", json={"seed": 5}))
    client.post(f"{RUNS}/{run_id}/cancel")
    assert submit(client, 9).status_code == 201
    refused(client.post(f"{RUNS}/{run_id}/retry"))


def test_a_sweep_above_it_makes_no_run_and_says_how_many_may_be_asked_for(client: TestClient):
    submit(client, 0)
    sweep = {"name": "seeds", "base": BODY, "axes": {"seed": [1, 2, 3]}}
    problem = refused(client.post(SWEEPS, json=sweep))
    assert "Ask for at most 2" in problem["detail"]
    assert client.get(RUNS).json()["total"] == 1
    # an equal run that waits is taken into the sweep and counts once
    assert client.post(SWEEPS, json={**sweep, "axes": {"seed": [0, 1, 2]}}).status_code == 201


def test_runs_that_train_or_have_ended_do_not_count(client: TestClient, lifecycle):
    for seed in range(LIMIT):
        submit(client, seed)
    assert lifecycle.claim(worker="w", lease_s=60) is not None
    assert submit(client, 7).status_code == 201
    refused(submit(client, 8))


def test_requests_at_once_do_not_pass_it_together(client: TestClient):
    answers = at_once(*(lambda seed=seed: submit(client, seed).status_code for seed in range(2 * LIMIT)))
    assert sorted(answers) == [201] * LIMIT + [409] * LIMIT
