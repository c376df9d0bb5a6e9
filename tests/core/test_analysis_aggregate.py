"""Several seeds as one figure: expected values by hand and from printed tables of Student's t."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.analysis.aggregate import aggregate

VALUES = st.lists(st.floats(-1e3, 1e3), min_size=2, max_size=12)


def test_three_seeds_give_mean_sample_deviation_and_student_interval() -> None:
    found = aggregate([0.90, 0.92, 0.94])
    # squares of the distances from 0.92: 0.0004 + 0 + 0.0004 = 0.0008; over n - 1 = 2 that is 0.0004 = 0.02^2
    assert (found.n, found.mean, found.deviation) == (3, pytest.approx(0.92), pytest.approx(0.02))
    half = 4.302653 * 0.02 / 3**0.5  # t(0.975, 2 degrees of freedom) = 4.302653
    assert (found.low, found.high) == (pytest.approx(0.92 - half), pytest.approx(0.92 + half))


def test_two_seeds_have_the_very_wide_interval_that_two_deserve() -> None:
    found = aggregate([0.8, 0.9])
    # deviation: sqrt(2 * 0.05^2 / 1) = 0.1 / sqrt 2; over sqrt n = sqrt 2 that is 0.05; t(0.975, 1) = 12.706205
    assert found.deviation == pytest.approx(0.1 / 2**0.5)
    assert found.high - found.mean == pytest.approx(12.706205 * 0.05)


def test_one_seed_has_no_spread_and_none_is_nothing() -> None:
    one = aggregate([0.5])
    assert (one.n, one.mean, one.deviation, one.low, one.high) == (1, 0.5, None, None, None)
    assert aggregate([]) is None


@given(VALUES, st.floats(-100, 100))
def test_a_shift_moves_the_mean_and_the_interval_alike(values: list[float], by: float) -> None:
    here, there = aggregate(values), aggregate([value + by for value in values])
    assert there.mean - here.mean == pytest.approx(by, abs=1e-6)
    if here.low is None or there.low is None:  # equal measurements, or equal within a float's precision
        return
    assert there.high - there.low == pytest.approx(here.high - here.low, rel=1e-6, abs=1e-6)


@given(VALUES)
def test_repeating_all_measurements_narrows_the_interval(values: list[float]) -> None:
    once, twice = aggregate(values), aggregate(values * 2)
    if once.low is None:
        assert twice.low is None
        return
    assert twice.high - twice.low <= once.high - once.low
    assert once.low <= once.mean <= once.high
