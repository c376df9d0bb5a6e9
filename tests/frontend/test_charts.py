"""Charts are pure functions from the API's models to figures: what they draw must be the numbers they got."""

import json
import math
import re
from datetime import UTC, datetime

import numpy as np
import pytest

from core.backbones.catalog import BACKBONES
from core.energy.modes import MODES
from core.report.charts import confusion, curves, energy, firing, gradients, legend, network, pareto, theme
from core.schemas.bill import LayerBill, Layers
from core.schemas.diagnostics import Confusion
from core.schemas.pareto import Pareto, ParetoPoint, PublishedPoint
from core.schemas.preview import LayerPreview, Preview
from core.schemas.results import Gradients, Metrics
from core.schemas.run import Kind, RunConfig
from core.units import energy_scale, format_count, format_energy

EVIL = "<img src=x onerror=alert(1)>%{x}</script>"


def point(
    run_id, *, energy_pj, accuracy, on_front=False, kind="snn", label="SNN-SqueezeNet Ref-1", backbone="squeezenet"
):
    return ParetoPoint(
        run_id=run_id, label=label, backbone=backbone, kind=kind, mask=("F4",), mask_name="Ref-1", dataset="digits",
        recipe="smoke", seed=3, accuracy=accuracy, f1_macro=0.7, params=549_114, acs=16_100_000, macs=4_230_000,
        energy_pj=energy_pj, firing_rate=0.112 if kind == "snn" else None, time_steps=4, n_train=1000, n_test=360,
        dataset_complete=False, on_front=on_front, finished_at=datetime(2026, 1, 1, tzinfo=UTC),
    )  # fmt: skip


def printed(kind="snn", energy_pj=35.5e6):
    return PublishedPoint(model="SqueezeNet", kind=kind, table="table 1", accuracy=0.82, f1_macro=0.81, params=736_500,
                          acs=16.6e6, macs=4.47e6, energy_pj=energy_pj)  # fmt: skip


def some_pareto(**changes):
    points = [
        point("cheap", energy_pj=20e6, accuracy=0.7, on_front=True),
        point("poor", energy_pj=30e6, accuracy=0.6),
        point("best", energy_pj=200e6, accuracy=0.9, on_front=True, kind="cnn", label="CNN-SqueezeNet Ref-1"),
    ]
    fields = {"dataset": "digits", "mode": "paper", "profile": "horowitz-45nm", "points": points,
              "front": ["cheap", "best"], "published": [printed(), printed("cnn", 252e6)]} | changes  # fmt: skip
    return Pareto(**fields)


def trace(figure, name):
    return next(one for one in figure.data if one.name == name)


def own_ids(figure):
    return {row[0] for one in figure.data if one.customdata is not None for row in one.customdata}


def words(part):
    """Every text in a figure's content, as Plotly gets it."""
    if isinstance(part, str):
        yield part
    elif isinstance(part, dict | list):
        for inner in part.values() if isinstance(part, dict) else part:
            yield from words(inner)


def bill(name, kind, *, acs=0.0, macs=0.0, rate=None, steps=None, dense=0):
    return LayerBill(
        name=name, kind=kind, block=None, output_shape=(8, 4, 4), params=1, dense_ops=dense, acs=acs, macs=macs,
        energy_pj=0.9 * acs + 4.6 * macs, mac_energy_pj=4.6 * macs, firing_rate=rate, firing_rate_per_step=steps,
    )  # fmt: skip


def layers_of(*bills, time_steps=2, mode="paper"):
    return Layers(
        mode=mode, profile="horowitz-45nm", n_samples=360, time_steps=time_steps, layers=list(bills),
        total_acs=sum(b.acs for b in bills), total_macs=sum(b.macs for b in bills),
        total_energy_pj=sum(b.energy_pj for b in bills),
    )  # fmt: skip


def metrics_of(accuracies):
    n = len(accuracies)
    return Metrics(epoch=list(range(1, n + 1)), lr=[1e-3] * n, train_loss=[1.0] * n, train_accuracy=list(accuracies),
                   validation_loss=[1.5] * n, validation_accuracy=list(accuracies), firing_rate=[None] * n,
                   wall_s=[1.0] * n)  # fmt: skip


