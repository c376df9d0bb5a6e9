"""Links that an earlier program stored, and links whose profile is gone since: both open as they were.

The files of `fixtures/shares_0001` hold the request and the results.json of one frozen link of each kind, as the program
wrote them before links kept their prices, colours and seeds. The profile `our-chip` of two of them was its maker's own
and is on no disk any more.
"""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import pytest
from fastapi.testclient import TestClient

from backend.shares.frozen import RESULTS, FrozenShares
from backend.store.db import Database, utc_now
from backend.store.models import ShareRow
from core.schemas.share import SHARED, ShareRequest

STORED = Path(__file__).parent / "fixtures" / "shares_0001"
KINDS = ("run", "comparison", "sweep", "view")


def stored(kind: str) -> dict:
    return json.loads((STORED / f"{kind}.json").read_text())


@pytest.fixture
def old(client: TestClient, database: Database):
    """Puts one of the stored links into this installation; its token is its kind."""

    def put(kind: str) -> str:
        found = stored(kind)
        FrozenShares(client.app.state.context.artifacts).write(kind, [(RESULTS, json.dumps(found["results"]).encode())])
        with database.write() as session:
            session.add(
                ShareRow(
                    id=kind, token_hash=hashlib.sha256(kind.encode()).hexdigest(), with_twin=True, views=0, label="old",
                    request=found["request"], frozen=True, created_at=utc_now(),
                )
            )  # fmt: skip
        return kind

    return put


@pytest.mark.parametrize("kind", KINDS)
def test_a_frozen_link_of_an_earlier_program_opens_with_its_figures(old, client: TestClient, kind: str) -> None:
    token = old(kind)
    shown = client.get(f"/api/v1/shared/{token}")
    assert shown.status_code == 200 and shown.json()["type"] == kind
    was = stored(kind)["results"]
    assert shown.json()["prices"] is None and "prices" not in was  # it is old indeed
    page = client.get(f"/s/{token}")
    assert page.status_code == 200, page.text
    figures = json.loads(page.text.partition('id="data">')[2].partition("</script>")[0])["figures"]
    assert figures and all(figure["data"] for figure in figures.values())


def test_an_old_view_is_drawn_at_the_energies_and_in_the_axes_that_it_was_frozen_with(old, client: TestClient) -> None:
    was = stored("view")["results"]
    assert was["plot"]["profile"] == "our-chip" and was["view"]["x"] == "synops"
    page = client.get(f"/s/{old('view')}").text
    figure = json.loads(page.partition('id="data">')[2].partition("</script>")[0])["figures"]["points"]
    xs = {x for trace in figure["data"] if trace.get("customdata") for x in trace["x"]}
    ops = [point["acs"] + point["macs"] for point in was["plot"]["points"]]
    assert sorted(xs) == pytest.approx(sorted(op / 1e3 for op in ops)) or sorted(xs) == pytest.approx(
        sorted(op / 1e6 for op in ops)
    )
    assert "SNN-SqueezeNet" in page and "at the prices of our-chip." in page


@pytest.mark.parametrize("kind", KINDS)
def test_a_request_without_the_newer_choices_means_what_it_meant(kind: str) -> None:
    request = ShareRequest.model_validate(stored(kind)["request"])
    if request.view is not None:
        assert (request.view.colour, request.view.shape, request.view.seeds, request.view.sure) == (
            "family",
            "kind",
            False,
            False,
        )
    assert SHARED.validate_python(stored(kind)["results"]).type == request.type


def own_profile(home: Path) -> Path:
    from importlib.resources import files

    text = files("core.energy").joinpath("profiles", "horowitz-45nm.toml").read_text()
    text = text.replace('name = "horowitz-45nm"', 'name = "mallory-chip"')
    file = home / "profiles" / "mallory-chip.toml"
    file.parent.mkdir(exist_ok=True)
    lines = [
        line if not line.startswith("source") else 'source = "Mallory, private notes"' for line in text.splitlines()
    ]
    file.write_text("\n".join(lines))
    return file


@pytest.fixture
def mine(settings, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The file of a profile of the user's own."""
    monkeypatch.setenv("SPIKEFRONT_HOME", str(settings.home))
    return own_profile(settings.home)


def made(client: TestClient, **body: object) -> str:
    answer = client.post("/api/v1/shares", json=body)
    assert answer.status_code == 201, answer.text
    return answer.json()["token"]


@pytest.mark.parametrize("kind", KINDS)
def test_a_frozen_link_needs_nothing_of_its_profile_once_it_is_made(finisher, mine, client, kind: str) -> None:
    twins = [finisher.succeeded("snn"), finisher.succeeded("cnn")]
    base = {"mask": "F9", "overrides": {"training.max_epochs": 1, "training.train_limit": 32}}
    target = {
        "run": {"run_id": twins[0]},
        "comparison": {"runs": twins, "mac": 2},
        "view": {"view": {"dataset": "digits", "sure": True}, "ac": 3},
        "sweep": {
            "sweep_id": client.post(
                "/api/v1/sweeps", json={"name": "s", "base": base, "axes": {"kind": ["snn"]}}
            ).json()["id"]
        },
    }[kind]
    frozen = made(client, **target, profile="mallory-chip", frozen=True)
    live = made(client, **target, profile="mallory-chip")
    before, shown = (client.get(f"{way}{frozen}").text for way in ("/s/", "/api/v1/shared/"))
    assert "mallory-chip" in before and (kind == "run" or "Mallory, private notes" in before)
    mine.unlink()
    for run_id in twins:
        client.delete(f"/api/v1/runs/{run_id}")
    assert client.get(f"/s/{frozen}").text == before
    assert client.get(f"/api/v1/shared/{frozen}").text == shown
    assert client.get(f"/s/{live}").status_code == 404  # a live one leads nowhere, and says no more than that


@pytest.mark.parametrize("frozen", [False, True])
def test_a_double_blind_link_does_not_name_a_profile_of_its_makers_own(finisher, mine, client, frozen: bool) -> None:
    twins = [finisher.succeeded("snn"), finisher.succeeded("cnn")]
    for target in ({"runs": twins}, {"view": {"dataset": "digits", "sure": True}}, {"run_id": twins[0]}):
        token = made(client, **target, profile="mallory-chip", frozen=frozen, blind=True)
        given = client.get(f"/s/{token}").text + client.get(f"/api/v1/shared/{token}").text
        assert "mallory" not in given.lower() and "private notes" not in given
        assert "own-profile" in given
        prices = client.get(f"/api/v1/shared/{token}").json()["prices"]
        assert (prices["ac_pj"], prices["mac_pj"]) == (0.9, 4.6)  # what the energies rest on stays
    known = made(client, runs=twins, frozen=frozen, blind=True)
    assert "Horowitz" in client.get(f"/s/{known}").text  # one that everybody has keeps its source
