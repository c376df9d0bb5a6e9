"""The client's promises: typed answers, ApiProblem for a refusal, ApiDown for silence, nothing else."""

from __future__ import annotations

import httpx
import pytest

from core.schemas.problem import Problem
from core.schemas.request import RunRequest
from core.schemas.runs import RunPage
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
