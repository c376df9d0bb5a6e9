"""The page Compare, run by Streamlit's own test runner against the real API."""

from __future__ import annotations

import json

import pytest

from core.report import ensemble_words
from core.units import energy_scale, format_energy
from frontend.keys import Key


@pytest.fixture(scope="module")
def twins(stack):
    """A finished spiking run and its finished CNN twin; made after the test of an empty installation."""
    return stack.succeeded("snn"), stack.succeeded("cnn")


def charts(page):
    return [json.loads(item.proto.spec) for item in page.get("plotly_chart")]


def address(page) -> dict[str, str]:
    return {name: said if isinstance(said, str) else said[0] for name, said in page.query_params.items()}


def test_without_a_run_there_is_a_way_to_launch(visit, words):
    page = visit("compare")
    assert "No run has succeeded yet" in words(page) and page.get("page_link")


def test_the_newest_twins_are_one_click_away(twins, visit, words):
    snn, cnn = twins
    page = visit("compare")
    assert "Choose 2 to 10 succeeded runs" in words(page)
    next(button for button in page.button if button.label == "Compare the newest twins").click().run()
    assert page.query_params["runs"] == f"{cnn.id},{snn.id}"  # the CNN is what the other is held against
    assert "Spiking networks against their CNN twins" in words(page)


def test_an_address_opens_a_comparison_with_figures_pictures_and_latex(twins, visit, words, stack):
    snn, cnn = twins
    page = visit("compare", runs=f"{cnn.id},{snn.id}")
    comparison = stack.client.compare([cnn.id, snn.id], mode="exact", profile="horowitz-45nm")
    text, (item,) = words(page), comparison.differences
    pair = item.paired
    assert f"{100 * item.accuracy:+.2f} ({100 * pair.low:+.2f} to {100 * pair.high:+.2f})" in text
    assert f"B right, A wrong: {pair.gained:,}" in text and f"A right, B wrong: {pair.lost:,}" in text
    assert text.index("What differs in the configs") < text.index("Figures of the compared runs")
    assert text.count('alt="Test image') > 0
    assert "begin{tabular}" in text and "label{tab:twins}" in text  # `words` takes the backslashes away
    names = {trace.get("name") for chart in charts(page) for trace in chart["data"]}
    assert any(name and name.startswith("A · CNN") for name in names)
    assert len(charts(page)) == 5  # the points, the differences, the curves, the gradients, two as one


def test_two_runs_answer_together_the_spiking_one_first_or_as_picked(twins, visit, words, stack):
    snn, cnn = twins
    page = visit("compare", runs=f"{cnn.id},{snn.id}", mode="paper")
    assert (page.selectbox(key=Key.COMPARE_FIRST).value, page.selectbox(key=Key.COMPARE_SECOND).value) == (
        snn.id,
        cnn.id,
    )
    for first, second, letters in ((snn, cnn, ("B", "A")), (cnn, snn, ("A", "B"))):
        if first is cnn:
            page.selectbox(key=Key.COMPARE_FIRST).set_value(cnn.id).run()
        assert page.selectbox(key=Key.COMPARE_SECOND).value == second.id
        found = stack.client.ensemble(first.id, second.id, mode="paper", profile="horowitz-45nm")
        text = words(page)
        for said in (*ensemble_words.sentences(found, *letters), ensemble_words.OPTIMISTIC):
            assert said in text
        assert "has no energy of one image" in text
        (chart,) = (chart for chart in charts(page) if "One network asks" in json.dumps(chart["layout"]["title"]))
        energy = [point.energy_pj for point in found.cascade]
        assert chart["data"][0]["x"] == pytest.approx([value / energy_scale(energy[-1])[0] for value in energy])


def test_another_mode_re_prices_the_comparison(twins, visit, words, stack):
    snn, cnn = twins
    page = visit("compare", runs=f"{cnn.id},{snn.id}")
    page.selectbox(key=Key.MODE).set_value("paper").run()
    ratio = stack.client.compare([cnn.id, snn.id], mode="paper", profile="horowitz-45nm").twins[0].energy_ratio
    exact = stack.client.compare([cnn.id, snn.id], mode="exact", profile="horowitz-45nm").twins[0].energy_ratio
    assert ratio != pytest.approx(exact)
    assert f"<td>{ratio:.3g} (" in words(page) and f"<td>{exact:.3g} (" not in words(page)


