"""Views of Explore that are kept under a name, and what a view leaves out."""

from __future__ import annotations

import json

import pytest
from fastapi.testclient import TestClient

from core.schemas.saved_view import MOST_PARTS, SavedViews

PARTS = {"dataset": "digits", "x": "params", "kind": "snn"}


def listed(client: TestClient) -> SavedViews:
    return SavedViews.model_validate_json(client.get("/api/v1/views").content)


def test_a_view_is_kept_listed_by_name_replaced_and_forgotten(client: TestClient):
    assert listed(client).items == []
    first = client.post("/api/v1/views", json={"name": " Second ", "parts": PARTS})
    assert first.status_code == 201 and first.json()["name"] == "Second"
    client.post("/api/v1/views", json={"name": "first", "parts": {}})
    assert [view.name for view in listed(client).items] == ["first", "Second"]
    again = client.post("/api/v1/views", json={"name": "Second", "parts": {"dataset": "cifar10"}})
    assert again.json()["id"] == first.json()["id"]
    assert [view.parts for view in listed(client).items] == [{}, {"dataset": "cifar10"}]
    assert client.delete(f"/api/v1/views/{first.json()['id']}").status_code == 204
    assert client.delete(f"/api/v1/views/{first.json()['id']}").json()["code"] == "not-found"
    assert [view.name for view in listed(client).items] == ["first"]


@pytest.mark.parametrize(
    "body",
    [
        {"name": "", "parts": {}},
        {"name": "a\nb", "parts": {}},
        {"name": "a" * 101, "parts": {}},
        {"name": "a", "parts": {"x": "y" * 2001}},
        {"name": "a", "parts": {"No Word": "y"}},
        {"name": "a", "parts": {"x": "\x00"}},
        {"name": "a", "parts": {f"p{'a' * place}": "" for place in range(MOST_PARTS + 1)}},
        {"name": "a"},
    ],
)
def test_a_view_is_bounded(client: TestClient, body: dict):
    assert client.post("/api/v1/views", json=body).status_code == 422
    assert listed(client).items == []


def test_a_link_to_a_filtered_view_holds_the_runs_that_fit_alone(client: TestClient, finisher):
    snn, _ = finisher.succeeded("snn"), finisher.succeeded("cnn")
    client.patch(f"/api/v1/runs/{snn}", json={"tags": ["mallory"]})
    for filtered in ({"kind": "snn"}, {"tag": "mallory"}, {"mask": "F9", "kind": "snn"}):
        token = client.post("/api/v1/shares", json={"view": {"dataset": "digits", **filtered}}).json()["token"]
        shown = client.get(f"/api/v1/shared/{token}").json()
        assert [point["kind"] for point in shown["plot"]["points"]] == ["snn"], filtered
        assert client.get(f"/s/{token}").status_code == 200
        assert "mallory" not in json.dumps(shown)
