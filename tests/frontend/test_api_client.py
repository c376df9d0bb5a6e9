"""The client's promises: typed answers, ApiProblem for a refusal, ApiDown for silence, nothing else."""

from __future__ import annotations

import socket
import time

import httpx
import pytest

from core.request_ids import GOOD
from core.schemas.problem import Problem
from core.schemas.request import RunRequest
from core.schemas.runs import RunPage
from frontend.client import api as client_api
from frontend.client import connection
from frontend.client.api import ApiDown, ApiProblem, Client

EMPTY = RunPage(items=[], next_cursor=None, total=0)


def client(handler, token=lambda: "token") -> Client:
    return Client("http://api:8000/", token, transport=httpx.MockTransport(handler))


def answer(model, status=200) -> httpx.Response:
    return httpx.Response(status, content=model.model_dump_json())


def test_the_token_goes_into_the_header_and_nowhere_else():
    seen = []

    def handler(request):
        seen.append(request)
        return answer(EMPTY)

    assert client(handler).runs(state=["queued", "running"], limit=5, dataset=None) == EMPTY
    assert seen[0].headers["authorization"] == "Bearer token"
    assert str(seen[0].url) == "http://api:8000/api/v1/runs?limit=5&state=queued&state=running"


def test_a_new_token_is_read_once_when_the_old_one_is_refused():
    tokens = iter(["old", "new"])
    seen = []

    def handler(request):
        seen.append(request.headers["authorization"])
        return (
            answer(EMPTY) if len(seen) == 1 or request.headers["authorization"] == "Bearer new" else httpx.Response(401)
        )

    made = client(handler, lambda: next(tokens))
    made.runs()
    made.runs()
    assert seen == ["Bearer old", "Bearer old", "Bearer new"]


def test_a_refusal_keeps_its_words_and_its_field():
    problem = Problem(
        type="about:blank",
        title="Bad value",
        status=422,
        detail="training.lr is -1; it must be above 0.",
        code="bad-value",
        fields={"field": "training.lr", "value": -1, "expected": "above 0"},
    )
    with pytest.raises(ApiProblem) as caught:
        client(lambda request: answer(problem, 422)).preview(RunRequest())
    assert (caught.value.title, caught.value.detail) == ("Bad value", "training.lr is -1; it must be above 0.")
    assert caught.value.concerns("training.lr") and caught.value.concerns("lr")
    assert not caught.value.concerns("training.batch_size")


def test_each_call_has_an_id_of_its_own_and_a_fault_of_the_api_is_quoted_by_it(monkeypatch):
    seen, said = [], []

    def handler(request):
        seen.append(request.headers["x-request-id"])
        told = {"type": "x", "title": "Internal error", "detail": "It broke.", "code": "internal"}
        return answer(Problem(status=500, request_id=seen[-1], **told), 500)

    asking = client(handler)
    for _ in range(2):
        with pytest.raises(ApiProblem) as caught:
            asking.runs()
    assert len(set(seen)) == 2 and all(GOOD.fullmatch(one) for one in seen)
    monkeypatch.setattr(connection.st, "error", lambda text, icon: said.append(text))
    connection.show_problem(caught.value)
    caught.value.status = 422
    connection.show_problem(caught.value)
    assert f"`{seen[-1]}`" in said[0]
    assert seen[-1] not in said[1]


@pytest.mark.parametrize(
    "error", [httpx.ConnectError("refused"), httpx.ReadTimeout("slow"), httpx.RemoteProtocolError("cut")]
)
def test_silence_is_api_down(error):
    def handler(request):
        raise error

    with pytest.raises(ApiDown):
        client(handler).catalog()
    assert client(handler).answers() is False


@pytest.mark.parametrize("content", [b"<html>another program</html>", b'{"items": 3}', b""])
def test_an_answer_that_cannot_be_read_is_a_problem_and_no_traceback(content):
    with pytest.raises(ApiProblem, match="different versions"):
        client(lambda request: httpx.Response(200, content=content)).runs()


