"""Explore, run by Streamlit's own test runner: the lens, the address, the choice of runs, steps and certainty."""

from __future__ import annotations

import json
import re

import pytest

from core.energy.profiles import profiles
from frontend import style
from frontend.client.api import Client
from frontend.keys import Key
from frontend.pages.explore import data
from frontend.parts import address, lens


@pytest.fixture(scope="module")
def twins(stack):
    return stack.succeeded("snn"), stack.succeeded("cnn")


def table(page):
    return page.dataframe[0].value.set_index("run")


def chart(page):
    return json.loads(page.get("plotly_chart")[0].proto.spec)


def test_a_price_slider_re_prices_every_figure_without_asking_the_api_again(twins, visit, stack, words):
    snn, cnn = twins
    page = visit("explore", dataset="digits")
    before = table(page)
    page.select_slider(key=Key.PRICE.of("mac")).set_value(2.0).run()
    after = table(page)
    mac_pj = profiles()["horowitz-45nm"].mac_pj
    for run in (snn, cnn):
        rise = before.loc[run.id, "macs"] * mac_pj / 1e9  # one more price of a MAC each, in mJ
        assert after.loc[run.id, "energy_mj"] == pytest.approx(before.loc[run.id, "energy_mj"] + rise)
    assert "9.2 pJ per MAC" in words(page)
    assert "Against the front of Exact: all T steps" in words(page)


def test_a_drawing_asks_for_no_list_of_runs_twice(twins, visit, monkeypatch):
    asked = []
    ask = Client.runs

    def runs(client, **query):
        asked.append(tuple(sorted((name, str(value)) for name, value in query.items() if value is not None)))
        return ask(client, **query)

    page = visit("explore", dataset="digits")
    monkeypatch.setattr(Client, "runs", runs)
    monkeypatch.setattr(data, "FRESH_S", 60.0)  # this machine may be slow
    page.select_slider(key=Key.PRICE.of("ac")).set_value(2.0).run()
    assert not page.exception and 1 <= len(asked) == len(set(asked))


def test_the_words_around_the_plot_are_text_and_stay_in_its_pictures(twins, visit, words):
    page = visit("explore", dataset="digits")
    layout, said = chart(page)["layout"], words(page)
    assert "<h3>Accuracy against energy</h3>" in said and f"<p>{layout['meta']['caption']}</p>" in said
    assert re.findall("<span>(.*?)</span>", said.split('<ul class="sf-legend"')[1].split("</ul>")[0]) == [
        "SNN-SqueezeNet",
        "CNN-SqueezeNet",
        "Pareto front",
        "dominated",
    ]
    assert layout["title"]["text"] == "Accuracy against energy" and not layout["showlegend"]
    picture = layout["title"]["subtitle"]["text"].replace("<br>", " ")
    assert "mode exact" in picture and "profile horowitz-45nm" in picture and "CNN-SqueezeNet" in picture
    lift = re.search(r"\.st-key-sf_figure_explore_chart\{--lift:(\d+)px\}", said)[1]
    assert int(lift) + 26 + 8 == layout["margin"]["t"]  # the page's words cover all of the figure's but for the buttons
    assert '[class*="st-key-sf_figure_"] .g-gtitle{visibility:hidden}' in style.CSS and "-1*var(--lift" in style.CSS


def test_the_memory_price_moves_only_where_memory_is_charged(twins, visit):
    page = visit("explore", dataset="digits")
    assert page.select_slider(key=Key.PRICE.of("memory")).disabled
    page.selectbox(key=Key.MODE).set_value("memory").run()
    before = table(page)
    page.select_slider(key=Key.PRICE.of("memory")).set_value(0.0).run()
    after = table(page)
    assert (after["energy_mj"].dropna() < before["energy_mj"].dropna()).all()


def test_the_view_lives_in_the_address_and_comes_back_from_it(twins, visit):
    page = visit("explore", dataset="digits", mode="memory", profile="loihi", ac="2", x="params", y="f1_macro", log="0",
                 colour="kind", shape="mask", seeds="1", steps="2")  # fmt: skip
    assert page.selectbox(key=Key.MODE).value == "memory" and page.selectbox(key=Key.PROFILE).value == "loihi"
    assert page.select_slider(key=Key.PRICE.of("ac")).value == 2.0
    assert page.selectbox(key=Key.EXPLORE_X).value == "params" and page.toggle(key=Key.EXPLORE_SEEDS).value
    assert page.select_slider(key=Key.EXPLORE_STEPS).value == 2
    layout = chart(page)["layout"]
    assert layout["xaxis"]["title"]["text"].startswith("parameters") and layout["yaxis"]["title"]["text"] == "macro F1"
    assert {name: said if isinstance(said, str) else said[0] for name, said in page.query_params.items()} == {
        "dataset": "digits", "mode": "memory", "profile": "loihi", "ac": "2", "x": "params", "y": "f1_macro", "log": "0",
        "colour": "kind", "shape": "mask", "seeds": "1", "steps": "2",
    }  # fmt: skip
    page.selectbox(key=Key.EXPLORE_X).set_value("energy").run()
    assert "x" not in page.query_params


