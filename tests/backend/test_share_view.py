"""A shared view is the picture that its maker saw on Explore: every mark of it, and nothing that tells whose it is."""

from __future__ import annotations

import json
import re
import shutil

import pytest
from fastapi.testclient import TestClient

from core.bundle import Bundle
from core.report import priced
from core.report.charts import pareto
from core.report.faults import faults
from core.schemas.audit import Audit
from core.schemas.catalog import Catalog
from core.schemas.pareto import ParetoColumns, View
from core.schemas.prices import Factors


@pytest.fixture
def runs(finisher, client: TestClient) -> list[str]:
    """Two seeds of a spiking network, each with an accuracy of its own, and a CNN; a sweep holds the first and the CNN."""
    found = [finisher.succeeded("snn"), finisher.succeeded("cnn")]
    claim = finisher.claimed("snn", seed=1)
    shutil.copytree(finisher.trained["snn"], claim.out)
    summary = Bundle(claim.out).summary()
    finisher.lifecycle.succeed(claim, summary.model_copy(update={"accuracy": summary.accuracy / 2, "seed": 1}))
    base = {"mask": "F9", "overrides": {"training.max_epochs": 1, "training.train_limit": 32}}
    for name, axes in (("one", {"kind": ["snn", "cnn"]}), ("two", {"seed": [1]})):
        client.post("/api/v1/sweeps", json={"name": name, "base": base, "axes": axes}).raise_for_status()
    return [*found, claim.run_id]


def on_explore(
    client: TestClient, view: View, *, dataset: str, steps=None, mode="exact", profile="horowitz-45nm", **prices: float
) -> list[dict]:
    """The traces of the page's figure, made as the page makes them, without the ids that a link does not have."""
    query = {"dataset": dataset, "mode": mode, "columns": True} | ({"steps": steps} if steps else {})
    told = ParetoColumns.model_validate_json(client.get("/api/v1/pareto", params=query).content)
    catalog = Catalog.model_validate_json(client.get("/api/v1/catalog").content)
    info = next(one for one in catalog.profiles if one.name == profile)
    lens = priced.Lens(runs=priced.runs_of(told), profile=info, factors=Factors(**prices))
    seen = priced.seen(lens, view)
    found = Audit.model_validate_json(client.get("/api/v1/audit").content).findings
    figure = pareto.figure(
        seen.pareto,
        view=view,
        spreads=seen.spreads,
        sure=seen.sure,
        faults=faults(found, dataset) if seen.pareto.published else None,
    )
    return without_ids(json.loads(figure.to_json())["data"])


def without_ids(traces: list[dict]) -> list[dict]:
    kept = [{name: value for name, value in trace.items() if name != "customdata"} for trace in traces]
    return json.loads(re.sub(r"sweep [0-9a-f]+", "sweep _", json.dumps(kept)))


def in_link(client: TestClient, **body: object) -> list[dict]:
    made = client.post("/api/v1/shares", json=body)
    assert made.status_code == 201, made.text
    page = client.get(f"/s/{made.json()['token']}").text
    data = json.loads(page.partition('id="data">')[2].partition("</script>")[0])
    return without_ids(data["figures"]["points"]["data"])


@pytest.mark.parametrize("frozen", [False, True])
@pytest.mark.parametrize(
    ("view", "rest"),
    [
        ({}, {}),
        ({"colour": "kind", "shape": "sweep"}, {}),
        ({"colour": "sweep", "shape": "recipe", "x": "synops", "x_log": False}, {}),
        ({"seeds": True}, {"mode": "memory"}),
        ({"sure": True}, {"ac": 3, "mac": 0.5}),
        ({"seeds": True, "sure": True}, {"profile": "loihi", "mode": "memory", "memory": 2}),
        ({"seeds": True, "y": "f1_macro", "x": "params"}, {}),
        ({"seeds": True}, {"steps": 1}),
    ],
)
def test_every_mark_of_the_link_is_that_of_the_page(runs, client, view: dict, rest: dict, frozen: bool) -> None:
    steps = rest.get("steps")
    prices = {name: value for name, value in rest.items() if name != "steps"}
    page = on_explore(client, View(**view), dataset="digits", **rest)
    link = in_link(client, view={"dataset": "digits", "steps": steps, **view}, frozen=frozen, **prices)
    assert link == page
    assert [trace for trace in page if trace.get("hovertext")], "there are marks to compare"


def test_the_printed_points_and_the_audit_s_marks_are_those_of_the_page(client: TestClient) -> None:
    page = on_explore(client, View(), dataset="cifar10")
    assert in_link(client, view={"dataset": "cifar10"}) == page
    (crosses,) = [trace for trace in page if trace["name"] == "contradicted by the audit"]
    assert crosses["x"] and any("the audit contradicts" in words for t in page for words in t.get("hovertext", []))


def test_a_link_s_table_says_what_its_marks_do(runs, client: TestClient) -> None:
    made = client.post("/api/v1/shares", json={"view": {"dataset": "digits", "seeds": True, "sure": True}}).json()
    page = client.get(f"/s/{made['token']}").text
    table = page.partition('data-csv="runs"')[2].partition("</table>")[0]
    assert table.count("<tr>") == 1 + 2 and "3 runs" in page  # a row a config
    assert "probability of it" in table and '<th scope="col">seeds</th>' in table and "deviation" in table


def test_no_id_of_a_run_or_a_sweep_is_in_a_link_that_tells_sweeps_apart(runs, client: TestClient) -> None:
    sweeps = [item["id"] for item in client.get("/api/v1/sweeps").json()["items"]]
    view = {"dataset": "digits", "colour": "sweep", "seeds": True, "sure": True}
    made = client.post("/api/v1/shares", json={"view": view, "blind": True, "frozen": True}).json()
    given = [client.get(f"/s/{made['token']}").text, client.get(f"/api/v1/shared/{made['token']}").text]
    for text in given:
        assert "sweep" in text and not [one for one in (*runs, *sweeps) if one in text or one[:8] in text]


def test_certainty_is_asked_of_its_own_front_alone(client: TestClient) -> None:
    view = {"dataset": "digits", "sure": True}
    for other in ({"x": "params"}, {"y": "f1_macro"}):
        answer = client.post("/api/v1/shares", json={"view": view | other})
        assert answer.json()["code"] == "invalid-request" and "sure" in answer.text
