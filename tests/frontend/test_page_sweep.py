"""The page of one sweep."""

from __future__ import annotations

import pytest

from frontend.client.api import Client
from frontend.keys import Key
from tests.frontend.test_page_runs import make_sweep
from tests.support.swept import swept


@pytest.fixture
def shown(monkeypatch):
    """A finished sweep in place of the API's answer."""
    found = swept(
        {"mask": [["F9"], ["F8", "F9"]], "training.lr": [0.01, 0.1, 0.3]},
        lambda values, seed: 0.9 if values["mask"] == "F9" else 0.7 + seed / 100,
    )
    monkeypatch.setattr(Client, "sweep", lambda self, sweep_id, **lens: found)
    return found


def charts(page):
    return [item.proto.id for item in page.get("plotly_chart")]


def test_a_finished_sweep_has_its_pictures_and_its_best_settings(shown, visit, words):
    page = visit("sweep", sweep=shown.id)
    said = words(page)
    for title in (
        "Accuracy against energy",
        "Accuracy by setting and seed",
        "Swept fields",
        "What the accuracy depends on",
    ):
        assert title in said
    assert len(charts(page)) == 4
    assert "12 runs · 12 succeeded" in said.replace("\xa0", " ") or shown.n_runs == 12
    table = next(item.proto.body for item in page.get("html") if "Groups of the sweep" in item.proto.body)
    assert table.index("90.0 ± 0.0") < table.index("70.5 ± 0.7"), "the most accurate first"
    page.segmented_control(key=Key.SWEEP_QUANTITY).set_value("energy").run()
    assert "Energy by setting and seed" in words(page)


def test_chosen_settings_are_compared_by_their_first_finished_run(shown, visit, words):
    page = visit("sweep", sweep=shown.id)
    page.multiselect(key=Key.SWEEP_CHOSEN).set_value([0, 3]).run()
    links = {item.proto.label: item.proto for item in page.get("page_link")}
    assert "Compare 2 runs" in links
    assert f"{shown.groups[0].run_ids[0]}%2C{shown.groups[3].run_ids[0]}" in str(links["Compare 2 runs"]) or (
        shown.groups[3].run_ids[0] in str(links["Compare 2 runs"])
    )


def test_a_sweep_that_waits_can_be_cancelled_and_says_that_nothing_has_ended(stack, visit, words):
    sweep_id = make_sweep(stack, mask=[["F9"]], kind=["snn", "cnn"], seed=[190, 191])
    page = visit("sweep", sweep=sweep_id)
    assert "4 queued" in page.get("progress")[0].proto.text and "two seeds" in words(page)
    page.button(key=Key.SWEEP_ACT.of("cancel")).click().run()
    assert not stack.client.runs(state=["queued"], limit=10).items
    assert Key.SWEEP_ACT.of("cancel") not in {button.key for button in page.button}


def test_an_address_without_a_sweep_or_with_an_unknown_one_leads_to_the_list(stack, visit, words):
    assert "names no sweep" in words(visit("sweep"))
    assert "no sweep" in words(visit("sweep", sweep="f" * 16)).lower()
