"""A run step by step and the machine meanwhile, as figures."""

from __future__ import annotations

import math

import pytest

from core.report.charts import history, probe
from core.schemas.diagnostics import Diagnostics
from core.schemas.history import StepHistory, UsageHistory
from core.schemas.results import Metrics

STEPS = StepHistory(
    part=["teacher", "run", "run", "run"],
    epoch=[1, 1, 1, 2],
    step=[1, 5, 10, 5],
    steps=[10] * 4,
    loss=[7.0, 2.0, 1.0, 0.5],
)
METRICS = Metrics(
    epoch=[1, 2], lr=[0.1] * 2, train_loss=[1.5, 0.6], train_accuracy=[0.5, 0.7], validation_loss=[1.2, None],
    validation_accuracy=[0.6, None], firing_rate=[None] * 2, wall_s=[1.0] * 2,
)  # fmt: skip


def trace(chart, name):
    return next(one for one in chart.data if one.name.startswith(name))


def test_training_and_validation_are_in_one_chart_over_the_epochs_trained():
    chart = history.figure(STEPS, METRICS)
    training, validation = trace(chart, "training"), trace(chart, "validation")
    assert (list(training.x), list(training.y)) == ([0.5, 1.0, 1.5], [2.0, 1.0, 0.5])
    assert (list(validation.x), list(validation.y)) == ([1], [1.2])  # the epoch that was not validated has no mark
    assert len(chart.data) == 2


def test_smoothing_keeps_the_losses_as_they_were_behind_it():
    chart = history.figure(STEPS, METRICS, smoothing=0.5)
    assert list(trace(chart, "training, as it was").y) == [2.0, 1.0, 0.5]
    # (0.5 * 2 + 1) / 1.5, and (0.25 * 2 + 0.5 * 1 + 0.5) / 1.75
    assert list(trace(chart, "training, smoothed").y) == pytest.approx([2.0, 2.0 / 1.5, 1.5 / 1.75])


def test_smoothing_of_equal_values_changes_none_and_steps_over_what_is_not_finite():
    assert history.smoothed([3.0] * 5, 0.9) == pytest.approx([3.0] * 5)
    assert history.smoothed([2.0, math.nan, 2.0], 0.9) == pytest.approx([2.0, 2.0, 2.0])


def test_a_logarithmic_axis_is_named_and_leaves_out_what_it_cannot_show():
    steps = STEPS.model_copy(update={"loss": [7.0, 2.0, 0.0, 0.5]})
    chart = history.figure(steps, METRICS, log=True)
    assert chart.layout.yaxis.type == "log" and "logarithmic" in chart.layout.yaxis.title.text
    assert list(trace(chart, "training").y) == [2.0, 0.5]


def test_the_twin_that_trains_first_has_a_curve_of_its_own():
    assert "as soon as the trainer takes steps" in history.figure(STEPS, METRICS, part="teacher").layout.annotations[
        0
    ].text.replace("<br>", " ")
    both = StepHistory(part=["teacher"] * 2, epoch=[1, 1], step=[1, 2], steps=[2, 2], loss=[3.0, 2.0])
    chart = history.figure(both, METRICS, part="teacher")
    assert len(chart.data) == 1 and chart.layout.meta["caption"].startswith("the CNN twin")


def test_the_machine_s_load_is_drawn_as_far_as_it_is_known():
    found = UsageHistory(
        at_s=[1000.0, 1060.0], cpu_cores=[0.5, 1.5], machine_busy=[None, 0.25], memory_bytes=[2**30, 2**31],
        gpu_busy=[None, None], gpu_memory_bytes=[None, None],
    )  # fmt: skip
    chart = history.usage(found)
    assert [one.name for one in chart.data] == ["trainer's CPU", "all cores, by anybody", "trainer's memory"]
    assert list(trace(chart, "trainer's CPU").y) == [50.0, 150.0] and list(chart.data[0].x) == [0.0, 1.0]
    assert list(trace(chart, "trainer's memory").y) == [1.0, 2.0]
    assert "sampled every five seconds" in history.usage(UsageHistory()).layout.annotations[0].text.replace("<br>", " ")


def test_rows_hold_every_moment_and_sample():
    assert history.rows(STEPS)[0] == {"part": "teacher", "epoch": 1, "step": 1, "steps": 10, "loss": 7.0}
    assert history.usage_rows(UsageHistory()) == []


def test_a_cnn_s_maps_do_not_speak_of_spikes():
    found = Diagnostics(
        kind="cnn", time_steps=1, n_probe=4, layers=["a"], epochs=[1], gradient_norm=[[[1.0]]], firing_rate=[[[0.5]]],
        dead=[[0.0]], saturated=[[0.0]], active=None,
    )  # fmt: skip
    for quantity in probe.offered(found):
        meaning = probe.meaning_of(found, quantity)
        assert "spike" not in f"{meaning.title} {meaning.what}" and "iring" not in meaning.title
        assert meaning.title in probe.over_epochs(found, quantity).layout.meta["title"]
