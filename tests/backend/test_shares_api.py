"""A share shows one run to whoever holds its link, and nothing else to anybody."""

from __future__ import annotations

import hashlib
import json
import re
import time
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import pytest
from fastapi.testclient import TestClient
from sqlalchemy import text as sql
from sqlalchemy import update

from backend.app import create_app
from backend.store.db import Database, utc_now
from backend.store.models import ShareRow
from core.schemas.share import NewShare, SharedRun, SharePage
from core.settings import Settings


def share(client: TestClient, run_id: str, **body: object) -> NewShare:
    answer = client.post("/api/v1/shares", json={"run_id": run_id, **body})
    assert answer.status_code == 201, answer.text
    return NewShare.model_validate_json(answer.content)


def as_stranger(client: TestClient, path: str, **extra: object):
    token = client.headers.pop("authorization")
    try:
        return client.get(path, **extra)
    finally:
        client.headers["authorization"] = token


def test_a_share_shows_its_run_without_any_id_path_host_or_token(finisher, client: TestClient) -> None:
    cnn, snn = finisher.succeeded("cnn"), finisher.succeeded("snn")
    made = share(client, snn)
    answer = as_stranger(client, f"/api/v1/shared/{made.token}")
    assert answer.status_code == 200
    shown = SharedRun.model_validate_json(answer.content)
    run = client.get(f"/api/v1/runs/{snn}").json()
    assert shown.summary.model_dump(mode="json") == run["summary"] and shown.label == run["label"]
    assert shown.metrics.model_dump() == client.get(f"/api/v1/runs/{snn}/metrics").json()
    assert shown.layers.model_dump(mode="json") == client.get(f"/api/v1/runs/{snn}/layers").json()
    assert shown.confusion.model_dump() == client.get(f"/api/v1/runs/{snn}/confusion").json()
    assert shown.twin is not None and shown.twin.label == "CNN-SqueezeNet F9"
    assert shown.examples.twin_run_id == "twin" and shown.examples.which == "disagree"
    assert {item.answer.run_id for item in shown.examples.items} == {"this"}
    context = client.app.state.context
    secrets = [snn, cnn, made.id, made.token, context.token, str(context.settings.home), "w@host", "127.0.0.1"]
    page = as_stranger(client, f"/s/{made.token}")
    for text in (answer.text, page.text):
        assert not [secret for secret in secrets if secret in text]


def test_a_share_is_sent_with_headers_that_keep_it_private(finisher, client: TestClient) -> None:
    made = share(client, finisher.succeeded())
    for path in (f"/api/v1/shared/{made.token}", f"/s/{made.token}", "/api/v1/shared/nothing", "/s/nothing"):
        headers = as_stranger(client, path).headers
        assert headers["x-robots-tag"] == "noindex"
        assert headers["referrer-policy"] == "no-referrer"
        assert headers["cache-control"] == "no-store"
        assert "frame-ancestors 'none'" in headers["content-security-policy"]


def test_the_page_opens_and_its_assets_load_without_a_token(finisher, client: TestClient) -> None:
    made = share(client, finisher.succeeded())
    page = as_stranger(client, f"/s/{made.token}")
    assert page.status_code == 200 and page.headers["content-type"].startswith("text/html")
    assert "SNN-SqueezeNet" in page.text
    assets = set(re.findall(r"""(?:src|href)="(assets/[^"]+)\"""", page.text)) | set(
        re.findall(r'"(assets/plotly[^"]+)"', page.text)
    )
    assert len(assets) == 3  # style, script, Plotly
    for asset in assets:
        answer = as_stranger(client, f"/s/{asset}")
        assert answer.status_code == 200 and "immutable" in answer.headers["cache-control"]
    assert as_stranger(client, "/s/assets/page.py").status_code == 404
    assert as_stranger(client, "/s/assets/..%2Fpage.py").status_code == 404


def test_the_page_and_its_assets_travel_packed_to_a_reader_who_takes_that(finisher, client: TestClient) -> None:
    made = share(client, finisher.succeeded())
    page = f"/s/{made.token}"
    plotly = "/s/" + re.search(r'"(assets/plotly[^"]+)"', as_stranger(client, page).text).group(1)
    for address in (page, plotly):
        packed = client.get(address, headers={"Authorization": "", "Accept-Encoding": "gzip"})
        plain = client.get(address, headers={"Authorization": "", "Accept-Encoding": "identity"})
        assert packed.headers["content-encoding"] == "gzip" and "content-encoding" not in plain.headers
        assert packed.headers["vary"] == plain.headers["vary"] == "Accept-Encoding"
        assert packed.content == plain.content  # the client unpacks
        assert int(packed.headers["content-length"]) < len(plain.content) / 2


