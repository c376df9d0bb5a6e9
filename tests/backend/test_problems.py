"""Errors leave the API as RFC 9457 problems, all from one table."""

from __future__ import annotations

import json

import pytest
from fastapi.testclient import TestClient

import backend.app
from backend.problems import MEDIA_TYPE, STATUS, problem
from core.errors import SpikefrontError, UnknownName
from core.schemas.problem import Problem

MEMBERS = set(Problem.model_fields)


def every_error(base: type[SpikefrontError] = SpikefrontError) -> list[type[SpikefrontError]]:
    found = []
    for error in base.__subclasses__():
        found += [error, *every_error(error)]
    return found


def test_every_error_has_a_row() -> None:
    ours = {error for error in every_error() if error.__module__.split(".")[0] in ("core", "backend")}
    assert set(STATUS) == ours


def test_codes_are_all_different() -> None:
    codes = [error.code for error in STATUS]
    assert len(codes) == len(set(codes))


def test_a_problem_carries_the_errors_own_fields() -> None:
    response = problem(UnknownName(kind="backbone", name="sqeezenet", known=["squeezenet"]), instance="/x")
    body = json.loads(response.body)
    assert response.status_code == 422 and response.media_type == MEDIA_TYPE
    assert body["fields"] == {"kind": "backbone", "name": "sqeezenet", "near": ["squeezenet"]}
    assert body["type"] == "urn:spikefront:problem:unknown-name" and body["instance"] == "/x"


BAD_BODIES = [
    (b'{"seed": -1}', "seed", -1, "at least 0"),
    (b'{"seed": "abc"}', "seed", "abc", "a whole number"),
    (b'{"seed": NaN}', "seed", "nan", "a finite number"),
    (b'{"kind": "ann"}', "kind", "ann", "one of 'snn' or 'cnn'"),
    (b'{"sed": 1}', "sed", 1, "left out: there is no such field"),
    (b'{"seed": 1e999}', "seed", "inf", "a finite number"),
    (b'{"seed":', "body", None, "JSON (Expecting value)"),
]


@pytest.mark.parametrize(("body", "field", "value", "expected"), BAD_BODIES)
def test_a_bad_field_is_named_with_its_value_and_what_would_be_right(
    client: TestClient, body: bytes, field: str, value: object, expected: str
) -> None:
    for route in ("/api/v1/preview", "/api/v1/runs"):
        answer = client.post(route, content=body, headers={"Content-Type": "application/json"})
        assert answer.status_code == 422 and answer.headers["content-type"] == MEDIA_TYPE
        assert answer.json()["fields"]["errors"] == [{"field": field, "value": value, "expected": expected}]
        assert field in answer.json()["detail"]
        assert set(answer.json()) == MEMBERS


DOMAIN_ERRORS = [
    ({"backbone": "sqeezenet"}, "unknown-name", "Did you mean squeezenet"),
    ({"mask": "F4,F44"}, "unknown-name", "F44"),
    ({"mask": []}, "impossible-mask", "keep at least one"),
    ({"dataset": "cifar11"}, "unknown-name", "cifar10"),
    ({"recipe": "quick"}, "unknown-name", "recipe"),
    ({"overrides": {"tau": 0.5}}, "bad-value", "neuron.tau is 0.5; it must be above 1"),
    ({"overrides": {"taü": 1}}, "unknown-name", "taü"),
    ({"dataset": "\ud800"}, "unknown-name", "data set"),
    ({"mask": "\x00"}, "unknown-name", "block or mask"),
]


@pytest.mark.parametrize(("body", "code", "says"), DOMAIN_ERRORS)
def test_a_domain_error_is_a_422_that_helps(client: TestClient, body: dict, code: str, says: str) -> None:
    for route in ("/api/v1/preview", "/api/v1/runs"):
        answer = client.post(route, content=json.dumps(body), headers={"Content-Type": "application/json"})
        assert (answer.status_code, answer.json()["code"]) == (422, code), answer.text
        assert says in answer.json()["detail"]
    assert client.get("/api/v1/runs").json()["total"] == 0


@pytest.mark.parametrize(
    ("method", "path", "status", "code"),
    [
        ("GET", "/api/v1/nothing", 404, "no-such-route"),
        ("GET", "/nothing", 404, "no-such-route"),
        ("GET", "/docs", 404, "no-such-route"),
        ("PUT", "/api/v1/runs", 405, "method-not-allowed"),
        ("GET", "/api/v1/runs/nobody", 404, "not-found"),
        ("GET", "/api/v1/runs/nobody/metrics", 404, "not-found"),
        ("GET", "/api/v1/runs/nobody/events", 404, "not-found"),
        ("POST", "/api/v1/runs/nobody/cancel", 404, "not-found"),
        ("DELETE", "/api/v1/runs/nobody", 404, "not-found"),
        ("DELETE", "/api/v1/shares/nobody", 404, "not-found"),
        ("GET", "/api/v1/pareto", 422, "invalid-request"),
        ("GET", "/api/v1/pareto?dataset=digits&mode=exacd", 422, "unknown-name"),
        ("GET", "/api/v1/pareto?dataset=digits&profile=loihy", 422, "unknown-name"),
        ("GET", "/api/v1/published?dataset=mnist", 422, "unknown-name"),
        ("GET", "/api/v1/runs?limit=0", 422, "invalid-request"),
        ("GET", "/api/v1/runs?limit=201", 422, "invalid-request"),
        ("GET", "/api/v1/runs?stat=queued", 422, "invalid-request"),
        ("GET", "/api/v1/runs?state=done", 422, "invalid-request"),
        ("GET", "/api/v1/runs?mask=F44", 422, "unknown-name"),
        ("GET", "/api/v1/runs?cursor=zzz", 422, "bad-value"),
        ("GET", "/api/v1/runs?cursor=MjAzMC0wMS0wMSBh", 422, "bad-value"),
    ],
)
def test_whatever_goes_wrong_is_a_problem(client: TestClient, method: str, path: str, status: int, code: str) -> None:
    answer = client.request(method, path)
    assert (answer.status_code, answer.json()["code"]) == (status, code), answer.text
    assert answer.headers["content-type"] == MEDIA_TYPE
    assert set(answer.json()) == MEMBERS and answer.json()["status"] == status


def test_a_fault_of_ours_is_a_500_that_leaks_no_text(
    client: TestClient, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def broken(*_: object) -> None:
        raise RuntimeError("secret inner text /home/someone")

    monkeypatch.setattr(client.app.state.context.lifecycle, "cancel", broken)
    answer = client.post("/api/v1/runs/abc/cancel")
    assert (answer.status_code, answer.json()["code"]) == (500, "internal")
    assert "secret" not in answer.text and "RuntimeError" not in answer.text and "/home" not in answer.text
    assert answer.headers["x-content-type-options"] == "nosniff"
    (record,) = [record for record in caplog.records if record.message == "request.failed"]
    assert record.exc_info is not None and "secret inner text" in str(record.exc_info[1])


def test_endpoints_hold_no_try() -> None:
    import ast
    from pathlib import Path

    folder = Path(backend.app.__file__).parent
    for path in [*folder.rglob("*endpoints.py"), folder / "health.py"]:
        tree = ast.parse(path.read_text())
        for function in ast.walk(tree):
            if isinstance(function, ast.FunctionDef | ast.AsyncFunctionDef) and function.decorator_list:
                assert not any(isinstance(node, ast.Try) for node in ast.walk(function)), (
                    f"{path.name}: {function.name}"
                )
