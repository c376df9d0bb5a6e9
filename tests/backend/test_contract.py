"""What the OpenAPI document promises: problems where they can occur, values as JSON has them, methods as they are."""

from __future__ import annotations

import json

import pytest
from fastapi.testclient import TestClient
from jsonschema import Draft202012Validator

from backend.problems import MEDIA_TYPE, ROUTING, STATUS
from core.bundle import Bundle
from core.schemas.problem import Problem

NUMBER_OR_WORD = {"anyOf": [{"type": "number"}, {"enum": ["NaN", "Infinity", "-Infinity"], "type": "string"}]}


def test_the_document_is_served_as_it_is(client: TestClient, document: dict) -> None:
    assert client.get("/api/v1/openapi.json").json() == document


def operations(document: dict):
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            yield f"{method.upper()} {path}", operation


def codes(operation: dict) -> set[str]:
    return {code for answer in operation["responses"].values() for code in answer.get("x-codes", ())}


def test_problems_are_documented_as_problems_with_the_status_of_the_table(document: dict) -> None:
    status = {error.code: number for error, (number, _) in STATUS.items()}
    status |= {code: number for number, (code, _, _) in ROUTING.items()} | {"internal": 500, "invalid-request": 422}
    assert set(document["components"]["schemas"]["Problem"]["properties"]) == set(Problem.model_fields)
    for name, operation in operations(document):
        for number, answer in operation["responses"].items():
            if number.startswith("2") or (name, number) == ("GET /api/v1/health/ready", "503"):
                continue
            schema = {"schema": {"$ref": "#/components/schemas/Problem"}}
            assert answer["content"] == {MEDIA_TYPE: schema}, f"{name} {number}"
            assert answer["x-codes"] and {status[code] for code in answer["x-codes"]} == {int(number)}, name
            assert all(f"`{code}`" in answer["description"] for code in answer["x-codes"])
    assert "HTTPValidationError" not in json.dumps(document)


def test_what_stands_before_a_route_is_documented_with_it(document: dict) -> None:
    for name, operation in operations(document):
        found = codes(operation)
        assert {"internal", "host-not-allowed"} <= found, name
        assert ("unauthorised" in found) == ("security" in operation), name
        assert ("body-too-large" in found) == ("requestBody" in operation), name
        as_json = "application/json" in operation.get("requestBody", {}).get("content", {})
        ranges = name.endswith("/artifacts/{name}")
        assert ("bad-request" in found) == (as_json or ranges), name
        assert ("invalid-request" in found) == (as_json or bool(operation.get("parameters"))), name
        if "{run_id}" in name or "{sweep_id}" in name or "{share_id}" in name:
            assert {"not-found", "database-down"} <= found, name
    every = dict(operations(document))
    assert "share-gone" in codes(every["GET /api/v1/shared/{token}"])
    assert {"state-conflict", "storage-full"} <= codes(every["POST /api/v1/runs/{run_id}/cancel"])
    assert {"upload-corrupt", "unsafe-archive", "home-unusable"} <= codes(every["POST /api/v1/imports"])
    assert "inference-failed" in codes(every["POST /api/v1/runs/{run_id}/try"])


def test_a_405_names_every_method_of_its_address(client: TestClient, document: dict) -> None:
    for path, methods in document["paths"].items():
        if path.endswith(("/runs/bulk", "/runs/columns", "/runs/counts", "/sweeps/preview")):
            continue  # these look like an id too, so they take that pattern's methods
        taken = {method.upper() for method in methods}
        address = path.replace("{index}", "0").replace("{run_id}", "x")
        for method in {"GET", "POST", "PUT", "PATCH", "DELETE"} - taken:
            answer = client.request(method, address)
            assert (answer.status_code, answer.json()["code"]) == (405, "method-not-allowed"), f"{method} {path}"
            assert answer.headers["allow"] == ", ".join(sorted(taken)), f"{method} {path}"
    assert client.put("/api/v1/runs").headers["allow"] == "GET, POST"
    assert client.put("/api/v1/runs/abc").headers["allow"] == "DELETE, GET, PATCH"
    assert client.post("/s/abc").headers["allow"] == "GET"