@pytest.mark.sqlite
def test_the_address_carries_a_token_of_256_bits_of_which_only_the_hash_is_kept(
    finisher, client: TestClient, database: Database
) -> None:
    made = share(client, finisher.succeeded())
    assert made.url == f"http://127.0.0.1:8000/s/{made.token}"
    assert len(made.token) == 43  # 256 bits at 6 a character
    with database.read() as session:
        row = session.get_one(ShareRow, made.id)
        assert row.token_hash == hashlib.sha256(made.token.encode()).hexdigest()
    listed = client.get("/api/v1/shares")
    assert made.token not in listed.text
    stored = b"".join(path.read_bytes() for path in client.app.state.context.settings.home.glob("spikefront.db*"))
    assert row.token_hash.encode() in stored and made.token.encode() not in stored


def test_views_are_counted_and_listed(finisher, client: TestClient) -> None:
    run_id = finisher.succeeded()
    made = share(client, run_id, expires_in_days=None, with_twin=False)
    as_stranger(client, f"/api/v1/shared/{made.token}")
    as_stranger(client, f"/s/{made.token}")
    (listed,) = SharePage.model_validate_json(client.get("/api/v1/shares").content).items
    assert (listed.id, listed.run_id, listed.views, listed.expires_at) == (made.id, run_id, 2, None)
    assert listed.last_viewed_at is not None and listed.last_viewed_at >= listed.created_at


def views_of(client: TestClient, share_id: str) -> int:
    shares = SharePage.model_validate_json(client.get("/api/v1/shares").content).items
    return next(item.views for item in shares if item.id == share_id)


def test_a_link_opens_at_once_while_somebody_else_writes_and_its_views_are_counted_later(
    finisher, client: TestClient, database: Database
) -> None:
    made, other = (share(client, finisher.succeeded(kind)) for kind in ("snn", "cnn"))
    as_stranger(client, f"/s/{made.token}")  # what drawing loads is loaded
    with database.write() as session:
        session.execute(sql("SELECT 1"))  # the first statement takes the turn to write
        started = time.monotonic()
        for path in (f"/api/v1/shared/{made.token}", f"/s/{made.token}", f"/api/v1/shared/{made.token}"):
            assert as_stranger(client, path).status_code == 200
        assert time.monotonic() - started < 3, "it does not wait for its turn"
        assert views_of(client, made.id) == 4
        with database.read() as reading:
            assert reading.get_one(ShareRow, made.id).views == 1
    as_stranger(client, f"/api/v1/shared/{other.token}")  # the next view of any link writes what waits
    with database.read() as reading:
        assert [reading.get_one(ShareRow, one.id).views for one in (made, other)] == [4, 1]
    assert views_of(client, made.id) == 4


def test_views_that_still_wait_when_the_api_stops_are_written(
    finisher, client: TestClient, database: Database, settings: Settings
) -> None:
    made = share(client, finisher.succeeded())
    with TestClient(create_app(settings), base_url="http://127.0.0.1:8000") as other, database.write() as session:
        session.execute(sql("SELECT 1"))
        assert other.get(f"/api/v1/shared/{made.token}").status_code == 200
        session.rollback()
    with database.read() as reading:
        assert reading.get_one(ShareRow, made.id).views == 1


def test_of_many_readers_at_once_every_view_is_counted_and_none_is_refused(finisher, client: TestClient) -> None:
    made = share(client, finisher.succeeded())
    with ThreadPoolExecutor(12) as pool:
        codes = list(pool.map(lambda _: client.get(f"/api/v1/shared/{made.token}").status_code, range(36)))
    assert codes == [200] * 36
    assert views_of(client, made.id) == 36