def test_prices_moved_on_explore_are_those_of_compare_and_outlive_a_reload(twins, visit, words, stack):
    snn, cnn = twins
    explore = visit("explore", dataset="digits")
    explore.select_slider(key=Key.PRICE.of("ac")).set_value(2.0).run()
    explore.select_slider(key=Key.PRICE.of("mac")).set_value(10.0).run()
    priced = explore.dataframe[0].value.set_index("run")["energy_mj"]
    explore.session_state[Key.COMPARE_RUNS] = [cnn.id, snn.id]
    explore.run()
    page = explore.button(key=Key.EXPLORE_COMPARE).click().run()
    own = stack.client.compare([cnn.id, snn.id], mode="exact", profile="horowitz-45nm")
    for seen in (page, visit("compare", **address(page))):
        text = words(seen)
        for run, before in zip((cnn, snn), own.runs, strict=True):
            assert format_energy(priced[run.id] * 1e9) in text and format_energy(before.energy_pj) not in text
        assert "AC at 1.8 pJ, MAC at 46 pJ" in text
        assert "with its price of AC ×2, of MAC ×10" in text  # beside the ratios of the twins
        assert address(seen) == {"runs": f"{cnn.id},{snn.id}", "ac": "2", "mac": "10"}


def test_a_price_moved_on_compare_stands_in_the_address_until_it_is_put_back(twins, visit, words):
    snn, cnn = twins
    page = visit("compare", runs=f"{cnn.id},{snn.id}", mode="memory", memory="2", ac="7.77")
    assert page.selectbox(key=Key.MODE).value == "memory" and page.select_slider(key=Key.PRICE.of("memory")).value == 2
    assert page.select_slider(key=Key.PRICE.of("ac")).value == 1  # no place of the slider
    assert set(page.query_params) == {"runs", "mode", "memory"} and "memory ×2" in words(page)
    page.select_slider(key=Key.PRICE.of("mac")).set_value(0.0).run()
    assert address(page)["mac"] == "0" and "MAC at 0 pJ, memory ×2" in words(page)
    next(button for button in page.button if button.label == "The profile's own prices").click().run()
    assert set(page.query_params) == {"runs", "mode"} and "shared link" not in words(page)


def test_another_base_turns_the_difference_round(twins, visit, stack, words):
    snn, cnn = twins
    page = visit("compare", runs=f"{cnn.id},{snn.id}")
    page.selectbox(key=Key.COMPARE_BASE).set_value(snn.id).run()
    assert page.query_params["runs"] == f"{snn.id},{cnn.id}"
    (item,) = stack.client.compare([snn.id, cnn.id], mode="exact", profile="horowitz-45nm").differences
    assert f"{100 * item.accuracy:+.2f} (" in words(page)


def test_what_cannot_be_compared_is_named_and_left_out(twins, visit, words, stack):
    snn, cnn = twins
    waiting = stack.queued("snn", seed=11)
    page = visit("compare", runs=f"{snn.id},nobody,{waiting.id},{cnn.id}")
    assert "nobody is not here" in words(page) and "has not succeeded" in words(page)
    assert page.session_state[Key.COMPARE_RUNS] == [snn.id, cnn.id]


def test_words_that_find_nothing_keep_the_chosen_runs(twins, visit, words):
    snn, cnn = twins
    page = visit("compare", runs=f"{snn.id},{cnn.id}")
    page.text_input(key=Key.COMPARE_FIND).set_value("nothing like it").run()
    picker = page.multiselect(key=Key.COMPARE_PICK)
    assert picker.value == [snn.id, cnn.id] and all(" · Digits, smoke" in option for option in picker.options)
    page.multiselect(key=Key.COMPARE_PICK).set_value([]).run()
    assert "No succeeded run fits these words." in words(page) and "runs" not in page.query_params
