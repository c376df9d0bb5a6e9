"""Who gets in: the bearer token and nothing else, under the names of this server, with bounded bodies."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Iterator
from urllib.parse import urlsplit

import pytest
from fastapi.testclient import TestClient

from backend.app import create_app
from backend.security import MAX_BODY_BYTES, allowed_hosts, is_open
from backend.security import OPEN as SECURITY_OPEN
from backend.store.artifacts import URL_LIFETIME_S, SignedUrls
from core.errors import Unauthorised
from core.settings import Settings

OPEN = {
    ("get", "/api/v1/health/live"),
    ("get", "/api/v1/health/ready"),
    ("get", "/api/v1/sign-in"),
    ("post", "/api/v1/sign-in"),
    ("get", "/api/v1/shared/{token}"),
    ("get", "/api/v1/shared/{token}/files/{name}"),
}


def routes(client: TestClient) -> Iterator[tuple[str, str]]:
    for path, methods in client.get("/api/v1/openapi.json").json()["paths"].items():
        for method in methods:
            yield method, path


def filled(path: str) -> str:
    return re.sub(r"\{\w+\}", "x", path)


def test_every_route_but_the_open_ones_wants_the_bearer_token(client: TestClient) -> None:
    asked = set(routes(client))
    assert asked >= OPEN and len(asked) > 20
    wrong = (None, "Bearer ", "Bearer wrong", "Basic " + client.headers["authorization"].split()[1], "Bearer \u00e9")
    for method, path in asked - OPEN:
        for authorization in wrong:
            headers = {"Authorization": authorization.encode()} if authorization else {}
            client_headers = {**headers}
            answer = _bare(client, method, filled(path), client_headers)
            assert answer.status_code == 401, f"{method} {path} with {authorization!r}"
            assert answer.json()["code"] == "unauthorised"
            assert answer.headers["www-authenticate"].startswith("Bearer")


def test_the_open_routes_need_none(client: TestClient) -> None:
    assert _bare(client, "get", "/api/v1/health/live").status_code == 200
    assert _bare(client, "get", "/api/v1/health/ready").status_code in (200, 503)
    assert _bare(client, "get", "/api/v1/openapi.json").status_code == 200
    assert _bare(client, "get", "/api/v1/shared/x").json()["code"] == "share-gone"
    assert _bare(client, "get", "/s/x").status_code == 404


def test_an_unknown_address_below_api_tells_a_stranger_nothing(client: TestClient) -> None:
    assert _bare(client, "get", "/api/v1/nothing").status_code == 401
    assert _bare(client, "get", "/api/v2/runs").status_code == 401


@pytest.mark.parametrize("path", ["/api/v1/health/live/../../runs", "/api/v1//runs", "/api/v1/runs/", "/api/v1/Runs"])
def test_no_spelling_of_an_address_slips_past_the_token(client: TestClient, path: str) -> None:
    assert not is_open(path)


@pytest.mark.parametrize("address", ["runs/a%00b", "runs?q=a%00", "runs?tag=%00", "sweeps/%00", "runs/%00/metrics"])
def test_a_sign_that_no_database_looks_for_is_refused_alike_everywhere(client: TestClient, address: str) -> None:
    answer = client.get(f"/api/v1/{address}")
    assert (answer.status_code, answer.json()["code"]) == (422, "bad-value")
    assert client.get("/api/v1/runs?q=%2500").status_code == 200  # the three signs %00 themselves are text


def test_a_body_is_not_looked_at_before_the_token(client: TestClient) -> None:
    answer = _bare(client, "post", "/api/v1/runs", {"Content-Type": "application/json"}, content=b"{")
    assert answer.status_code == 401


def test_readiness_tells_names_of_workers_only_to_the_owner(client: TestClient) -> None:
    client.app.state.context.lifecycle.worker_seen("w1@laptop-of-someone", queue="cpu", slots=1, busy=0)
    assert client.get("/api/v1/health/ready").json()["workers"] == ["w1@laptop-of-someone"]
    assert _bare(client, "get", "/api/v1/health/ready").json()["workers"] == ["worker 1"]


@pytest.mark.parametrize(
    ("host", "status"),
    [
        ("127.0.0.1:8000", 200),
        ("localhost", 200),
        ("LOCALHOST:1", 200),
        ("[::1]:8000", 200),
        ("evil.example", 421),
        ("127.0.0.1.evil.example", 421),
        ("localhost@evil.example", 421),
        ("", 421),
        ("[::1", 421),
    ],
)
def test_only_names_of_this_server_are_answered_to(client: TestClient, host: str, status: int) -> None:
    for path in ("/api/v1/health/live", "/api/v1/catalog"):
        assert client.get(path, headers={"Host": host}).status_code == status


def test_the_host_of_the_api_address_is_one_of_its_names() -> None:
    settings = Settings(host="10.0.0.5", SPIKEFRONT_API_URL="https://lab.example/spikes")
    assert allowed_hosts(settings) == {"127.0.0.1", "localhost", "::1", "10.0.0.5", "lab.example"}


def test_both_what_the_server_calls_itself_and_what_browsers_call_it_are_its_names() -> None:
    settings = Settings(SPIKEFRONT_API_URL="http://api:8000", SPIKEFRONT_PUBLIC_URL="https://lab.example")
    assert allowed_hosts(settings) == {"127.0.0.1", "localhost", "::1", "api", "lab.example"}
    assert "::1" in allowed_hosts(Settings(host="::"))


def test_every_link_begins_with_what_browsers_call_the_server(settings: Settings) -> None:
    called = {"SPIKEFRONT_API_URL": "http://api:8000", "SPIKEFRONT_PUBLIC_URL": "https://lab.example/spikes"}
    app = create_app(Settings(home=settings.home, **called))
    headers = {"Authorization": f"Bearer {app.state.context.token}"}
    for base in ("http://api:8000", "https://lab.example"):
        with TestClient(app, base_url=base, headers=headers) as client:
            made = client.post("/api/v1/shares", json={"view": {"dataset": "digits", "x": "energy", "y": "accuracy"}})
            assert made.status_code == 201, made.text
            assert made.json()["url"].startswith("https://lab.example/spikes/s/")
    assert app.state.context.urls.url("run", "counts.json").startswith("https://lab.example/spikes/api/v1/runs/run/")


def test_every_answer_carries_the_headers_and_no_other_origin_is_let_in(client: TestClient) -> None:
    for path in ("/api/v1/catalog", "/api/v1/nothing", "/api/v1/runs/x", "/s/x", "/"):
        answer = client.get(path, headers={"Origin": "https://evil.example"})
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert answer.headers["x-frame-options"] == "DENY"
        assert "frame-ancestors 'none'" in answer.headers["content-security-policy"]
        assert answer.headers["referrer-policy"] == "no-referrer"
        assert not any(name.startswith("access-control") for name in answer.headers)
    preflight = client.options("/api/v1/runs", headers={"Origin": "https://evil.example"})
    assert preflight.status_code == 405


def test_a_body_above_the_bound_is_refused_announced_or_not(client: TestClient) -> None:
    too_much = b" " * (MAX_BODY_BYTES + 1)
    chunks = [too_much[:MAX_BODY_BYTES], too_much[MAX_BODY_BYTES:]]
    for content in (too_much, iter(chunks)):
        answer = client.post("/api/v1/preview", content=content, headers={"Content-Type": "application/json"})
        assert (answer.status_code, answer.json()["code"]) == (413, "body-too-large")
    fits = b"{}" + b" " * (MAX_BODY_BYTES - 2)
    for content in (fits, iter([fits[:10], fits[10:]])):
        answer = client.post("/api/v1/preview", content=content, headers={"Content-Type": "application/json"})
        assert answer.status_code == 200


def test_nobody_is_waited_for_where_anybody_may_ask(settings: Settings) -> None:
    """A body of no announced length that never comes holds no place on an open route."""
    asked, sent = create_app(settings), []

    async def never() -> dict:
        await asyncio.sleep(600)
        return {}

    async def send(message: dict) -> None:
        sent.append(message)

    for path in sorted(SECURITY_OPEN):
        scope = {
            "type": "http", "http_version": "1.1", "method": "GET", "scheme": "http", "path": path, "raw_path": path.encode(),
            "query_string": b"", "root_path": "", "client": ("127.0.0.1", 1), "server": ("127.0.0.1", 8000),
            "headers": [(b"host", b"127.0.0.1"), (b"transfer-encoding", b"chunked")],
        }  # fmt: skip
        asyncio.run(asyncio.wait_for(asked(scope, never, send), 60))
        assert sent[0]["status"] in (200, 503)


def test_a_signature_opens_one_file_of_one_run_for_a_while(monkeypatch: pytest.MonkeyPatch) -> None:
    urls = SignedUrls(token="t", public_url="http://h")
    parts = urlsplit(urls.url("run1", "counts.json"))
    query = dict(pair.split("=") for pair in parts.query.split("&"))
    expires, signature = int(query["expires"]), query["signature"]
    urls.check("run1", "counts.json", expires=expires, signature=signature)
    for run, name, when, given in (
        ("run2", "counts.json", expires, signature),
        ("run1", "config.json", expires, signature),
        ("run1", "counts.json", expires + 1, signature),
        ("run1", "counts.json", expires, signature[:-1] + ("0" if signature[-1] != "0" else "1")),
        ("run1", "counts.json", expires, "\u00e9"),
    ):
        with pytest.raises(Unauthorised):
            urls.check(run, name, expires=when, signature=given)
    with pytest.raises(Unauthorised):
        SignedUrls(token="another", public_url="http://h").check(
            "run1", "counts.json", expires=expires, signature=signature
        )
    monkeypatch.setattr("backend.store.artifacts.time.time", lambda: expires + URL_LIFETIME_S)
    with pytest.raises(Unauthorised):
        urls.check("run1", "counts.json", expires=expires, signature=signature)


def _bare(client: TestClient, method: str, path: str, headers: dict | None = None, **extra: object):
    """Ask as a stranger: without the client's own bearer token."""
    token = client.headers.pop("authorization")
    try:
        return client.request(method, path, headers=headers, **extra)
    finally:
        client.headers["authorization"] = token


def test_below_a_path_every_address_is_open_or_shut_as_without_it(settings):
    app = create_app(settings.model_copy(update={"base_path": "/sf", "allowed_hosts": ("labbox",)}))
    token = {"Authorization": f"Bearer {app.state.context.token}"}
    with TestClient(app, base_url="http://labbox") as client:
        for base in ("/sf", ""):
            assert client.get(f"{base}/api/v1/health/live").status_code == 200
            assert client.get(f"{base}/api/v1/runs").status_code == 401
            assert client.get(f"{base}/api/v1/runs", headers=token).status_code == 200
            made = client.post(f"{base}/api/v1/runs", headers=token, json={"dataset": "digits", "recipe": "smoke"})
            assert made.headers["location"] == f"/sf/api/v1/runs/{made.json()['id']}"
        assert client.get("/sfx/api/v1/health/live").status_code == 404
        assert client.get("/sf/api/v1/health/live", headers={"Host": "other"}).status_code == 421