def test_a_price_stops_every_run_where_it_is_best_at_the_chosen_profile(twins, visit, stack, words):
    points = stack.client.steps(twins[0].id, mode="exact", profile="loihi").points
    page = visit(
        "explore", dataset="digits", mode="exact", profile="loihi", at_most=f"{points[0].energy_pj * 1.001 / 1e6:.9g}"
    )
    shown = table(page)
    spiking = shown[shown["kind"] == "SNN"]
    assert spiking["time_steps"].tolist() == [1] * len(spiking) and len(spiking)
    assert spiking["accuracy_percent"].tolist() == pytest.approx([100 * points[0].accuracy] * len(spiking))
    assert "each stopped where it is best at no more than" in chart(page)["layout"]["title"]["subtitle"][
        "text"
    ].replace("<br>", " ")
    page.number_input(key=Key.EXPLORE_AT_MOST).set_value(1e-9).run()
    assert any("No run answers for 0.001 pJ or less" in one.value for one in page.info)
    assert "No figures on" not in words(page)  # there are some, dearer


def test_an_address_that_comes_late_does_not_move_a_slider_back(twins, visit, monkeypatch):
    """Of two quick moves the second one brings the address of before the first: the browser has no newer one yet."""
    page = visit("explore", dataset="digits", ac="2")
    page.select_slider(key=Key.PRICE.of("ac")).set_value(2.51).run()
    assert page.query_params["ac"] in ("2.51", ["2.51"])
    page.query_params["ac"] = "2"
    page.select_slider(key=Key.PRICE.of("ac")).set_value(3.16).run()
    assert page.select_slider(key=Key.PRICE.of("ac")).value == 3.16
    assert page.query_params["ac"] in ("3.16", ["3.16"])
    page.query_params["ac"] = "2"  # a slider tells its value twice
    page.run()
    assert page.select_slider(key=Key.PRICE.of("ac")).value == 3.16
    page.query_params["ac"] = "5.01"  # an address that the page never wrote is somebody's
    page.run()
    assert page.select_slider(key=Key.PRICE.of("ac")).value == 5.01
    monkeypatch.setattr(address, "LATE_S", 0)
    page.query_params["ac"] = "2"  # and so is one of long ago
    page.run()
    assert page.select_slider(key=Key.PRICE.of("ac")).value == 2.0


def test_an_address_that_makes_no_sense_gives_the_default_view(twins, visit):
    page = visit("explore", dataset="digits", mode="<b>", x="nothing", ac="1e9", steps="x", log="maybe")
    assert page.selectbox(key=Key.MODE).value == "exact" and page.selectbox(key=Key.EXPLORE_X).value == "energy"
    assert list(page.query_params) == ["dataset"]


def test_after_fewer_steps_the_table_holds_what_the_run_s_own_curve_says(twins, visit, stack):
    snn, _ = twins
    page = visit("explore", dataset="digits", steps="1")
    early = stack.client.pareto_columns(dataset="digits", mode="exact", profile="horowitz-45nm", steps=1)
    place = early.columns["run_id"].index(snn.id)
    row = table(page).loc[snn.id]
    assert row["accuracy_percent"] == pytest.approx(100 * early.columns["accuracy"][place])
    assert row["energy_mj"] == pytest.approx(early.columns["energy_pj"][place] / 1e9)
    assert row["time_steps"] == 1


def test_how_sure_puts_a_probability_into_the_table(twins, visit):
    page = visit("explore", dataset="digits", sure="1")
    found = page.dataframe[0].value
    assert found["front_probability"].dropna().between(0, 1).all()
    cheapest = found.sort_values("energy_mj").iloc[0]
    assert cheapest["front_probability"] == 1  # nobody can beat it


def test_chosen_runs_gather_for_compare_and_can_be_cleared(twins, visit, words):
    snn, cnn = twins
    page = visit("explore", dataset="digits")
    assert not [button for button in page.button if button.key == Key.EXPLORE_COMPARE]
    page.session_state[Key.COMPARE_RUNS] = [snn.id]
    page.run()
    assert "1 run chosen" in words(page) and page.button(key=Key.EXPLORE_COMPARE).disabled
    page.session_state[Key.COMPARE_RUNS] = [snn.id, cnn.id]
    page.run()
    assert {
        mark for one in chart(page)["data"] if one.get("name") == "chosen runs" for (mark,) in one["customdata"]
    } == {snn.id, cnn.id}
    page.button(key=Key.EXPLORE_CLEAR).click().run()
    assert page.session_state[Key.COMPARE_RUNS] == []


def test_all_data_sets_show_side_by_side(twins, visit):
    page = visit("explore", dataset="all", colour="dataset")
    names = {one["name"] for one in chart(page)["data"]}
    assert {"digits · SNN", "digits · CNN", "SNN, printed", "CNN, printed"} <= names
    assert page.toggle(key=Key.EXPLORE_SURE).disabled  # fronts of different data sets do not compete


def test_a_run_that_trains_is_shown_before_a_long_queue(twins, visit, stack, words):
    working = stack.claimed("snn", seed=900)
    waiting = [stack.queued("snn", seed=901 + place) for place in range(6)]
    page = visit("explore", dataset="digits")
    try:
        shown = [link.proto.label for link in page.get("page_link")]
        assert any("seed 900" in label for label in shown) and "and 5 more" in words(page)
    finally:
        for run in [*waiting, stack.client.run(working.run_id)]:
            stack.client.cancel(run.id)


def test_the_help_of_the_modes_fits_a_screen_and_names_each(stack):
    catalog = stack.client.catalog()
    short = lens.modes_in_short(catalog)
    assert all(f"**{mode.title}**: " in short for mode in catalog.modes) and len(short.split()) < 120
    assert "after Lemaire et al. 2022." in short  # a clause does not end within an abbreviation
