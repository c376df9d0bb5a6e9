"""A config is built or parsed once in each process that it comes to, and travels as JSON between them."""

from __future__ import annotations

import pytest
from fastapi.testclient import TestClient
from parsing import watched

from backend.store.lifecycle import Lifecycle
from core.schemas.preview import Preview
from core.schemas.run import RunConfig
from core.schemas.training import TrainRequest
from frontend.client.api import Made

TINY = {"mask": "F9", "dataset": "digits", "overrides": {"training.max_epochs": 1, "training.train_limit": 32}}


@pytest.fixture
def made(monkeypatch: pytest.MonkeyPatch) -> list[RunConfig]:
    return watched(monkeypatch)


def test_a_preview_builds_one_config_in_the_api_and_one_in_the_dashboard(
    client: TestClient, made: list[RunConfig]
) -> None:
    answer = client.post("/api/v1/preview", json=TINY)
    assert (answer.status_code, len(made)) == (200, 1)
    Preview.model_validate_json(answer.content)
    assert len(made) == 2


def test_from_the_click_to_the_first_step_a_config_is_parsed_three_times(
    client: TestClient, lifecycle: Lifecycle, made: list[RunConfig]
) -> None:
    answer = client.post("/api/v1/runs", json=TINY)
    run_id = Made.model_validate_json(answer.content).id
    assert (answer.status_code, len(made)) == (201, 1)  # by the API; the page wants the id alone
    claim = lifecycle.claim(worker="w", lease_s=60, known=lifecycle.next_run())
    assert claim.run_id == run_id
    order = TrainRequest(config=claim.stored, out=claim.out, data=claim.out).model_dump_json()
    assert len(made) == 2  # by the worker, which reckons the room that it needs
    trained = RunConfig.model_validate(TrainRequest.model_validate_json(order).config)
    assert len(made) == 3 and trained == claim.config  # by the trainer
