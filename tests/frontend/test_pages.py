"""Every page, run by Streamlit's own test runner against the real API."""

from __future__ import annotations

import json

import pytest

from core.energy.modes import MODES
from core.schemas.results import Progress, RunError, Started
from core.settings import read_token
from frontend.client.connection import DOWN_TITLE
from frontend.keys import Key


@pytest.fixture(scope="module")
def twins(stack):
    """A finished spiking run and its finished CNN twin; made after the tests of an empty installation."""
    return stack.succeeded("snn"), stack.succeeded("cnn")


def total(stack) -> int:
    return stack.client.runs(limit=1).total


# an empty installation comes first: the tests of a file run in order, on one database


def test_before_the_first_run_the_printed_points_are_there_and_the_way_to_launch(visit, words):
    page = visit("explore")
    assert "No run of yours has finished on Digits yet" in words(page)
    assert "what the paper printed for CIFAR-10" in words(page)
    drawn = json.loads(page.get("plotly_chart")[0].proto.spec)
    assert sum(len(trace["hovertext"]) for trace in drawn["data"] if "printed" in trace["name"]) >= 10


@pytest.mark.parametrize(
    ("name", "sentence"),
    [("runs", "No run yet."), ("shares", "Nothing is shared."), ("run", "This address names no run.")],
)
def test_an_empty_page_says_what_to_do(visit, words, name, sentence):
    page = visit(name)
    assert sentence in words(page)
    assert page.get("page_link"), "an empty page leads somewhere"


def test_while_the_first_runs_train_explore_shows_their_progress(stack, visit, words):
    claim = stack.claimed("snn", seed=7)
    stack.lifecycle.record(claim, Progress(epoch=2, max_epochs=4, step=5, steps=10, images_per_s=120.0, eta_s=95.0))
    page = visit("explore")
    assert "Your first points are on their way." in words(page)
    bar = page.get("progress")[0].proto
    assert bar.text == "Epoch 2 of at most 4, training · 120 images/s · about 2 min left"
    assert bar.value == pytest.approx(100 * (1 + 0.5) / 4, abs=1)  # one epoch of four, and half of the second
    stack.client.cancel(claim.run_id)
    stack.lifecycle.cancelled(claim)


def test_explore_lists_the_same_figures_as_the_chart(twins, visit, words):
    snn, cnn = twins
    page = visit("explore")
    table = page.dataframe[0].value
    assert set(table["run"]) == {snn.id, cnn.id}
    assert table.set_index("run").loc[snn.id, "accuracy_percent"] == pytest.approx(100 * snn.summary.accuracy)
    marks = [
        mark
        for trace in json.loads(page.get("plotly_chart")[0].proto.spec)["data"]
        for mark in trace.get("customdata", [])
    ]
    assert {mark[0] for mark in marks} == {snn.id, cnn.id}


def test_another_mode_re_prices_every_figure_at_once(twins, visit, stack):
    snn, _ = twins
    page = visit("explore")
    before = page.dataframe[0].value.set_index("run").loc[snn.id, "energy_mj"]
    assert list(page.selectbox(key=Key.MODE).options) == [mode.title for mode in MODES.values()]
    for mode in (mode for mode in MODES if mode != "exact"):
        page.selectbox(key=Key.MODE).set_value(mode).run()
        after = page.dataframe[0].value.set_index("run").loc[snn.id, "energy_mj"]
        expected = stack.client.layers(snn.id, mode=mode, profile=snn.summary.profile).total_energy_pj / 1e9
        assert after == pytest.approx(expected)
        assert (after == pytest.approx(before)) == (mode == "exact+bits")  # of weights of 32 bits


def test_a_queued_run_can_be_stopped_and_launched_again(stack, visit, words):
    run = stack.queued("snn", seed=31)
    page = visit("run", run=run.id)
    assert "queued" in words(page)
    page.button(key=Key.RUN_CANCEL).click().run()
    assert "The run was stopped" in words(page)
    page.button(key=Key.RUN_RETRY).click().run()
    again = stack.client.run(page.query_params["run"])
    assert again.id != run.id and again.config == run.config
    stack.client.cancel(again.id)