def confusion_of(matrix, classes=None):
    n = len(matrix)
    return Confusion(classes=classes or [f"c{i}" for i in range(n)], matrix=matrix, n=sum(map(sum, matrix)),
                     precision=[0.5] * n, recall=[0.5] * n, f1=[0.5] * n, support=[sum(row) for row in matrix])  # fmt: skip


# Pareto


def test_own_runs_carry_their_ids_their_energy_in_the_axis_unit_and_percent():
    figure = pareto.figure(some_pareto())
    snn = trace(figure, "SNN-SqueezeNet")
    # The median of 20, 30, 35.5, 200 and 252 µJ is 35.5 µJ, so the axis is in µJ = 1e6 pJ.
    assert figure.layout.xaxis.title.text == "energy per inference, µJ (log)"
    assert [row[0] for row in snn.customdata] == ["cheap", "poor"]
    assert list(snn.x) == [20e6 / 1e6, 30e6 / 1e6]
    assert list(snn.y) == [70.0, 60.0]
    assert own_ids(figure) == {"cheap", "poor", "best"}


def test_own_points_are_filled_and_printed_points_hollow_with_the_same_shape_a_kind():
    figure = pareto.figure(some_pareto())
    assert trace(figure, "SNN-SqueezeNet").marker.symbol == "circle"
    assert trace(figure, "CNN-SqueezeNet").marker.symbol == "square"
    assert trace(figure, "SNN, printed").marker.symbol == "circle-open"
    assert trace(figure, "CNN, printed").marker.symbol == "square-open"
    assert "of one time step" in trace(figure, "SNN, printed").hovertext[0]
    assert "of one time step" not in trace(figure, "CNN, printed").hovertext[0]


def test_a_run_s_hover_says_every_figure_it_rests_on():
    hover = trace(pareto.figure(some_pareto()), "SNN-SqueezeNet").hovertext[0]
    for figure in ("SNN-SqueezeNet Ref-1", "70.00 %", "n = 360", "F1 0.700", "20 µJ", "16.1 M AC", "4.23 M MAC", "549,114",
                   "T = 4", "0.112", "seed 3", "1,000 images", "subset"):  # fmt: skip
        assert figure in hover, figure


def test_the_front_is_a_step_line_from_cheap_to_dear_that_ends_level_with_the_dearest_run():
    chart = some_pareto(points=[*some_pareto().points, point("dear", energy_pj=500e6, accuracy=0.5)], published=[])
    figure = pareto.figure(chart, x_log=False)
    line = trace(figure, "Pareto front")
    factor, _ = energy_scale(200e6)
    assert line.line.shape == "hv"
    assert list(line.x) == [20e6 / factor, 200e6 / factor, 500e6 / factor]
    assert list(line.y) == [70.0, 90.0, 90.0]


def test_a_run_that_costs_nothing_stands_on_the_left_edge_of_a_log_axis_and_says_so():
    free = some_pareto(
        points=[point("free", energy_pj=0, accuracy=0.5), point("paid", energy_pj=8e6, accuracy=0.6)],
        front=["paid"],
        published=[],
    )
    figure = pareto.figure(free)
    snn = trace(figure, "SNN-SqueezeNet")
    low, high = figure.layout.xaxis.range
    assert figure.layout.xaxis.type == "log"
    assert list(snn.x) == [8 / 2, 8]  # half of the cheapest: left of all others, and not at minus infinity
    assert low < math.log10(4) and high > math.log10(8)
    assert list(snn.marker.symbol) == ["triangle-left", "circle"]
    assert "0 µJ (no place on a log axis" in snn.hovertext[0]
    assert list(trace(pareto.figure(free, x_log=False), "SNN-SqueezeNet").x) == [0, 8]


def test_the_highlighted_run_is_ringed_and_an_unknown_one_is_not():
    assert list(trace(pareto.figure(some_pareto(), highlight="best"), "chosen run").y) == [90.0]
    assert all(one.name != "chosen run" for one in pareto.figure(some_pareto(), highlight="gone").data)


def test_zoom_survives_new_runs_of_a_view_but_not_another_price():
    first = pareto.figure(some_pareto()).layout.uirevision
    assert first == pareto.figure(some_pareto(points=[])).layout.uirevision
    assert first != pareto.figure(some_pareto(mode="exact")).layout.uirevision


