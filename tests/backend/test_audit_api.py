"""`GET /audit`: the same findings as the command, whole or of one data set."""

from __future__ import annotations

from fastapi.testclient import TestClient

from core.analysis.audit import paper_audit, paper_audit_of
from core.schemas.api import Audit


def test_the_audit_comes_whole_or_by_data_set(client: TestClient) -> None:
    whole = client.get("/api/v1/audit")
    assert whole.status_code == 200 and Audit.model_validate_json(whole.content) == paper_audit()
    part = Audit.model_validate_json(client.get("/api/v1/audit?dataset=cifar100").content)
    assert part == paper_audit_of("cifar100") and 0 < len(part.findings) < len(paper_audit().findings)
    assert client.get("/api/v1/audit?dataset=digits").json()["findings"] == []


def test_an_unknown_data_set_suggests_and_a_stranger_gets_nothing(client: TestClient) -> None:
    answer = client.get("/api/v1/audit?dataset=cifar1")
    assert (answer.status_code, answer.json()["code"]) == (422, "unknown-name")
    assert "cifar10" in answer.json()["fields"]["near"]
    assert client.get("/api/v1/audit", headers={"Authorization": "Bearer no"}).status_code == 401
