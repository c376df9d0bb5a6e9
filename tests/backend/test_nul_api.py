"""Text with the sign NUL, which PostgreSQL cannot hold, is refused by the API at every place that takes text, and
everywhere alike: a database that cannot hold a text is not one that is down."""

from __future__ import annotations

import re
from collections.abc import Iterator

from fastapi.testclient import TestClient

BODIES = [
    ("PATCH", "/runs/{run}", {"note": "a\0b"}),
    ("PATCH", "/runs/{run}", {"name": "a\0b"}),
    ("PATCH", "/runs/{run}", {"tags": ["a\0b"]}),
    ("POST", "/runs/bulk", {"action": "tag", "ids": ["x"], "tag": "a\0b"}),
    ("POST", "/runs", {"mask": "a\0b"}),
    ("POST", "/runs", {"overrides": {"a\0b": 1}}),
    ("POST", "/runs", {"overrides": {"training.teacher": "a\0b"}}),
    ("POST", "/runs", {"overrides": {"start": "a\0b"}}),
    ("POST", "/sweeps", {"name": "a\0b", "base": {"mask": "F9"}, "axes": {"seed": [1]}}),
    ("POST", "/views", {"name": "a\0b", "parts": {}}),
    ("POST", "/shares", {"run_id": "a\0b"}),
    ("POST", "/shares", {"runs": ["a\0b", "c"]}),
]


def addresses(document: dict) -> Iterator[tuple[str, str, str]]:
    """(method, path, parameter) of everything in an address."""
    for path, operations in document["paths"].items():
        for method, operation in operations.items():
            for parameter in operation.get("parameters", ()):
                if parameter["in"] in ("path", "query") and operation.get("security"):
                    yield method, path, parameter["name"]


def test_no_parameter_of_an_address_takes_it(client: TestClient, document: dict) -> None:
    asked = list(addresses(document))
    assert len(asked) > 50
    for method, path, name in asked:
        in_path = "{" + name + "}" in path
        placed = re.sub(r"{(\w+)}", lambda found, name=name: "a%00b" if found[1] == name else "a", path)
        answer = client.request(method, placed, params={} if in_path else {name: "a\0b"})
        assert answer.status_code in (404, 422), f"{method} {path} {name}: {answer.status_code}"


def test_no_body_takes_it_and_of_many_ids_the_one_with_it_is_told_so(finisher) -> None:
    run_id = finisher.queued().id
    for method, path, body in BODIES:
        answer = finisher.client.request(method, f"/api/v1{path.format(run=run_id)}", json=body)
        assert answer.status_code in (404, 422), f"{method} {path} {body}: {answer.status_code} {answer.text}"
    answer = finisher.client.post("/api/v1/runs/bulk", json={"action": "archive", "ids": ["a\0b", run_id]})
    odd, well = answer.json()["items"]
    assert (answer.status_code, well["ok"]) == (200, True)
    assert (odd["ok"], odd["problem"]["status"] in (404, 422)) == (False, True)