def test_without_any_point_the_figure_is_a_sentence():
    figure = pareto.figure(some_pareto(points=[], published=[], front=[]))
    assert not figure.data
    assert "No finished run on Digits yet" in figure.layout.annotations[0].text.replace("<br>", " ")


# User content


@pytest.mark.parametrize("draw", [
    lambda: pareto.figure(some_pareto(points=[point("a", energy_pj=1, accuracy=1, label=EVIL, backbone=EVIL)], front=[])),
    lambda: confusion.figure(confusion_of([[3, 1], [0, 2]], [EVIL, "b"])),
    lambda: confusion.figure(confusion_of(np.eye(30, dtype=int).tolist(), [f"{EVIL}{i}" for i in range(30)])),
    lambda: curves.figure(metrics_of([0.5]), source=EVIL),
    lambda: energy.figure(layers_of(bill(EVIL, "conv", acs=3)), source=EVIL),
    lambda: firing.figure(layers_of(bill(EVIL, "neuron", rate=0.1, steps=[0.1, 0.1])), source=EVIL),
    lambda: gradients.figure(Gradients(layers=[EVIL], epochs=[1, 2, 3], norm=[[0.0], [1.0], [2.0]]), source=EVIL),
])  # fmt: skip
def test_no_name_or_label_becomes_markup(draw):
    content = json.loads(draw().to_json())
    del content["layout"]["meta"]  # print for pages, which escape by themselves
    found = list(words(content))
    assert any("&lt;img" in text for text in found)  # it is there, as print
    assert not [text for text in found if "<img" in text or "</script" in text]
    for one in content["data"]:  # a template would fill in the name's %{x}
        assert "onerror" not in one.get("hovertemplate", "") and "onerror" not in one.get("texttemplate", "")


# Curves


def test_curves_mark_the_first_best_epoch_and_show_percent():
    figure = curves.figure(metrics_of([0.2, 0.8, 0.8, 0.5]))
    star = trace(figure, "best: epoch 2")
    assert (list(star.x), list(star.y)) == ([2], [80.0])
    accuracy = [one for one in figure.data if one.name == "validation"][1]
    assert list(accuracy.y) == [20.0, 80.0, 80.0, 50.0]
    assert "best validation accuracy 80.0 % at epoch 2" in figure.layout.meta["caption"]


def test_one_epoch_is_a_mark_with_room_around_it():
    figure = curves.figure(metrics_of([0.12]))
    low, high = figure.layout.xaxis2.range
    assert low < 1 < high
    assert "markers" in figure.data[0].mode
    low, high = figure.layout.yaxis2.range
    assert high - low == pytest.approx(10)  # at least ten points, or noise looks like a leap


def test_a_loss_that_is_not_finite_leaves_a_gap_and_valid_json():
    metrics = metrics_of([0.1, 0.2]).model_copy(update={"train_loss": [math.nan, 1.0]})
    figure = curves.figure(metrics)
    assert list(figure.data[0].y) == [None, 1.0]
    json.loads(figure.to_json(), parse_constant=lambda word: pytest.fail(word))


def test_before_the_first_epoch_the_curves_are_a_sentence():
    assert not curves.figure(metrics_of([])).data


# Confusion


def test_right_answers_and_mistakes_have_opposite_signs_and_each_cell_its_own_customdata():
    figure = confusion.figure(confusion_of([[9, 1], [0, 4]]))
    depth = np.asarray(trace(figure, "shares").z)
    # row shares 0.9, 0.1 / 0, 1; the depth is 100 times their square root, negative off the diagonal
    assert depth.tolist() == [[round(100 * 0.9**0.5), -round(100 * 0.1**0.5)], [0, 100]]
    cells = trace(figure, "cells")
    assert [tuple(row) for row in cells.customdata] == [(0, 0), (0, 1), (1, 0), (1, 1)]
    assert cells.hovertext[1] == "<b>c0</b> taken for <b>c1</b><br>1 of 10 images (10.0 %)"
    printed_counts = {text for one in figure.data if one.name == "counts" for text in one.text}
    assert printed_counts == {"9", "1", "4"}
    assert "13 of n = 14 test images right (92.9 %)" in figure.layout.meta["caption"]


