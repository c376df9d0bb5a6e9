"""`GET /audit`: the same findings as the command, whole or of one data set."""

from __future__ import annotations

import pytest
from fastapi.testclient import TestClient

from backend.store.models import RunRow
from core.energy.modes import MODES
from core.paper.own_table import content_audit
from core.paper.sources import audit_of
from core.paper.tables import paper_audit, paper_audit_of
from core.schemas.audit import Audit, MeasuredAudit


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


def test_a_second_source_is_asked_for_by_name_and_an_unknown_one_is_told_the_known(client: TestClient) -> None:
    answer = client.get("/api/v1/audit?source=lite-snn")
    assert answer.status_code == 200 and Audit.model_validate_json(answer.content) == audit_of("lite-snn")
    part = client.get("/api/v1/audit?source=lite-snn&dataset=cifar100").json()["findings"]
    assert {one["row"] for one in part} == {"search/halves", "retraining/hundred-classes"}
    unknown = client.get("/api/v1/audit?source=nobody")
    assert (unknown.status_code, unknown.json()["code"]) == (422, "unknown-name")
    assert unknown.json()["detail"].endswith("Known: kabir, lite-snn.")


def test_a_table_of_ones_own_is_judged_by_the_same_rule(client: TestClient) -> None:
    table = b"model,ac_k,mac_k,energy_mj\nNet-A,16610,4470,0.0355\nNet-B,16610,4470,0.0455\n"
    answer = client.post("/api/v1/audit?name=other.csv", content=table, headers={"Content-Type": "text/csv"})
    found = Audit.model_validate_json(answer.content)
    assert answer.status_code == 200 and found == content_audit(table, "other.csv")
    # 16.61 M x 0.9 pJ + 4.47 M x 4.6 pJ = 0.035511 mJ
    assert [finding.verdict for finding in found.findings] == ["confirmed", "contradicted"]
    assert found.source == "other.csv"


def test_a_table_that_cannot_be_used_is_refused_by_line_and_size(client: TestClient) -> None:
    header = b"model,ac,mac,energy_mj\n"
    for content, status, words in (
        (header + b"A,1,x,3\n", 422, "line 2"),
        (b"", 422, "empty"),
        (b"\xff\xfe", 422, "UTF-8"),
        (
            header + b"A,1,1,1\n" * 130_000,
            422,
            "1,000,000",
        ),  # 1,040,023 bytes: within the gate's bound, above the table's
        (header + b"A,1,1,1\n" * 150_000, 413, "larger"),
    ):
        answer = client.post("/api/v1/audit", content=content, headers={"Content-Type": "text/csv"})
        assert answer.status_code == status and words in answer.json()["detail"], answer.text
    assert client.post("/api/v1/audit?name=", content=header).status_code == 422
    assert client.post("/api/v1/audit", content=header, headers={"Authorization": "Bearer no"}).status_code == 401


def measured(client: TestClient) -> MeasuredAudit:
    answer = client.get("/api/v1/audit/measured")
    assert answer.status_code == 200, answer.text
    return MeasuredAudit.model_validate_json(answer.content)


def test_runs_of_a_printed_network_are_measured_at_the_papers_prices(finisher, client: TestClient) -> None:
    run_id, other = finisher.succeeded("snn"), finisher.succeeded("snn")
    assert measured(client).measured == []  # F9 on the digits is printed nowhere
    with client.app.state.context.database.write() as session:
        row = session.get(RunRow, run_id)
        row.dataset, row.mask = "cifar10", ("F4", "F6", "F8", "F9")  # as if it had been that network
        row.config = {**row.config, "dataset": row.dataset, "mask": list(row.mask)}
    found = measured(client)
    assert found.profile == "horowitz-45nm"
    assert [entry.row for entry in found.measured] == ["table1/cifar10/SqueezeNet-P", "table3/Ref-1"]
    entry, counts = found.measured[0], client.app.state.context.artifacts.bundle(run_id).counts()
    assert entry.run_ids == [run_id] and other not in entry.run_ids
    for bill in entry.modes:
        tally = MODES[bill.mode].tally(counts)
        assert (bill.acs, bill.macs) == pytest.approx((tally.acs, tally.macs))
        assert bill.energy_pj.mean == pytest.approx(0.9 * tally.acs + 4.6 * tally.macs)
    client.delete(f"/api/v1/runs/{run_id}")
    assert measured(client).measured == []  # what is in the bin was not measured
