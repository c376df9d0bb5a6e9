"""A sweep's runs one by one: what tells them apart, what matters, and the pictures of them."""

from __future__ import annotations

import pytest

from core.analysis.aggregate import aggregate
from core.analysis.sweep_runs import finished, swept
from core.report import sweep_words
from core.report.charts import pareto_of
from core.report.charts import sweep as charts
from core.search.importance import FEWEST, importance
from tests.support.swept import swept as made

MASKS = {"mask": [["F9"], ["F8", "F9"]]}
LR = {"training.lr": [0.001, 0.01, 0.1]}


def by_mask(values, seed):
    return 0.9 if values["mask"] == "F9" else 0.7


def test_equal_seeds_give_no_interval():
    """An interval without a width would say that the mean is known exactly; 71 of 72 twice does not."""
    found = aggregate([71 / 72, 71 / 72])
    assert (found.n, found.deviation, found.low, found.high) == (2, 0.0, None, None)
    assert aggregate([0.5, 0.6]).low is not None


def test_runs_without_a_result_are_left_out_and_fields_of_one_value_do_not_tell_runs_apart():
    found = made({**MASKS, "kind": ["snn"]}, lambda values, seed: None if seed else by_mask(values, seed))
    runs = finished(found.groups)
    assert [(run.group, run.values["seed"]) for run in runs] == [(0, 0), (1, 0)]
    assert swept(runs) == {"mask": ["F9", "F8,F9"]}  # seed 1 has no result, every run is spiking


def test_numbers_are_in_order_and_a_field_that_a_network_has_not_is_a_value_of_its_own():
    found = made({"training.lr": [0.1, 0.001]}, lambda values, seed: 0.5)
    assert swept(finished(found.groups)) == {"training.lr": [0.001, 0.1], "seed": [0, 1]}
    without = [group.model_copy(update={"values": {}}) for group in found.groups[:1]]
    assert swept(finished([*without, *found.groups[1:]]))["training.lr"] == [0.001, None]


def test_the_field_that_decides_the_accuracy_is_the_most_important():
    found = importance(finished(made({**LR, **MASKS}, by_mask).groups))
    assert found.n == 12 and not found.why_not
    assert next(iter(found.shares)) == "mask" and found.shares["mask"] > 0.9
    assert sum(found.shares.values()) == pytest.approx(1)
    assert found == importance(finished(made({**LR, **MASKS}, by_mask).groups)), "the same runs get the same answer"


def test_importance_says_what_it_lacks():
    few = importance(finished(made(MASKS, by_mask).groups))
    assert few.shares == {} and f"4 have finished, and it takes {FEWEST}" in few.why_not
    assert "same accuracy" in importance(finished(made({**LR, **MASKS}, lambda values, seed: 0.5).groups)).why_not
    assert "two swept fields" in importance(finished(made(LR, lambda v, s: 0.5, seeds=(0,)).groups)).why_not


def test_the_heat_map_has_a_cell_a_run_and_leaves_out_what_has_not_ended():
    found = made(MASKS, lambda values, seed: None if (seed, values["mask"]) == (1, "F9") else by_mask(values, seed))
    chart = charts.heat_map(found, "accuracy", source="here")
    cells = chart.data[0].z
    assert cells[0][0] == pytest.approx(90) and cells[0][1] != cells[0][1] and list(cells[1]) == pytest.approx([70, 70])
    assert "3 of 4 runs" in chart.layout.meta["caption"]
    numbers = [word for trace in chart.data[1:] for word in trace.text if word]
    assert sorted(numbers) == ["70.0", "70.0", "90.0"]


def test_the_heat_map_of_energy_has_one_unit():
    found = made(MASKS, by_mask, energy=lambda values, seed: 2.5e6 if values["mask"] == "F9" else 0.5e6)
    chart = charts.heat_map(found, "energy", source="here")
    assert chart.data[0].colorbar.title.text == "energy, µJ" and chart.data[0].z[1][0] == pytest.approx(0.5)
    assert "mode exact at horowitz-45nm" in chart.layout.meta["caption"]