RUN = ("/api/v1/runs", "/api/v1/preview")
STRICT = [
    (RUN, {"seed": False}, "seed", "a whole number"),
    (RUN, {"seed": True}, "seed", "a whole number"),
    (RUN, {"seed": "one"}, "seed", "a whole number"),
    (RUN, {"seed": 1.5}, "seed", "a whole number"),
    (RUN, {"seed": None}, "seed", "a whole number"),
    (("/api/v1/runs/abc/fork",), {"seed": False}, "seed", "a whole number"),
    (("/api/v1/runs/abc/fork",), {"seed": "0"}, "seed", "a whole number"),
    (
        ("/api/v1/sweeps", "/api/v1/sweeps/preview"),
        {"name": "a", "axes": {"seed": [0]}, "repeat": 1},
        "repeat",
        "true or",
    ),
    (("/api/v1/sweeps",), {"name": "a", "axes": {"seed": [0]}, "base": {"seed": False}}, "base.seed", "a whole number"),
    (("/api/v1/shares",), {"run_id": "a", "expires_in_days": True}, "expires_in_days", "a whole number"),
    (("/api/v1/shares",), {"run_id": "a", "expires_in_days": "7"}, "expires_in_days", "a whole number"),
    *[
        (("/api/v1/shares",), {"run_id": "a", name: value}, name, "true or false")
        for name in ("with_twin", "with_images", "with_weights", "frozen", "blind")
        for value in (0, "yes")
    ],
    (("/api/v1/shares",), {"runs": ["a", "b"], "ac": True}, "ac", "a number"),
    (("/api/v1/shares",), {"runs": ["a", "b"], "memory": "1"}, "memory", "a number"),
    (("/api/v1/shares",), {"view": {"dataset": "digits", "steps": True}}, "view.steps", "a whole number"),
    (("/api/v1/shares",), {"view": {"dataset": "digits", "x_log": 1}}, "view.x_log", "true or false"),
]


@pytest.mark.parametrize(("routes", "body", "field", "expected"), STRICT)
def test_a_body_holds_numbers_and_truth_values_as_json_has_them(
    client: TestClient, routes: tuple[str, ...], body: dict, field: str, expected: str
) -> None:
    for route in routes:
        answer = client.post(route, json=body)
        assert (answer.status_code, answer.json()["code"]) == (422, "invalid-request"), answer.text
        (fault, *_) = answer.json()["fields"]["errors"]
        assert fault["field"] == field and fault["expected"].startswith(expected)


def test_a_seed_of_a_sweep_is_a_number_too(client: TestClient) -> None:
    for seed in (False, "zero"):
        answer = client.post("/api/v1/sweeps/preview", json={"name": "a", "axes": {"seed": [seed]}})
        assert (answer.status_code, answer.json()["fields"]["field"]) == (422, "seed")
    assert client.post("/api/v1/preview", json={"seed": 1.0}).json()["config"]["seed"] == 1  # a whole number in JSON


def test_addresses_and_configs_hold_text_and_are_read_as_before(finisher, client: TestClient) -> None:
    first, second = finisher.succeeded(), finisher.succeeded("cnn")
    assert client.get(f"/api/v1/compare?runs={first},{second}&ac=2").json()["ac"] == 2
    assert client.get("/api/v1/runs?deleted=true&limit=5").status_code == 200
    changed = client.post("/api/v1/preview", json={"overrides": {"training.max_epochs": "3", "time_steps": "2"}}).json()
    assert (changed["config"]["training"]["max_epochs"], changed["config"]["time_steps"]) == (3, 2)


def test_what_leaves_the_finite_travels_as_a_word_that_the_schema_knows(
    finisher, client: TestClient, document: dict
) -> None:
    schemas = document["components"]["schemas"]
    assert schemas["Metrics"]["properties"]["train_loss"]["items"] == NUMBER_OR_WORD
    assert schemas["Gradients"]["properties"]["norm"]["items"]["items"] == NUMBER_OR_WORD
    assert schemas["Metrics"]["properties"]["train_accuracy"]["items"] == {"type": "number"}
    run_id = finisher.succeeded()
    bundle = Bundle(client.app.state.context.artifacts.folder(run_id))
    for name, edit in (
        ("gradients.json", lambda found: found["norm"][0].__setitem__(0, "NaN")),
        ("metrics.json", lambda found: found.update(train_loss=["Infinity"], validation_loss=["-Infinity"])),
        ("diagnostics.json", lambda found: found["gradient_norm"][0][0].__setitem__(0, "NaN")),
    ):
        content = json.loads((bundle.path / name).read_text())
        edit(content)
        (bundle.path / name).write_text(json.dumps(content))
        page = name.removesuffix(".json")
        answer = client.get(f"/api/v1/runs/{run_id}/{page}")
        assert answer.status_code == 200 and ("NaN" in answer.text or "Infinity" in answer.text)
        told = document["paths"][f"/api/v1/runs/{{run_id}}/{page}"]["get"]["responses"]["200"]
        schema = told["content"]["application/json"]["schema"] | {"components": document["components"]}
        Draft202012Validator(schema).validate(answer.json())


def test_answers_are_what_their_schemas_say(finisher, client: TestClient, document: dict) -> None:
    snn, _ = finisher.succeeded("snn"), finisher.succeeded("cnn")
    for path, methods in document["paths"].items():
        others = ("events", "{name}", "search")  # this run searches nothing
        if "get" not in methods or not path.startswith("/api/v1/runs/{run_id}") or path.endswith(others):
            continue
        answer = client.get(path.replace("{run_id}", snn).replace("{index}", "3"))
        assert answer.status_code == 200, path
        schema = methods["get"]["responses"]["200"]["content"]["application/json"]["schema"]
        Draft202012Validator(schema | {"components": document["components"]}).validate(answer.json())