def test_a_class_without_test_images_divides_by_nothing():
    depth = np.asarray(trace(confusion.figure(confusion_of([[2, 0], [0, 0]])), "shares").z)
    assert depth.tolist() == [[100, 0], [0, 0]]


def test_two_hundred_classes_stay_small_and_thin_their_names():
    matrix = np.random.default_rng(0).integers(0, 50, (200, 200))
    figure = confusion.figure(confusion_of(matrix.tolist()))
    assert len(figure.to_json()) < 150_000
    assert len(figure.layout.xaxis.tickvals) <= 20
    assert np.array_equal(np.asarray(figure.data[0].customdata), matrix)


def test_classes_of_one_name_keep_a_row_each():
    figure = confusion.figure(confusion_of(np.eye(30, dtype=int).tolist(), ["crane"] * 30))
    assert len(set(figure.data[0].x)) == 30


def test_the_worst_mistakes_come_first_and_right_answers_never():
    found = confusion.worst(confusion_of([[90, 4, 6], [5, 5, 0], [0, 0, 7]], ["a", "b", "c"]), limit=2)
    assert found == [("a", "c", 6, 0.06), ("b", "a", 5, 0.5)]
    assert confusion.worst(confusion_of([[1, 0], [0, 1]])) == []


# Gradients


def test_zero_gradients_are_marked_and_left_out_of_the_log_scale():
    norm = [[0.0, 1e-2], [1e-4, 1e-1], [1e-3, 1.0]]
    figure = gradients.figure(Gradients(layers=["a.conv", "b.conv"], epochs=[1, 2, 3], norm=norm))
    depth = np.asarray(trace(figure, "gradient norm").z, dtype=float)  # [layer][epoch]
    assert np.isnan(depth[0, 0])
    assert depth[0, 1:].tolist() == pytest.approx([-4, -3])
    assert depth[1].tolist() == pytest.approx([-2, -1, 0])
    zero = trace(figure, "exactly zero")
    assert (list(zero.x), list(zero.y)) == ([1], ["a"])
    assert "1 of 6 values are exactly zero" in figure.layout.meta["caption"]


def test_layers_stand_in_network_order_from_the_top():
    figure = gradients.figure(Gradients(layers=["z.conv", "a.conv"], epochs=[1], norm=[[1.0, 2.0]]))
    assert list(figure.layout.yaxis.categoryarray) == ["z", "a"]
    assert figure.layout.yaxis.autorange == "reversed"
    assert figure.layout.xaxis.type == "log"


def test_one_epoch_puts_zeros_on_the_left_edge_with_another_symbol():
    figure = gradients.figure(Gradients(layers=["a", "b"], epochs=[1], norm=[[0.0, 0.8]]))
    marks = trace(figure, "epoch 1")
    assert list(marks.x) == [0.2, 0.8]  # a quarter of the smallest positive norm
    assert list(marks.marker.symbol) == ["x", "circle"]


@pytest.mark.parametrize("norm", [[[0.0, 0.0]], [[0.0, 0.0]] * 4, [[math.nan, math.inf]] * 4])
def test_gradients_without_a_positive_finite_value_still_draw(norm):
    figure = gradients.figure(Gradients(layers=["a", "b"], epochs=list(range(1, len(norm) + 1)), norm=norm))
    drawn = json.loads(figure.to_json())
    zeros = sum(value == 0 for row in norm for value in row)
    told = f"{zeros} of {2 * len(norm)} values are exactly zero"
    assert (told in drawn["layout"]["meta"]["caption"]) is (zeros > 0)
    assert drawn["layout"]["yaxis"]["categoryarray"] == ["a", "b"]
    axis = drawn["layout"]["xaxis"]
    if len(norm) == 1:  # marks on a log axis: both zeros on its edge
        assert drawn["data"][0]["x"] == [1e-3 / 4] * 2 and all(math.isfinite(end) for end in axis["range"])
    else:  # a map: nothing in it, and a mark for each zero
        assert axis["range"] == [0.5, len(norm) + 0.5]
        marks = [one for one in drawn["data"] if one["type"] == "scatter"]
        assert sum(len(one["x"]) for one in marks) == zeros


# Layers


