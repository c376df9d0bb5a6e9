"""Expected hypervolume gain: exact where nothing is uncertain, the mean of real draws where something is."""

from statistics import NormalDist

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.analysis.pareto import hypervolume
from core.search.gain import expected_gain

WORST = {"worst_cost": 10.0, "worst_value": 0.0}
unit = st.floats(0, 12).map(lambda x: round(x, 2))
fronts = st.lists(st.tuples(unit, unit), max_size=6)
deviations = st.floats(0, 5)


def gain(pairs, *, cost, value, cost_sd=0.0, value_sd=0.0):
    costs, values = np.array(pairs, float).reshape(-1, 2).T
    (found,) = expected_gain(costs, values, cost=cost, cost_sd=cost_sd, value=value, value_sd=value_sd, **WORST)
    return found


def enlarged(pairs, cost, value):
    before, after = (
        hypervolume(*np.array(points, float).reshape(-1, 2).T, **WORST) for points in (pairs, [*pairs, (cost, value)])
    )
    return after - before


@given(fronts, unit, unit)
def test_without_uncertainty_the_gain_is_the_area_that_the_point_adds(pairs, cost, value):
    assert gain(pairs, cost=cost, value=value) == pytest.approx(enlarged(pairs, cost, value), abs=1e-9)


@given(fronts, unit, unit, deviations, deviations)
def test_a_gain_is_never_negative(pairs, cost, value, cost_sd, value_sd):
    assert gain(pairs, cost=cost, value=value, cost_sd=cost_sd, value_sd=value_sd) >= 0


@given(unit, unit, st.floats(0, 5), st.floats(0, 5))
def test_a_point_that_is_certainly_dominated_gains_nothing(cost, value, dearer, worse):
    assert gain([(cost, value)], cost=cost + dearer, value=value - worse) == 0


def test_a_dominated_but_uncertain_point_may_still_gain():
    # it gains where V > 5, one deviation above its mean: E[(V - 5)+] = phi(1) - (1 - Phi(1)), over costs from 3 to 10
    excess = NormalDist().pdf(1) - (1 - NormalDist().cdf(1))
    assert gain([(2, 5)], cost=3, value=4, value_sd=1.0) == pytest.approx(excess * (10 - 3))


def test_the_gain_of_one_rectangle_is_its_area():
    # cheaper by 2 than the front's only point and as good: 2 wide, 5 high
    assert gain([(4, 5)], cost=2, value=5) == pytest.approx(2 * 5)


def test_the_expectation_is_the_mean_gain_of_many_draws():
    pairs = [(2.0, 3.0), (4.0, 6.0), (7.0, 7.0)]
    random = np.random.default_rng(0)
    draws = [
        enlarged(pairs, cost, value)
        for cost, value in zip(random.normal(3.5, 1.5, 4000), random.normal(5.5, 1.0, 4000), strict=True)
    ]
    error = np.std(draws) / np.sqrt(len(draws))
    assert gain(pairs, cost=3.5, value=5.5, cost_sd=1.5, value_sd=1.0) == pytest.approx(np.mean(draws), abs=4 * error)
