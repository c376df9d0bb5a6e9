"""Server-sent events over a real connection: live, resumable, and over when the run is."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator

import httpx
import pytest
from fastapi import routing
from people import PASSWORD, bearer, cheap_passwords
from sqlalchemy import update

from backend.runs import events
from backend.store.db import Database, utc_now
from backend.store.lifecycle import Claim, Lifecycle
from backend.store.models import AccessTokenRow, SessionRow
from core.schemas.results import EpochDone, Progress, RunError


def read(lines: Iterator[str]) -> Iterator[tuple[int, str, dict]]:
    """(id, event, data) of each event, 0 for none; comments are passed on as (0, "comment", {})."""
    fields: dict[str, str] = {}
    for line in lines:
        if line.startswith(":"):
            yield 0, "comment", {}
        elif line:
            name, _, value = line.partition(": ")
            fields[name] = value
        elif "data" in fields:
            yield int(fields.get("id", 0)), fields["event"], json.loads(fields["data"])
            fields = {}


def epoch(number: int) -> EpochDone:
    return EpochDone(
        epoch=number, lr=0.1, train_loss=1, train_accuracy=0.5, validation_loss=1, validation_accuracy=0.5,
        firing_rate=0.1, wall_s=1, is_best=True,
    )  # fmt: skip


@pytest.fixture
def claim(served: httpx.Client, lifecycle: Lifecycle) -> Claim:
    run = served.post("/api/v1/runs", json={"mask": "F9"}).json()
    claimed = lifecycle.claim(run["id"], worker="w", lease_s=60)
    assert claimed is not None
    return claimed


def test_a_follower_sees_each_event_as_it_comes_until_the_run_ends(
    served: httpx.Client, lifecycle: Lifecycle, claim: Claim
) -> None:
    with served.stream("GET", f"/api/v1/runs/{claim.run_id}/events") as answer:
        assert answer.headers["content-type"].startswith("text/event-stream")
        assert "no-store" in answer.headers["cache-control"]
        assert answer.headers["x-accel-buffering"] == "no"  # a proxy shall not hold events back
        stream = read(answer.iter_lines())
        assert [next(stream)[2]["state"] for _ in range(2)] == ["queued", "running"]
        lifecycle.record(claim, Progress(epoch=1, max_epochs=2, step=1, steps=4, loss=float("nan")))
        first = next(stream)
        assert first[1] == "progress" and first[2]["step"] == 1 and first[2]["loss"] == "NaN"
        lifecycle.record(claim, epoch(1))
        seen = next(stream)
        assert seen[1:] == ("epoch", json.loads(epoch(1).model_dump_json()))
        lifecycle.fail(claim, RunError(code="error", message="It broke."))
        last = next(stream)
        assert last[1:] == ("state", {"type": "state", "state": "failed"})
        assert list(stream) == []  # the server ended the stream
        assert last[0] > seen[0] > first[0] == 0  # progress has no id


def test_a_reader_that_comes_back_misses_nothing_and_sees_nothing_twice(
    served: httpx.Client, lifecycle: Lifecycle, claim: Claim
) -> None:
    at = f"/api/v1/runs/{claim.run_id}/events"
    for number in (1, 2):
        lifecycle.record(claim, epoch(number))
    with served.stream("GET", at) as answer:  # the connection breaks after the first epoch
        stream = read(answer.iter_lines())
        seen = [next(stream) for _ in range(3)]
    lifecycle.record(claim, epoch(3))
    lifecycle.cancel(claim.run_id)
    lifecycle.cancelled(claim)
    with served.stream("GET", at, headers={"Last-Event-ID": str(seen[-1][0])}) as answer:
        rest = list(read(answer.iter_lines()))
    told = [data.get("epoch") or data.get("state") for _, _, data in seen + rest]
    assert told == ["queued", "running", 1, 2, 3, "cancelling", "cancelled"]
    ids = [event_id for event_id, _, _ in seen + rest]
    assert ids == sorted(set(ids))
    beyond = served.get(at, headers={"Last-Event-ID": str(ids[-1])})
    assert (beyond.status_code, beyond.content) == (204, b"")  # an EventSource does not come back after this


@pytest.mark.parametrize("last", ["abc", "-1", "1.5", "9" * 30])
def test_a_last_id_that_is_no_id_is_refused(served: httpx.Client, claim: Claim, last: str) -> None:
    answer = served.get(f"/api/v1/runs/{claim.run_id}/events", headers={"Last-Event-ID": last})
    assert (answer.status_code, answer.json()["fields"]["field"]) == (422, "Last-Event-ID")


def test_a_quiet_run_is_told_to_be_alive(
    served: httpx.Client, claim: Claim, lifecycle: Lifecycle, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert routing._PING_INTERVAL == 15.0  # FastAPI's own beat, as promised to readers
    monkeypatch.setattr(routing, "_PING_INTERVAL", 0.05)
    monkeypatch.setattr(events, "POLL_S", 0.02)
    with served.stream("GET", f"/api/v1/runs/{claim.run_id}/events") as answer:
        kinds = []
        for _, kind, _ in read(answer.iter_lines()):
            kinds.append(kind)
            if kinds.count("comment") == 2:
                break
    assert kinds[:2] == ["state", "state"]


def test_a_deleted_run_ends_its_stream(served: httpx.Client, lifecycle: Lifecycle) -> None:
    run = served.post("/api/v1/runs", json={"mask": "F9"}).json()
    with served.stream("GET", f"/api/v1/runs/{run['id']}/events") as answer:
        stream = read(answer.iter_lines())
        assert next(stream)[2]["state"] == "queued"
        threading.Thread(
            target=lambda: (served.post(f"/api/v1/runs/{run['id']}/cancel"), served.delete(f"/api/v1/runs/{run['id']}"))
        ).start()
        assert [data.get("state") for _, _, data in stream] in ([], ["cancelled"])


def ended_by(what: str, served: httpx.Client, database: Database, token_id: str, shown: dict[str, str]) -> None:
    past = {"expires_at": utc_now()}
    match what:
        case "token revoked":
            served.delete(f"/api/v1/tokens/{token_id}").raise_for_status()
        case "account disabled":
            served.patch("/api/v1/accounts/ann", json={"disabled": True}).raise_for_status()
        case "signed out":
            served.post("/api/v1/sign-out", headers=shown).raise_for_status()
        case "another password":
            served.patch("/api/v1/accounts/ann", json={"password": PASSWORD + "!"}).raise_for_status()
        case "token expired":
            with database.write() as session:
                session.execute(update(AccessTokenRow).values(past))
        case "session expired":
            with database.write() as session:
                session.execute(update(SessionRow).values(past))


@pytest.mark.parametrize(
    ("what", "by"),
    [
        ("token revoked", "token"),
        ("token expired", "token"),
        ("account disabled", "token"),
        ("account disabled", "session"),
        ("signed out", "session"),
        ("session expired", "session"),
        ("another password", "session"),
    ],
)
def test_a_stream_ends_with_the_credential_that_opened_it(
    what: str,
    by: str,
    served: httpx.Client,
    claim: Claim,
    lifecycle: Lifecycle,
    database: Database,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """And the installation's own, and whoever else reads, go on."""
    assert events.LOOK_S <= 5  # seconds, as the docs promise
    monkeypatch.setattr(events, "LOOK_S", 0.1)
    cheap_passwords(monkeypatch)
    served.post("/api/v1/accounts", json={"name": "ann", "role": "viewer", "password": PASSWORD}).raise_for_status()
    made = served.post("/api/v1/tokens", json={"name": "t", "account": "ann"}).json()
    session = served.post("/api/v1/sign-in", json={"name": "ann", "password": PASSWORD}).json()["token"]
    shown = bearer(made["token"] if by == "token" else session)
    at = f"/api/v1/runs/{claim.run_id}/events"
    with served.stream("GET", at, headers=shown) as ours, served.stream("GET", at) as owners:
        stream, other = read(ours.iter_lines()), read(owners.iter_lines())
        assert [next(stream)[2]["state"] for _ in range(2)] == ["queued", "running"]
        time.sleep(0.4)
        lifecycle.record(claim, epoch(1))
        assert next(stream)[1] == "epoch"  # while it is good, nothing ends
        ended_by(what, served, database, made["id"], shown)
        began = time.monotonic()
        assert list(stream) == [] and time.monotonic() - began < 10
        lifecycle.record(claim, epoch(2))
        assert [next(other)[1] for _ in range(4)] == ["state", "state", "epoch", "epoch"]
    again = served.get(at, headers=shown)
    assert (again.status_code, again.json()["code"]) == (401, "unauthorised")