def test_rows_of_the_heat_map_say_only_what_tells_them_apart():
    """Of long names the ends are cut, so what all of them share would hide what they differ in."""
    labels = ["SNN-SqueezeNet F9, learning rate 0.01, T = 2", "SNN-SqueezeNet F9, learning rate 0.1, T = 2"]
    found = made({"training.lr": [0.01, 0.1]}, lambda values, seed: 0.5)
    named = [group.model_copy(update={"label": label}) for group, label in zip(found.groups, labels, strict=True)]
    chart = charts.heat_map(found.model_copy(update={"groups": named}), "accuracy", source="here")
    assert list(chart.layout.yaxis.ticktext) == ["learning rate 0.01", "learning rate 0.1"]
    assert "each row: SNN-SqueezeNet F9, T = 2" in chart.layout.meta["caption"]
    assert "setting and seed" in chart.layout.title.text
    one = [group.model_copy(update={"label": "one"}) for group in made(MASKS, by_mask).groups[:1]]
    alone = charts.heat_map(found.model_copy(update={"groups": one}), "accuracy", source="here")
    assert list(alone.layout.yaxis.ticktext) == ["one"] and "mask and seed" in alone.layout.title.text


def test_lines_through_a_mask_that_has_a_name_say_the_name():
    found = made({"mask": [["F4", "F6", "F8", "F9"], ["F8", "F9"]]}, lambda values, seed: 0.5 + seed / 10)
    ticks = [one.text for one in charts.parallel(found, source="here").layout.annotations]
    assert "Ref-1" in ticks and "F8,F9" in ticks and "F4,F6,F8,F9" not in ticks


@pytest.mark.parametrize(
    "axis, value, said",
    [
        ("training.lr", 0.001, "learning rate 0.001"),
        ("lr", 0.001, "learning rate 0.001"),
        ("time_steps", 2, "T = 2"),
        ("neuron.v_threshold", 0.5, "v_threshold 0.5"),
        ("training.train_limit", 300, "300 images"),
        ("recipe", "fast", "recipe fast"),
        ("dataset", "digits", "data set Digits"),
    ],
)
def test_fields_of_a_sweep_are_called_as_in_the_form(axis, value, said):
    assert sweep_words.phrase(axis, value) == said


def test_values_of_an_axis_stay_apart_where_one_has_a_comma_itself():
    sweep = made({"mask": [["F9"], ["F8", "F9"]]}, lambda values, seed: 0.5)
    assert sweep_words.axes(sweep) == "mask: F9 / F8,F9; seed: 0, 1"


def test_groups_of_one_name_stay_rows_of_their_own():
    found = made(MASKS, by_mask)
    same = [group.model_copy(update={"label": "one", "values": {}}) for group in found.groups]
    chart = charts.heat_map(found.model_copy(update={"groups": same}), "accuracy", source="here")
    assert list(chart.data[0].y) == ["one", "one (2)"]


def test_parallel_lines_go_through_each_swept_field_and_end_at_the_accuracy():
    chart = charts.parallel(made({**LR, **MASKS}, by_mask), source="here")
    assert list(chart.layout.xaxis.ticktext) == [
        "learning rate",
        "mask",
        "seed",
        "energy,<br>µJ (log)",
        "accuracy,<br>%",
    ]
    best = max(chart.data, key=lambda trace: trace.name)
    lines = [best.y[start : start + 5] for start in range(0, len(best.y), 6)]
    assert len(lines) == 6 and {line[-1] for line in lines} == {1.0}, "all of the better mask are in the last shade"
    assert {line[1] for line in lines} == {0.0}, "and go through its mask"


def test_a_sweep_without_results_has_pictures_that_say_so():
    found = made(MASKS, lambda values, seed: None)
    for chart in (
        charts.heat_map(found, "accuracy", source="here"),
        charts.parallel(found, source="here"),
        charts.importance({}, n=0, why_not="Too few.", source="here"),
        pareto_of.sweep(found),
    ):
        assert not chart.data and chart.layout.annotations


def test_rows_of_the_runs_name_each_swept_field():
    row = charts.rows(made({**LR, **MASKS}, by_mask))[0]
    assert row["training.lr"] == "0.001" and row["mask"] == "F9" and row["seed"] == "0"
    assert row["accuracy_percent"] == pytest.approx(90) and row["energy_mj"] == pytest.approx(1e-3)
