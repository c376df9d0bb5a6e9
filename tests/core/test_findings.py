"""Findings say in words what the charts show."""

import math

import pytest

from core.analysis.findings import chance_finding, diagnostic_findings, gradient_findings
from core.schemas.diagnostics import Diagnostics
from core.schemas.results import Gradients


def findings(*norms, layers=("a", "b", "c")):
    return gradient_findings(
        Gradients(layers=list(layers), epochs=list(range(1, len(norms) + 1)), norm=[list(norm) for norm in norms])
    )


def test_layers_under_one_percent_of_the_largest_are_counted_and_named():
    # 1 % of the largest, 2.0, is 0.02: a is below it, b is on it
    assert findings((0.019, 0.02, 2.0)) == [
        "In epoch 1, 1 of 3 layers receives a gradient under 1 % of the largest (c): a."
    ]
    assert "2 of 3 layers receive gradients" in findings((0.001, 0.002, 2.0))[0]


def test_a_layer_without_any_gradient_cannot_learn():
    assert findings((0.0, 1.0, 1.0)) == ["In epoch 1, the layer a receives no gradient at all and cannot learn."]


def test_even_gradients_are_said_to_be_even():
    assert findings((1.0, 0.5, 0.9)) == [
        "In epoch 1 each of 3 layers receives at least 1 % of the largest gradient (a)."
    ]


def test_a_network_that_learns_nothing_is_called_that():
    assert findings((0.0, 0.0, 0.0)) == ["In epoch 1 no layer receives any gradient: nothing is learned."]


def test_gradients_that_are_not_finite_are_named_and_do_not_hide_the_rest():
    found = findings((math.nan, 0.001, 1.0))
    assert found[0] == "In epoch 1 the gradient of the layer a is not finite."
    assert "under 1 %" in found[1]


def test_the_trend_is_told_from_a_factor_of_two_on():
    assert findings((1.0, 1.0, 1.0), (0.4, 0.4, 0.4))[-1] == "The median layer's norm fell 2.5-fold from epoch 1 to 2."
    assert len(findings((1.0, 1.0, 1.0), (0.6, 0.6, 0.6))) == 1


def test_nothing_recorded_is_no_sentence():
    assert gradient_findings(Gradients(layers=[], epochs=[], norm=[])) == []


# The probe.


def probed(*, kind="snn", layers=("a", "b"), **changes):
    """Two healthy layers over three steps, but for what a test changes of the last epoch."""
    steps, n = (3 if kind == "snn" else 1), len(layers)
    found = {
        "gradient_norm": [[1.0] * steps] * n,
        "firing_rate": [[0.2] * steps] * n,
        "dead": [0.1] * n,
        "saturated": [0.0] * n,
        "active": [[0.3] * steps] * n if kind == "snn" else None,
    } | changes
    bad = {"gradient_norm": [[0.0] * steps] * n, "dead": [1.0] * n}  # of epoch 1, which is not told
    epochs = {name: None if value is None else [bad.get(name, value), value] for name, value in found.items()}
    return diagnostic_findings(
        Diagnostics(kind=kind, time_steps=steps, n_probe=4, layers=list(layers), epochs=[1, 2], **epochs)
    )


def test_a_healthy_last_epoch_is_no_sentence():
    assert probed() == [] == probed(kind="cnn")
    assert diagnostic_findings(Diagnostics(kind="snn", time_steps=3, n_probe=4, layers=["a"])) == []


def test_silence_is_told_with_its_step():
    assert probed(firing_rate=[[0.2, 0.1, 0.0], [0.0, 0.1, 0.1]]) == [
        "a is silent from step 3.",
        "b is silent until step 2.",
    ]
    never = probed(firing_rate=[[0.0] * 3, [0.2] * 3], dead=[1.0, 0.0])
    assert never == ["a never fires: nothing behind it depends on the image through it."]


def test_dead_and_saturated_neurons_are_told_from_a_quarter_on():
    assert probed(dead=[0.43, 0.24]) == ["a: 43 % of its neurons never fire."]
    assert probed(saturated=[0.24, 0.25]) == [
        "b: 25 % of its neurons are saturated: they fire at every step for every image."
    ]
    assert "are positive for every image" in probed(kind="cnn", saturated=[0.5, 0])[0]


def test_an_inactive_layer_is_judged_by_its_liveliest_step():
    assert probed(active=[[0.0, 0.05, 0.0], [0.04, 0.04, 0.04]]) == [
        "b: at no step are more than 5 % of its neurons in the surrogate's active zone, so it passes little gradient on."
    ]


def test_vanishing_gradients_are_told_of_the_layers_at_the_front():
    # the norm of all steps: sqrt(3) x; a and b are below 1 % of the largest, c's
    layers = ("a", "b", "c", "d")
    norms = [[0.009] * 3, [0.001] * 3, [1.0] * 3, [0.5] * 3]
    assert probed(layers=layers, gradient_norm=norms) == [
        "The gradients at the spikes of the first 2 layers are below 1 % of the largest (c): they vanish on the way."
    ]
    assert probed(layers=layers, gradient_norm=[[0.011] * 3, *norms[1:]]) == []  # the first one still learns
    one = probed(layers=layers, gradient_norm=[[0.009] * 3, *norms[2:], [0.5] * 3])
    assert one[0].startswith("The gradients at the spikes of the first layer are below")
    assert probed(layers=layers, gradient_norm=[[0.0] * 3] * 4) == []  # told by the gradients of the weights


@pytest.mark.parametrize(
    ("accuracy", "labels", "said"),
    [
        (0.0944, [36] * 10, "no better than chance"),  # of ten classes
        (0.13, [36] * 10, "no better than chance"),  # 0.1 + 1.96 sqrt(0.09 / 360) = 0.131
        (0.14, [36] * 10, None),
        (0.90, [900, 100], "most frequent of 2 classes gives 90.00 %"),  # always answering the larger class
        (0.95, [900, 100], None),
        (0.40, [12, 0, 14, *[0] * 26, 12], "most frequent of 3 classes gives 36.84 %"),  # of 30, a subset; 14 / 38
        (0.5, [], None),
    ],
)
def test_an_accuracy_at_chance_level_is_said_and_one_above_it_is_not(accuracy, labels, said):
    found = chance_finding(accuracy, labels)
    assert (found is None) if said is None else (said in found)
