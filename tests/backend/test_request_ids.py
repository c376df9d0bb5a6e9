"""One id from a click to the trainer's lines."""

import json
import logging
import sys

import pytest
from sqlalchemy import select
from twins import TINY

from backend.store.models import RunEventRow
from core import request_ids
from core.loglines import JsonFormatter
from core.request_ids import HEADER, Marked
from core.schemas.training import TrainRequest
from worker.trainer_process import Trainer


@pytest.fixture
def lines():
    """What a process of the installation writes, as objects."""
    written = []

    class Kept(logging.Handler):
        def emit(self, record):
            written.append(json.loads(JsonFormatter().format(record)))

    handler = Kept()
    handler.addFilter(Marked())
    root = logging.getLogger()
    before = root.level
    root.setLevel(logging.INFO)
    root.addHandler(handler)
    yield written
    root.removeHandler(handler)
    root.setLevel(before)


def test_an_id_goes_from_the_call_into_its_lines_the_runs_event_and_the_workers_lines(
    client, lifecycle, lines, database
):
    answer = client.post("/api/v1/runs", json=TINY, headers={HEADER: "click-1"})
    assert answer.headers[HEADER] == "click-1"
    assert [line["request_id"] for line in lines if line["event"] == "request"] == ["click-1"]
    run_id = answer.json()["id"]
    with database.read() as session:
        (event,) = session.scalars(select(RunEventRow.payload).where(RunEventRow.run_id == run_id))
    assert event == {"type": "state", "state": "queued", "request_id": "click-1"}
    request_ids.remember(run_id, None)
    assert lifecycle.claim(run_id, worker="w", lease_s=60) is not None
    (claimed,) = [line for line in lines if line["event"] == "run.claimed"]
    assert claimed["request_id"] == "click-1"
    assert request_ids.of_run(run_id) == "click-1"  # which the trainer is handed


def test_a_claim_after_a_loss_is_still_of_the_request_that_made_the_run(client, lifecycle):
    run_id = client.post("/api/v1/runs", json=TINY, headers={HEADER: "click-2"}).json()["id"]
    lifecycle.release(lifecycle.claim(run_id, worker="w", lease_s=60))
    request_ids.remember(run_id, None)
    lifecycle.claim(run_id, worker="w", lease_s=60)
    assert request_ids.of_run(run_id) == "click-2"


def test_a_problem_names_the_request_and_a_bad_id_is_replaced(client):
    refused = client.get("/api/v1/runs/nothing", headers={HEADER: "abc"})
    assert (refused.status_code, refused.json()["request_id"]) == (404, "abc")
    for bad in ("", "a b", "x" * 65, 'a"b', "\u00e9".encode().decode("latin-1"), "-x"):
        answer = client.get("/api/v1/runs/nothing", headers={HEADER: bad.encode("latin-1")})
        assert request_ids.GOOD.fullmatch(answer.headers[HEADER])
        assert answer.json()["request_id"] == answer.headers[HEADER] != bad


def test_what_refuses_at_the_gate_names_it_too(client):
    refused = client.get("/api/v1/runs", headers={"Authorization": "Bearer no", HEADER: "abc"})
    assert (refused.status_code, refused.json()["request_id"]) == (401, "abc")


def test_lines_of_no_request_have_no_id_and_a_trainers_all_have_its_own():
    record = logging.makeLogRecord({"msg": "run.started"})
    Marked().filter(record)
    assert not hasattr(record, "request_id")
    Marked(run_id="r1", request_id="q1").filter(record)
    assert (record.run_id, record.request_id) == ("r1", "q1")


def test_a_process_forgets_the_oldest_runs(monkeypatch):
    monkeypatch.setattr(request_ids, "MOST", 2)
    for number in range(4):
        request_ids.remember(f"forgotten-{number}", "q")
    assert request_ids.of_run("forgotten-0") is None
    assert request_ids.of_run("forgotten-3") == "q"


def test_a_trainer_is_handed_the_request_of_its_run(tmp_path):
    out = tmp_path / "run-1"
    out.mkdir()
    request_ids.remember("run-1", "click-3")
    echo = "import sys; sys.stderr.write(sys.stdin.readline())"
    trainer = Trainer(env={}, argv=[sys.executable, "-c", echo])
    trainer.begin(TrainRequest(config={}, out=out, data=tmp_path))
    trainer.end(grace_s=60.0)
    trainer.remaining_events()
    assert TrainRequest.model_validate_json("".join(trainer.last_words())).request_id == "click-3"
