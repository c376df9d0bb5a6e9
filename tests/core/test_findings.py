"""Findings say in words what the gradient chart shows."""

import math

from core.analysis.findings import gradient_findings
from core.schemas.api import Gradients


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