def test_a_refusal_without_words_is_still_a_problem():
    with pytest.raises(ApiProblem, match="status 502"):
        client(lambda request: httpx.Response(502, content=b"bad gateway")).catalog()


def test_an_unwell_api_still_tells_what_is_unwell():
    body = b'{"ok": false, "database": "ok", "broker": "The queue does not answer.", "workers": []}'
    assert client(lambda request: httpx.Response(503, content=body)).ready().broker == "The queue does not answer."


@pytest.mark.parametrize("name", ["../shares", "a/b", "a?x=1", "", "%2e%2e", "a" * 65, "é"])
def test_an_id_from_the_address_bar_reaches_no_other_endpoint(name):
    def handler(request):
        raise AssertionError(f"asked {request.url}")

    with pytest.raises(ApiProblem, match="There is nothing with id"):
        client(handler).run(name)


def test_a_person_is_led_to_the_address_that_browsers_reach():
    asked = []

    def handler(request):
        asked.append(request.url.host)
        return httpx.Response(200, json={"status": "ok"})

    made = Client(
        "http://api:8000", lambda: "t", public_url="https://lab.example/", transport=httpx.MockTransport(handler)
    )
    assert made.answers() and asked == ["api"]
    assert made.docs_url == "https://lab.example/api/v1/openapi.json"
    assert made.absolute("/api/v1/x") == "https://lab.example/api/v1/x"
    assert made.absolute("https://lab.example/spikes/api/v1/x") == "https://lab.example/spikes/api/v1/x"


def silent_server():
    """Takes connections and never answers, as a process that was stopped in its tracks."""
    listener = socket.create_server(("127.0.0.1", 0))
    return listener, Client(f"http://127.0.0.1:{listener.getsockname()[1]}", lambda: "token")


def test_an_api_that_hangs_is_down_within_ten_seconds(monkeypatch):
    limits = client_api.FIRST_TIMEOUT.read + client_api.LIVE_TIMEOUT.read
    assert limits + client_api.LIVE_TIMEOUT.connect < 10
    monkeypatch.setattr(client_api, "FIRST_TIMEOUT", httpx.Timeout(0.2))
    monkeypatch.setattr(client_api, "LIVE_TIMEOUT", httpx.Timeout(0.2))
    listener, hung = silent_server()
    with listener:
        begun = time.monotonic()
        with pytest.raises(ApiDown):
            hung.runs()
        with pytest.raises(ApiDown):
            hung.preview(RunRequest())
        assert not hung.answers()
        assert time.monotonic() - begun < 5
        hung.close()


def test_an_api_that_is_only_slow_is_waited_for_and_what_changes_something_is_sent_once():
    asked = []

    def handler(request):
        asked.append((request.method, request.url.path))
        if request.method == "GET" and asked.count(asked[-1]) == 1 and not request.url.path.endswith("live"):
            raise httpx.ReadTimeout("slow")
        if request.method == "POST":
            raise httpx.ReadTimeout("slow")
        return answer(EMPTY)

    slow = client(handler)
    assert slow.runs() == EMPTY
    assert [path.rpartition("/")[2] for _, path in asked] == ["runs", "live", "runs"]
    asked.clear()
    with pytest.raises(ApiDown):
        slow.cancel("abc")
    assert asked == [("POST", "/api/v1/runs/abc/cancel")]


def test_a_large_answer_that_came_before_is_not_read_again():
    told = [EMPTY, EMPTY, RunPage(items=[], next_cursor="c", total=7), EMPTY]
    pages = [client(lambda _: answer(told[n])).runs() for n in range(len(told))]  # noqa: B023, each asks at once
    assert pages == told and pages[0] is pages[1] is pages[3]
    with pytest.raises(ApiProblem, match="different versions") as caught:
        client(lambda _: httpx.Response(200, content=b'{"items": 3}')).runs()
    assert caught.value.code == "unreadable"
