"""The page Runs as a table: names, figures, groups, what changed elsewhere, the archive."""

from __future__ import annotations

import pytest

from core.schemas.run import RunState
from core.schemas.runs import BulkRequest, RunChange
from frontend.keys import Key
from frontend.pages.runs import filters as run_filters


@pytest.fixture(autouse=True)
def nothing_active(stack):
    yield
    for run in stack.client.runs(state=run_filters.GROUPS["active"], limit=200).items:
        stack.client.cancel(run.id)


def table_of(page):
    (shown,) = page.dataframe
    return shown.value


def test_runs_stand_in_a_table_with_what_sets_them_apart_and_their_figures(stack, visit, words):
    run = stack.succeeded("snn")
    page = visit("runs")
    assert not page.exception
    shown = table_of(page)
    row = shown[shown["run"] == "SNN-SqueezeNet F9, epochs 1, 32 images"].iloc[0]
    assert row["accuracy_percent"] == pytest.approx(100 * run.summary.accuracy)
    assert "mode exact" in words(page)
    stack.client.change(run.id, RunChange(name="for figure 3"))
    again = visit("runs", q="figure 3")
    assert list(table_of(again)["run"]) == ["for figure 3"]
    assert again.query_params == {"q": "figure 3"}


def test_runs_are_gathered_with_mean_and_deviation(stack, visit):
    stack.succeeded("cnn")
    stack.succeeded("cnn")
    page = visit("runs", group="mask")
    shown = table_of(page)
    row = shown[shown["kind"] == "CNN"].iloc[0]
    assert row["mask"] == "squeezenet F9" and row["succeeded"] >= 2 and row["accuracy_percent_deviation"] == 0


def test_what_changed_elsewhere_is_said_and_shown_when_asked_for(stack, visit, words, monkeypatch):
    page = visit("runs")
    before = len(table_of(page)) if page.dataframe else 0
    kept = page.session_state[Key.RUNS_KEPT]
    assert "since this was drawn" not in words(page)
    new = stack.queued("snn", seed=77)
    page.session_state[Key.RUNS_CHOSEN] = {"some": "run"}  # a choice keeps the rows where they are
    page.session_state[Key.RUNS_KEPT] = kept
    page.run()
    assert "1 new run since this was drawn" in words(page).replace("**", "")
    page.button(key=Key.RUNS_TABLE.of("changed")).click().run()
    assert len(table_of(page)) == before + 1 and "since this was drawn" not in words(page)
    assert stack.client.run(new.id).state is RunState.QUEUED


def test_a_name_given_elsewhere_is_said_and_shown_when_asked_for(stack, visit, words):
    run = stack.queued("snn", seed=78)
    page = visit("runs")
    stack.client.change(run.id, RunChange(name="renamed elsewhere"))
    page.session_state[Key.RUNS_CHOSEN] = {"some": "run"}  # a choice keeps the rows where they are
    page.run()
    assert "Runs were changed since this was drawn" in words(page).replace("**", "")
    assert "renamed elsewhere" not in set(table_of(page)["run"])
    page.button(key=Key.RUNS_TABLE.of("changed")).click().run()
    assert "renamed elsewhere" in set(table_of(page)["run"]) and "since this was drawn" not in words(page)


def test_an_archived_run_is_left_out_until_it_is_asked_for(stack, visit):
    run = stack.succeeded("snn")
    stack.client.change(run.id, RunChange(name="put away"))
    answers = stack.client.bulk(BulkRequest(action="archive", ids=[run.id]))
    assert answers.items[0].ok and stack.client.run(run.id).archived
    assert "put away" not in list(table_of(visit("runs"))["run"])
    assert "put away" in list(table_of(visit("runs", archived="1"))["run"])
    assert run.id not in {
        point.run_id for point in stack.client.pareto(dataset="digits", mode="exact", profile="horowitz-45nm").points
    }
    stack.client.bulk(BulkRequest(action="unarchive", ids=[run.id]))
    assert "put away" in list(table_of(visit("runs"))["run"])