def test_a_running_run_says_asked_to_stop_until_its_process_is_gone(stack, visit, words):
    claim = stack.claimed("snn", seed=32)
    stack.lifecycle.record(
        claim, Started(device="cpu", n_train=32, n_validation=8, n_test=360, steps_per_epoch=1, max_epochs=1)
    )
    page = visit("run", run=claim.run_id)
    assert "running" in words(page)
    page.button(key=Key.RUN_CANCEL).click().run()
    assert "asked to stop" in words(page)
    assert page.button(key=Key.RUN_CANCEL).disabled
    stack.lifecycle.cancelled(claim)
    page.run()
    assert "The run was stopped" in words(page)


def test_a_failed_run_says_why_and_its_text_is_no_markup(stack, visit, words):
    claim = stack.claimed("snn", seed=33)
    stack.lifecycle.fail(
        claim, RunError(code="non-finite-loss", message="The loss became nan <b>at</b> [epoch](x) 2.", fields={})
    )
    page = visit("run", run=claim.run_id)
    assert "The loss became nan <b>at</b> [epoch](x) 2." in words(page)
    raw = next(item.value for item in page.markdown if "The run failed." in item.value)
    assert "\\<b\\>" in raw and "\\[epoch\\]" in raw


def test_a_finished_run_shows_its_figures_with_what_they_rest_on(twins, visit, words):
    snn, _ = twins
    page = visit("run", run=snn.id)
    shown = {metric.label: metric.value for metric in page.metric}
    assert shown[f"Accuracy, n = {snn.summary.n_test}"] == f"{100 * snn.summary.accuracy:.2f} %"
    assert shown["Parameters"] == f"{snn.summary.params:,}"
    assert f"n = {snn.summary.n_test:,} images, seed 0" in words(page)
    # train_limit 32 of the 1,437 digits' training share
    assert f"32 of {snn.summary.n_train_available:,} images of Digits, complete data set" in words(page)
    assert "CNN twin side by side" in words(page)
    assert page.get("plotly_chart")  # each section has its own; see test_run_page.py


def test_a_run_that_does_not_exist_is_a_sentence(visit, words):
    assert "There is no run with id 'nowhere'." in words(visit("run", run="nowhere"))
    assert "There is nothing with id '../shares'." in words(visit("run", run="../shares"))


def test_a_share_is_shown_once_listed_and_withdrawn(twins, stack, visit, words):
    snn, _ = twins
    page = visit("run", run=snn.id)
    page.button(key=Key.SHARE_CREATE).click().run()
    address = next(item.value for item in page.code if "/s/" in item.value)
    assert address.startswith(f"{stack.settings.api_url}/s/")
    listed = visit("shares")
    assert address not in words(listed)
    share = stack.client.shares().items[0]
    assert "opened 0 times" in words(listed)
    listed.button(key=Key.SHARE_REVOKE.of(share.id)).click().run()  # it asks first
    listed.button(key=Key.SHARE_REVOKE.of(share.id)).click().run()
    assert stack.client.shares().items[0].revoked_at is not None


def test_settings_name_data_health_and_the_api(stack, visit, words):
    page = visit("settings")
    said = words(page)
    assert "✓ **Digits** · complete · 1,437 training and 360 test images" in said
    assert "○ **CIFAR-10** · not on this machine" in said
    assert f"{stack.settings.api_url}/api/v1/openapi.json" in said
    assert "✓ **Database**: ok" in said
    assert "✗ **Queue**" in said  # this API has no broker


def test_no_page_holds_the_token(twins, stack, visit):
    token = read_token(stack.settings)
    for name, query in (("explore", {}), ("launch", {}), ("runs", {}), ("shares", {}), ("settings", {}),
                        ("run", {"run": twins[0].id})):  # fmt: skip
        page = visit(name, **query)
        assert not any(token.encode() in message.SerializeToString() for message in _protos(page)), name


def _protos(page):
    stack = [page._tree]
    while stack:
        node = stack.pop()
        if getattr(node, "proto", None) is not None:
            yield node.proto
        stack += list(getattr(node, "children", {}).values())


def test_without_the_api_a_page_says_so_and_draws_itself_when_it_is_back(stack, visit, words):
    from frontend.client.connection import api

    address = stack.client.base_url
    api().base_url, api()._http.base_url = (
        "http://127.0.0.1:9",
        "http://127.0.0.1:9",
    )  # nothing listens on the discard port
    try:
        page = visit("runs")
        assert DOWN_TITLE in words(page)
    finally:
        api().base_url, api()._http.base_url = address, address
    page.run()
    assert DOWN_TITLE not in words(page)
    assert page.title[0].value == "Runs"