@pytest.mark.parametrize("end", ["never", "revoked", "expired", "deleted"])
def test_a_link_that_leads_nowhere_looks_the_same_whatever_the_reason(
    finisher, client: TestClient, database: Database, end: str
) -> None:
    run_id = finisher.succeeded()
    made = share(client, run_id)
    token = made.token
    if end == "never":
        token = "x" * 43
    elif end == "revoked":
        assert client.delete(f"/api/v1/shares/{made.id}").status_code == 204
        assert client.delete(f"/api/v1/shares/{made.id}").status_code == 204
    elif end == "expired":
        with database.write() as session:
            past = {"created_at": utc_now() - timedelta(days=2), "expires_at": utc_now() - timedelta(seconds=1)}
            session.execute(update(ShareRow).values(**past))
    else:
        assert client.delete(f"/api/v1/runs/{run_id}").status_code == 204
    gone = as_stranger(client, f"/api/v1/shared/{token}")
    assert gone.status_code == 404
    said = json.loads(gone.text.replace(token, ""))
    assert re.fullmatch("[0-9a-f]{16}", said.pop("request_id"))  # drawn for each call
    assert said == {
        "type": "urn:spikefront:problem:share-gone",
        "title": "Link gone",
        "status": 404,
        "detail": "This link does not lead anywhere: it has expired, was withdrawn or never existed.",
        "instance": "/api/v1/shared/",
        "code": "share-gone",
        "fields": {},
    }
    page, never = as_stranger(client, f"/s/{token}"), as_stranger(client, "/s/never-was-one")
    assert (page.status_code, page.text) == (404, never.text)
    if end in ("revoked", "expired"):
        (listed,) = SharePage.model_validate_json(client.get("/api/v1/shares").content).items
        assert listed.views == 0 and (listed.revoked_at is not None) == (end == "revoked")


def test_what_was_shared_does_not_grow_and_a_twin_is_shown_only_if_asked_for(finisher, client: TestClient) -> None:
    snn = finisher.succeeded("snn")
    before = share(client, snn)
    finisher.succeeded("cnn")
    without, with_twin = share(client, snn, with_twin=False), share(client, snn)
    shown = {
        made.id: SharedRun.model_validate_json(as_stranger(client, f"/api/v1/shared/{made.token}").content)
        for made in (before, without, with_twin)
    }
    assert shown[before.id].twin is None and shown[without.id].twin is None
    assert all(item.twin_answer is None for item in shown[without.id].examples.items)
    assert shown[with_twin.id].twin is not None


def test_a_deleted_twin_leaves_the_share_standing(finisher, client: TestClient) -> None:
    snn, cnn = finisher.succeeded("snn"), finisher.succeeded("cnn")
    made = share(client, snn)
    client.delete(f"/api/v1/runs/{cnn}")
    shown = SharedRun.model_validate_json(as_stranger(client, f"/api/v1/shared/{made.token}").content)
    assert shown.twin is None and shown.examples.twin_run_id is None


def test_only_a_succeeded_run_can_be_shared(finisher, client: TestClient) -> None:
    claim = finisher.claimed()
    answer = client.post("/api/v1/shares", json={"run_id": claim.run_id})
    assert (answer.status_code, answer.json()["code"]) == (409, "not-ready")
    assert client.post("/api/v1/shares", json={"run_id": "nobody"}).status_code == 404
    for days in (0, -1, 3651):
        assert client.post("/api/v1/shares", json={"run_id": "x", "expires_in_days": days}).status_code == 422


def test_a_link_from_before_there_were_other_kinds_opens_as_it_did(finisher, client, database: Database) -> None:
    made = share(client, finisher.succeeded("snn"))
    with database.write() as session:  # as migration 0003 leaves a row of version 1
        session.execute(update(ShareRow).values(request=None, label=""))
    shown = SharedRun.model_validate_json(as_stranger(client, f"/api/v1/shared/{made.token}").content)
    assert shown.label == "SNN-SqueezeNet F9" and shown.examples.items and not shown.files
    (listed,) = SharePage.model_validate_json(client.get("/api/v1/shares").content).items
    assert (listed.type, listed.label, listed.run_id, listed.frozen) == ("run", shown.label, made.run_id, False)


def test_a_share_token_opens_no_other_route(finisher, client: TestClient) -> None:
    run_id = finisher.succeeded()
    made = share(client, run_id)
    closed = 0
    for path, methods in client.get("/api/v1/openapi.json").json()["paths"].items():
        for method in methods:
            if path.startswith(("/api/v1/health/", "/api/v1/shared/{token}", "/api/v1/sign-in")):
                continue
            address = path.replace("{run_id}", run_id).replace("{name}", "counts.json").replace("{share_id}", made.id)
            answer = client.request(method, address, headers={"Authorization": f"Bearer {made.token}"})
            assert answer.status_code == 401, f"{method} {address}"
            closed += 1
    assert closed >= 20
    assert as_stranger(client, f"/api/v1/shared/{made.token}").status_code == 200
    assert client.get(f"/api/v1/runs/{run_id}").status_code == 200  # nothing of it took effect
