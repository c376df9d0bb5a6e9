"""Prices that somebody moves, and how sure a place on the front is."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.analysis.certainty import accuracy_spread, front_probability
from core.analysis.pareto import front, history, hypervolume
from core.analysis.reprice import moved
from core.energy.price import energy_pj
from core.energy.profiles import profiles
from core.schemas.prices import Factors

HOROWITZ = profiles()["horowitz-45nm"]
LOIHI = profiles()["loihi"]
counts = st.floats(0, 1e9)


@given(
    st.lists(st.tuples(counts, counts, counts, counts), min_size=1, max_size=5),
    st.sampled_from(["horowitz-45nm", "loihi", "truenorth"]),
)
def test_many_runs_cost_what_each_costs_alone(rows, name):
    acs, macs, reads, updates = (np.array(column) for column in zip(*rows, strict=True))
    other = {"sram-8k@event": reads, "lif-update": updates}
    alone = [energy_pj(a, m, profiles()[name], {"sram-8k@event": r, "lif-update": u}) for a, m, r, u in rows]
    assert energy_pj(acs, macs, profiles()[name], other) == pytest.approx(alone)


def test_each_slider_moves_its_own_operations():
    one = np.ones(1)
    other = {"sram-8k": 2 * one}
    read = HOROWITZ.constant_pj("sram-8k")
    for factors, expected in (
        (Factors(), 0.9 + 4.6 + 2 * read),
        (Factors(ac=2), 2 * 0.9 + 4.6 + 2 * read),
        (Factors(mac=0.5), 0.9 + 2.3 + 2 * read),
        (Factors(memory=0), 0.9 + 4.6),
    ):
        assert energy_pj(one, one, moved(HOROWITZ, factors), other) == pytest.approx(expected)


def test_a_price_that_was_moved_has_no_published_range_any_more():
    truenorth = profiles()["truenorth"]
    assert truenorth.ac_range == (2.5, 26)
    assert moved(truenorth, Factors(mac=2)).ac_range == (2.5, 26)
    assert moved(truenorth, Factors(ac=2)).ac_range == (52, 52)


def test_several_seeds_scatter_as_they_do_and_one_seed_as_its_test_images():
    centre, deviation = accuracy_spread(np.array([0.8, 0.9, 0.75]), np.array([100, 100, 300]), ["a", "a", "b"])
    assert centre == pytest.approx([0.85, 0.85, 0.75])
    # (0.8 - 0.85)^2 + (0.9 - 0.85)^2 = 0.005, over n - 1 = 1; sqrt(0.75 * 0.25 / 300) = 0.025
    assert deviation == pytest.approx([0.005**0.5, 0.005**0.5, 0.025])


def test_runs_without_a_group_are_not_seeds_of_each_other():
    centre, _ = accuracy_spread(np.array([0.8, 0.9]), np.array([100, 100]), ["", ""])
    assert centre == pytest.approx([0.8, 0.9])


def probability(accuracy, deviation, acs, profile=HOROWITZ, macs=None):
    n = len(accuracy)
    return front_probability(centre=np.array(accuracy), deviation=np.array(deviation), acs=np.array(acs, float),
                             macs=np.zeros(n) if macs is None else np.array(macs, float), other={}, profile=profile)  # fmt: skip


def test_without_scatter_the_probability_is_the_front_itself():
    assert probability([0.9, 0.8, 0.7], [0, 0, 0], [3, 1, 2]).tolist() == [1, 1, 0]


def test_the_cheapest_is_always_on_the_front_and_a_coin_toss_is_a_half():
    # Run 1 is dearer, and as accurate as run 0 up to the same scatter: it is ahead in half of the draws.
    found = probability([0.8, 0.8], [0.01, 0.01], [1, 2])
    assert found[0] == 1
    assert found[1] == pytest.approx(0.5, abs=4 * 0.5 / 400**0.5)  # four standard errors of 400 draws


def test_a_range_of_prices_makes_a_close_race_unsure_and_the_same_question_gets_the_same_answer():
    # 10 ACs against 1 MAC of 4.6 pJ: at TrueNorth's 2.5 to 26 pJ an AC the SNN costs 25 to 260 pJ, the CNN 4.6 x 20 = 92.
    truenorth = profiles()["truenorth"]
    found = probability([0.8, 0.8], [0, 0], [10, 0], truenorth, macs=[0, 20])
    # The SNN is cheaper while the price is below 9.2 pJ: log(9.2 / 2.5) / log(26 / 2.5) of the draws.
    share = np.log(9.2 / 2.5) / np.log(26 / 2.5)
    assert found == pytest.approx([share, 1 - share], abs=4 * 0.5 / 400**0.5)
    assert found.tolist() == probability([0.8, 0.8], [0, 0], [10, 0], truenorth, macs=[0, 20]).tolist()
    fixed = truenorth.model_copy(update={"ac_range": (26, 26)})
    assert probability([0.8, 0.8], [0, 0], [10, 0], fixed, macs=[0, 20]).tolist() == [0, 1]


def test_a_history_by_hand():
    # (2, 0.5) covers 2..4; (3, 0.4) is beaten; (1, 0.25) adds 1..2 at 0.25
    areas = history(np.array([2, 3, 1]), np.array([0.5, 0.4, 0.25]), worst_cost=4, worst_value=0)
    assert areas == pytest.approx([1.0, 1.0, 1.25])


few = st.integers(0, 6).map(float)


@given(st.lists(st.tuples(few, few), min_size=1, max_size=12))
def test_a_history_says_at_each_point_what_the_hypervolume_of_those_so_far_is(pairs):
    cost, value = (np.array(column) for column in zip(*pairs, strict=True))
    areas = history(cost, value, worst_cost=7, worst_value=-1)
    for n in range(1, len(pairs) + 1):
        assert areas[n - 1] == pytest.approx(hypervolume(cost[:n], value[:n], worst_cost=7, worst_value=-1))
    assert (np.diff(areas) >= -1e-12).all()
    assert front(cost, value).any()
