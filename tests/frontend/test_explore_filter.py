"""Explore's filter, hidden groups, archive and kept views, and what changed elsewhere."""

from __future__ import annotations

import json

import pytest

from core.schemas.pareto import ParetoPoint, View
from core.schemas.runs import BulkRequest, RunChange
from frontend.keys import Key


@pytest.fixture(scope="module")
def twins(stack):
    snn, cnn = stack.succeeded("snn"), stack.succeeded("cnn")
    stack.client.change(snn.id, RunChange(tags=["keep"], name="the one"))
    return stack.client.run(snn.id), cnn


def rows(page):
    return page.dataframe[0].value.set_index("run")


def test_a_view_lets_through_what_fits_every_filter():
    point = ParetoPoint.model_construct(
        kind="snn", backbone="squeezenet", recipe="smoke", tags=["a"], mask=("F8", "F9"), mask_name=None
    )
    assert View().lets(point) and not View().narrowed
    assert View(kind="snn", tag="a", mask="F8,F9", recipe="smoke", backbone="squeezenet").lets(point)
    for other in ({"kind": "cnn"}, {"tag": "b"}, {"mask": "F9"}, {"recipe": "fast"}, {"backbone": "xception"}):
        assert not View(**other).lets(point) and View(**other).narrowed


def test_a_filter_is_in_the_address_and_the_front_is_of_what_fits(twins, visit, words):
    snn, cnn = twins
    page = visit("explore", dataset="digits", kind="cnn")
    assert set(rows(page).index) == {cnn.id} and "1 of 2 runs fit the filter" in words(page)
    assert rows(page).loc[cnn.id, "on_front"]
    page.selectbox(key=Key.EXPLORE_FILTER.of("kind")).set_value(None)
    page.selectbox(key=Key.EXPLORE_FILTER.of("tag")).set_value("keep").run()
    assert set(rows(page).index) == {snn.id} and page.query_params["tag"] == "keep"
    assert rows(page).loc[snn.id, "name"] == "the one"


def test_a_hidden_group_is_not_drawn_and_the_table_keeps_it(twins, visit):
    page = visit("explore", dataset="digits", hide="CNN-SqueezeNet")
    spec = json.loads(page.get("plotly_chart")[0].proto.spec)
    drawn = {trace.get("name") for trace in spec["data"]}
    assert "SNN-SqueezeNet" in drawn and "CNN-SqueezeNet" not in drawn
    assert len(rows(page)) == 2


def test_a_view_is_kept_and_opened(twins, visit, stack):
    page = visit("explore", dataset="digits", kind="snn")
    page.text_input(key=Key.EXPLORE_VIEW.of("name")).set_value("spiking alone")
    page.button(key=Key.EXPLORE_VIEW.of("save")).click().run()
    (view,) = stack.client.views().items
    assert view.name == "spiking alone" and view.parts.items() >= {"dataset": "digits", "kind": "snn"}.items()
    other = visit("explore", dataset="digits")
    assert len(rows(other)) == 2
    other.button(key=Key.EXPLORE_VIEW.of(f"open_{view.id}")).click().run()
    assert set(rows(other).index) == {twins[0].id}
    other.button(key=Key.EXPLORE_VIEW.of(f"forget_{view.id}")).click().run()
    assert stack.client.views().items == []


def test_archived_runs_are_left_out_until_asked_for(twins, visit, stack):
    snn, cnn = twins
    stack.client.bulk(BulkRequest(action="archive", ids=[cnn.id]))
    try:
        assert set(rows(visit("explore", dataset="digits")).index) == {snn.id}
        assert set(rows(visit("explore", dataset="digits", archived="1")).index) == {snn.id, cnn.id}
    finally:
        stack.client.bulk(BulkRequest(action="unarchive", ids=[cnn.id]))


def test_the_table_is_in_the_unit_of_the_plot_and_says_which_kind(twins, visit):
    shown = rows(visit("explore", dataset="digits"))
    assert shown["energy"].tolist() == pytest.approx((1000 * shown["energy_mj"]).tolist())  # in µJ, as its plot
    assert set(shown["kind"]) == {"SNN", "CNN"}