def test_energy_of_a_layer_is_split_into_what_acs_and_macs_cost():
    figure = energy.figure(
        layers_of(
            bill("F4.conv", "conv", acs=1000, dense=5000), bill("F4.bn", "bn", macs=200), bill("x", "conv", macs=500)
        )
    )
    assert list(figure.data[0].y) == ["F4", "x"]
    assert figure.layout.xaxis.title.text == "energy per inference, nJ"
    assert list(figure.data[0].x) == pytest.approx([1000 * 0.9 / 1e3, 0])
    assert list(figure.data[1].x) == pytest.approx([200 * 4.6 / 1e3, 500 * 4.6 / 1e3])
    assert figure.data[0].marker.pattern.shape != figure.data[1].marker.pattern.shape  # told apart without colour


def test_a_layer_with_both_kinds_of_operation_is_split_as_the_bill_says_and_by_no_price_of_today():
    mine = bill("a", "conv", acs=10, macs=2).model_copy(update={"energy_pj": 70.0, "mac_energy_pj": 60.0})
    figure = energy.figure(layers_of(mine).model_copy(update={"profile": "a profile that is gone"}))
    assert [list(one.x) for one in figure.data] == [[pytest.approx(10)], [pytest.approx(60)]]


def test_a_bill_stored_without_the_split_is_split_by_what_a_layer_of_macs_alone_paid():
    """3 pJ a MAC in the layer `a`, so 2 of them are 6 of the 10 pJ of `b`."""
    stored = [
        bill(name, "conv", acs=acs, macs=macs).model_copy(update={"energy_pj": pj, "mac_energy_pj": None})
        for name, acs, macs, pj in (("a", 0, 4, 12.0), ("b", 8, 2, 10.0))
    ]
    both = energy.figure(layers_of(*stored))
    assert [list(one.x) for one in both.data] == [[0, pytest.approx(4)], [pytest.approx(12), pytest.approx(6)]]
    alone = energy.figure(layers_of(stored[1]))  # nothing tells the price: no part of it is made up
    assert [list(one.x) for one in alone.data] == [[pytest.approx(10)], [0]]


def test_memory_has_a_bar_of_its_own_where_the_mode_has_memory():
    """100 pJ, of which 81.8 pJ are memory: the rest is 10 ACs at 0.9 pJ and 2 MACs at 4.6 pJ."""
    one = bill("a", "conv", acs=10, macs=2).model_copy(update={"energy_pj": 100.0, "memory_energy_pj": 81.8})
    shown = energy.figure(layers_of(one, mode="memory"))
    assert [list(part.x) for part in shown.data] == [[pytest.approx(9)], [pytest.approx(9.2)], [pytest.approx(81.8)]]


def test_a_mode_in_which_nothing_costs_is_a_sentence():
    figure = energy.figure(layers_of(bill("a", "conv", dense=3), mode="exact"))
    assert not figure.data and "exact" in figure.layout.annotations[0].text


def test_the_energy_chart_says_how_many_steps_it_charges():
    assert "one time step of 2" in energy.figure(layers_of(bill("a", "conv", acs=1))).layout.meta["caption"]
    assert "all 2 time steps" in energy.figure(layers_of(bill("a", "conv", acs=1), mode="exact")).layout.meta["caption"]


@pytest.mark.parametrize("mode", MODES)
def test_only_the_mode_paper_is_said_to_charge_one_time_step(mode):
    words = energy.figure(layers_of(bill("a", "conv", acs=1), mode=mode)).layout.meta["caption"]
    assert f"mode {mode}: " + ("one time step of 2" if mode == "paper" else "all 2 time steps") in words
    words = pareto.figure(some_pareto(mode=mode)).layout.meta["caption"]
    assert f"mode {mode} " + ("(one time step)" if mode == "paper" else "(all time steps)") in words


def test_the_steps_of_firing_rates_are_named_beside_the_plot_which_keeps_its_height():
    two, eight = (
        firing.figure(layers_of(bill("a.act", "neuron", rate=0.1, steps=[0.1] * n), time_steps=n)) for n in (2, 8)
    )
    assert [entry.shape for entry in legend.entries(eight)] == ["area", *["line-ns"] * 8]
    assert not eight.layout.showlegend  # on a phone nine names would leave four layers hardly any room
    assert len({figure.layout.height - figure.layout.margin.t for figure in (two, eight)}) == 1


