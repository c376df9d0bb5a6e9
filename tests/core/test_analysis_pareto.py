"""The Pareto front: what is on it, what is not, and the area it dominates."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.analysis.pareto import front, front_of_two_costs, history, hypervolume

few = st.integers(0, 6).map(float)  # few values, so that ties are common
wide = st.floats(allow_nan=True, allow_infinity=True)
points = st.lists(st.tuples(st.one_of(few, wide), st.one_of(few, wide)), max_size=40)


def columns(pairs):
    cost, value = zip(*pairs, strict=True) if pairs else ((), ())
    return np.array(cost, float), np.array(value, float)


def dominates(a, b):
    """a is at least as good in both and better in one; NaN compares as false."""
    return a[0] <= b[0] and a[1] >= b[1] and (a[0] < b[0] or a[1] > b[1])


@given(points)
def test_a_point_is_on_the_front_exactly_when_no_other_dominates_it(pairs):
    kept = front(*columns(pairs))
    for point, on_front in zip(pairs, kept, strict=True):
        known = not np.isnan(point).any()
        assert on_front == (known and not any(dominates(other, point) for other in pairs))


@given(points)
def test_every_point_off_the_front_is_dominated_by_one_on_it(pairs):
    kept = front(*columns(pairs))
    best = [point for point, on_front in zip(pairs, kept, strict=True) if on_front]
    for point, on_front in zip(pairs, kept, strict=True):
        if not on_front and not np.isnan(point).any():
            assert any(dominates(other, point) for other in best)


@given(points, st.randoms())
def test_the_order_of_the_points_does_not_matter(pairs, random):
    shuffled = list(enumerate(pairs))
    random.shuffle(shuffled)
    kept = front(*columns(pairs))
    again = front(*columns([pair for _, pair in shuffled]))
    assert [bool(kept[i]) for i, _ in shuffled] == again.tolist()


def test_a_front_by_hand():
    cost = np.array([1, 2, 2, 3, 4, 5])
    value = np.array([0.5, 0.7, 0.6, 0.7, 0.9, 0.8])
    # (2, 0.6) loses to (2, 0.7), (3, 0.7) to the cheaper (2, 0.7), (5, 0.8) to (4, 0.9)
    assert front(cost, value).tolist() == [True, True, False, False, True, False]


def test_equal_points_are_all_kept():
    assert front(np.array([1.0, 1.0, 2.0]), np.array([0.5, 0.5, 0.4])).tolist() == [True, True, False]


def test_a_point_without_a_value_is_never_on_the_front_and_hides_nobody():
    assert front(np.array([0.0, np.nan, 1.0]), np.array([np.nan, 1.0, 0.5])).tolist() == [False, False, True]


def test_no_points_have_an_empty_front():
    assert front(np.array([]), np.array([])).tolist() == []


def test_unequal_rows_are_refused():
    with pytest.raises(ValueError, match="equally long"):
        front(np.zeros(2), np.zeros(3))


def test_a_hypervolume_by_hand():
    # (1, 0.5) covers costs 1..2, (2, 0.8) covers 2..4, (3, 0.6) is dominated
    area = (2 - 1) * 0.5 + (4 - 2) * 0.8
    cost, value = np.array([1.0, 2.0, 3.0]), np.array([0.5, 0.8, 0.6])
    assert hypervolume(cost, value, worst_cost=4, worst_value=0) == pytest.approx(area)


def test_points_beyond_the_reference_add_nothing():
    cost, value = np.array([1.0, 9.0, 0.5]), np.array([0.5, 0.9, 0.1])
    assert hypervolume(cost, value, worst_cost=4, worst_value=0.2) == pytest.approx((4 - 1) * (0.5 - 0.2))
    assert hypervolume(np.array([]), np.array([]), worst_cost=1, worst_value=0) == 0


@given(st.lists(st.tuples(few, few), max_size=12))
def test_a_hypervolume_equals_the_covered_cells_of_a_grid(pairs):
    cells = sum(any(c <= x and v > y for c, v in pairs) for x in range(7) for y in range(7))
    assert hypervolume(*columns(pairs), worst_cost=7, worst_value=0) == pytest.approx(cells)


@given(st.lists(st.tuples(few, few), min_size=1, max_size=12), st.tuples(few, few))
def test_one_more_point_never_makes_the_hypervolume_smaller(pairs, more):
    before = hypervolume(*columns(pairs), worst_cost=7, worst_value=-1)
    assert hypervolume(*columns([*pairs, more]), worst_cost=7, worst_value=-1) >= before


def test_a_hypervolume_needs_a_finite_reference():
    with pytest.raises(ValueError, match="finite"):
        hypervolume(np.array([1.0]), np.array([1.0]), worst_cost=np.inf, worst_value=0)


@given(st.lists(st.tuples(few, few), max_size=40))
def test_the_area_after_each_run_is_the_area_of_all_until_then(pairs):
    cost, value = columns(pairs)
    worst = {"worst_cost": 5.5, "worst_value": 0.5}  # some lie beyond it
    after = history(cost, value, **worst)
    expected = [hypervolume(cost[: n + 1], value[: n + 1], **worst) for n in range(len(cost))]
    assert after.tolist() == pytest.approx(expected)
    assert (np.diff(after) >= 0).all()


def test_a_history_leaves_out_what_is_not_known_and_refuses_what_has_no_end():
    worst = {"worst_cost": 10.0, "worst_value": 0.0}
    assert history(np.array([np.nan, 4.0, 20.0]), np.array([9.0, 2.0, 9.0]), **worst).tolist() == [0.0, 12.0, 12.0]
    with pytest.raises(ValueError, match="finite"):
        history(np.array([1.0]), np.array([np.inf]), **worst)
    with pytest.raises(ValueError, match="finite"):
        history(np.array([1.0]), np.array([1.0]), worst_cost=np.inf, worst_value=0.0)


@given(st.lists(st.tuples(*[st.one_of(few, wide)] * 3), max_size=40))
def test_of_two_costs_and_a_value_a_point_is_kept_exactly_when_no_other_dominates_it(triples):
    parts = [np.array(part, float) for part in zip(*triples, strict=True)] if triples else [np.empty(0)] * 3
    losses = [(a, b, -value) for a, b, value in triples]
    for own, kept in zip(losses, front_of_two_costs(*parts), strict=True):
        others = (all(x <= y for x, y in zip(other, own, strict=True)) and other != own for other in losses)
        assert kept == (not np.isnan(own).any() and not any(others))


def test_two_costs_of_another_length_than_the_value_are_refused():
    with pytest.raises(ValueError, match=r"\(2,\), \(3,\), \(2,\)"):
        front_of_two_costs(np.zeros(2), np.zeros(3), np.zeros(2))
