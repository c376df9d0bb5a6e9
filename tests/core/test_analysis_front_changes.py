"""Prices move: which runs enter and leave the front, and the sentence that says so."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from core.analysis.front_changes import front_changes, sentence, times
from core.analysis.pareto import front

NAMES = ["SNN-SqueezeNet Ref-1", "CNN-SqueezeNet Ref-1", "SNN-MixNet"]
KINDS = ["SNN", "CNN", "SNN"]
VALUE = np.array([0.90, 0.91, 0.80])


def twins(of):
    return lambda run: of.get(run, [])


def test_a_run_that_leaves_is_held_against_its_twin():
    # Before, the spiking network is cheaper than its twin; with memory it costs 9 / 5 = 1.8 times as much.
    found = front_changes(np.array([2.0, 4.0, 1.0]), np.array([9.0, 5.0, 1.0]), VALUE, twins({0: [1], 1: [0]}))
    assert [change.run for change in found.left] == [0] and found.entered == []
    assert found.stayed == [1, 2]  # most accurate first
    said = sentence(found, NAMES, KINDS, "with memory traffic")
    assert said == "SNN-SqueezeNet Ref-1 leaves the front: with memory traffic it costs 1.8 times its CNN twin."


def test_a_twin_that_is_dearer_is_not_the_reason_to_leave():
    # Run 2 becomes dear, and run 1 (cost 3, 91 %) beats it; its twin, run 0, costs even more than run 2.
    found = front_changes(np.array([9.0, 3.0, 1.0]), np.array([9.0, 3.0, 6.0]), VALUE, twins({2: [0]}))
    (left,) = found.left
    assert (left.run, left.rival, left.is_twin, left.ratio) == (2, 1, False, 2.0)
    assert sentence(found, NAMES, KINDS, "at 2 pJ per AC").endswith(
        "at 2 pJ per AC it costs 2 times CNN-SqueezeNet Ref-1."
    )


def test_a_run_that_enters_says_what_it_costs_of_who_beat_it():
    found = front_changes(np.array([5.0, 4.0, 1.0]), np.array([2.0, 4.0, 1.0]), VALUE, twins({}))
    (entered,) = found.entered
    assert (entered.run, entered.rival, entered.ratio) == (0, 1, 0.5)
    said = sentence(found, NAMES, KINDS, "without memory")
    assert said == "SNN-SqueezeNet Ref-1 enters the front: without memory it costs 0.5 times CNN-SqueezeNet Ref-1."


def test_the_same_prices_keep_the_front():
    cost = np.array([2.0, 4.0, 1.0])
    found = front_changes(cost, cost, VALUE, twins({}))
    assert (found.entered, found.left, found.stayed) == ([], [], [1, 0, 2])
    assert sentence(found, NAMES, KINDS, "at these prices") == "The front keeps the same 3 runs at these prices."


def test_a_rival_that_costs_nothing_has_no_ratio():
    found = front_changes(np.array([1.0, 4.0, 9.0]), np.array([1.0, 0.0, 9.0]), VALUE, twins({0: [1]}))
    assert found.left[0].ratio is None
    assert sentence(found, NAMES, KINDS, "now") == "SNN-SqueezeNet Ref-1 leaves the front now."


def test_ratios_in_words():
    said = [times(ratio) for ratio in (1.0, 1.8, 0.36, 9.96, 123.4, 45_000)]
    assert said == ["as much as", "1.8 times", "0.36 times", "10 times", "123 times", "45,000 times"]


prices = st.floats(0.1, 100)
runs = st.lists(st.tuples(prices, prices, st.integers(0, 8).map(lambda eighth: eighth / 8)), min_size=1, max_size=25)


@given(runs)
def test_who_stayed_entered_and_left_make_up_both_fronts(rows):
    before, after, value = (np.array(column) for column in zip(*rows, strict=True))
    found = front_changes(before, after, value, twins({}))
    entered, left = ({change.run for change in part} for part in (found.entered, found.left))
    assert set(found.stayed) | left == set(np.flatnonzero(front(before, value)).tolist())
    assert set(found.stayed) | entered == set(np.flatnonzero(front(after, value)).tolist())
    for change in found.left:  # who leaves is beaten by somebody who costs no more
        assert change.rival is not None and change.ratio >= 1
    for change in found.entered:
        assert change.rival is not None and change.ratio <= 1