def test_firing_shows_the_mean_and_each_step_of_layers_with_neurons_only():
    figure = firing.figure(
        layers_of(bill("a.conv", "conv", acs=1), bill("a.act", "neuron", rate=0.2, steps=[0.1, 0.3]))
    )
    assert list(trace(figure, "mean over steps").x) == [0.2]
    assert [list(trace(figure, f"step {t}").x) for t in (1, 2)] == [[0.1], [0.3]]


def test_many_steps_are_drawn_as_their_range():
    rates = [0.01 * t for t in range(16)]
    figure = firing.figure(layers_of(bill("a.act", "neuron", rate=0.075, steps=rates), time_steps=16))
    assert list(trace(figure, "lowest to highest step").x) == [0.0, 0.15, None]


def test_a_cnn_fires_nowhere_and_the_chart_says_so():
    figure = firing.figure(layers_of(bill("a.act", "relu"), time_steps=1))
    assert not figure.data and "no spiking neurons" in figure.layout.annotations[0].text


def test_the_network_chart_shows_dense_ops_of_layers_with_weights():
    config = RunConfig(mask=("F4",), kind=Kind.SNN)
    shown = [
        LayerPreview(name=f"l{i}.conv", kind="conv", block=None, output_shape=(1, 2, 3), params=7, dense_macs=macs)
        for i, macs in enumerate((300, 0, 100))
    ]
    figure = network.figure(Preview(
        config=config, config_hash="h", mask_name=None, params=21, dense_macs=400, macs=400, neurons=1, layers=shown,
        training_memory_bytes=1, dataset_ready=True, dataset_note=None, n_train=1, time=None, equal_run=None,
    ))  # fmt: skip
    assert list(figure.data[0].x) == [300, 100]
    assert list(figure.data[0].y) == ["l0", "l2"]
    assert "75.0 % of the network" in figure.data[0].hovertext[0]
    assert "run 4 times, once a step" in figure.layout.meta["caption"]


# Look


def test_every_chart_has_title_caption_revision_and_draws_no_webgl():
    charts = [
        pareto.figure(some_pareto()),
        curves.figure(metrics_of([0.1, 0.2])),
        confusion.figure(confusion_of([[1]])),
        gradients.figure(Gradients(layers=["a"], epochs=[1, 2, 3], norm=[[1.0]] * 3)),
        firing.figure(layers_of(bill("a", "neuron", rate=0.1, steps=[0.1, 0.1]))),
        energy.figure(layers_of(bill("a", "conv", acs=1))),
    ]
    for chart in charts:
        assert chart.layout.title.text and chart.layout.title.subtitle.text and chart.layout.uirevision
        lines = re.sub("<span[^>]+>|</span>", "", chart.layout.title.subtitle.text).split("<br>")
        assert max(map(len, lines)) <= 54 + len("&amp;")
        assert not [one.type for one in chart.data if one.type.endswith("gl")]


def test_dressing_for_the_dark_changes_the_text_and_nothing_of_the_data():
    chart = pareto.figure(some_pareto())
    data = json.loads(chart.to_json())["data"]
    light = theme.template("light").layout.font.color
    assert theme.dress(chart, "dark").layout.template.layout.font.color != light
    assert json.loads(chart.to_json())["data"] == data


def test_a_family_keeps_its_colour_and_the_kinds_differ():
    assert theme.colour("squeezenet", Kind.SNN) == theme.BLUE
    assert theme.colour("squeezenet", Kind.CNN) == theme.VERMILION
    assert len({theme.colour(name, kind) for name in BACKBONES for kind in Kind}) == 2 * len(BACKBONES)


def test_log_ticks_are_plain_within_a_few_decades_and_powers_beyond():
    near = theme.log_ticks(20, 200)
    assert dict(zip(near["tickvals"], near["ticktext"], strict=True))[50] == "50"
    assert "10<sup>-6</sup>" in theme.log_ticks(1e-6, 1)["ticktext"]


def test_figures_that_would_round_to_a_thousand_take_the_next_unit():
    assert format_energy(999.9e3) == "1 µJ"
    assert format_count(999_600) == "1 M"
    assert format_count(999.4) == "999"
