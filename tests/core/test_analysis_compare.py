"""Two networks on the same images: counted by hand."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.analysis.compare import interval, paired, ratio
from core.bundle import Predictions

CLASSES = ["a", "b"]


def network(said: list[int], *, label: list[int], index: list[int] | None = None, steps: int = 1) -> Predictions:
    """A network that answers `said`, each step with the same output."""
    outputs = np.eye(2, dtype=np.float32)[said][:, None, :].repeat(steps, axis=1)
    return Predictions(
        index=np.array(index or range(len(said))), label=np.array(label), outputs=outputs, classes=CLASSES
    )


def test_images_gained_and_lost_are_counted_both_ways() -> None:
    label = [0, 0, 0, 0, 0, 1, 1, 1, 1, 1]
    first = network([0, 0, 0, 1, 1, 1, 1, 0, 1, 1], label=label)  # wrong on 3, 4, 7
    second = network([0, 1, 0, 0, 0, 1, 1, 1, 1, 1], label=label, steps=4)  # wrong on 1
    found = paired(first, second)
    assert (found.gained_indices, found.lost_indices) == ([3, 4, 7], [1])
    assert (found.n, found.gained, found.lost) == (10, 3, 1)
    assert found.accuracy == pytest.approx((3 - 1) / 10)
    # half an image more in each of the four cells: (3.5 - 1.5) / 12, and its standard error
    half = 1.959964 * (3.5 + 1.5 - (3.5 - 1.5) ** 2 / 12) ** 0.5 / 12
    assert (found.low, found.high) == (pytest.approx(2 / 12 - half), pytest.approx(2 / 12 + half))


def test_the_order_of_the_images_does_not_matter() -> None:
    first = network([0, 1, 0], label=[0, 0, 0])
    second = network([1, 1, 0], label=[0, 0, 0])
    turned = network([0, 1, 1], label=[0, 0, 0], index=[2, 1, 0])  # the same answers, told backwards
    assert paired(first, second) == paired(first, turned)
    assert paired(first, turned).lost_indices == [0]


@pytest.mark.parametrize(
    "other",
    [network([0, 0], label=[0, 1], index=[0, 2]), network([0, 0], label=[0, 0]), network([0], label=[0])],
    ids=["other images", "other labels", "fewer images"],
)
def test_networks_tested_on_different_images_are_not_paired(other: Predictions) -> None:
    assert paired(network([0, 0], label=[0, 1]), other) is None


def test_no_more_than_a_hundred_images_are_listed_and_all_are_counted() -> None:
    label = [0] * 250
    found = paired(network([1] * 250, label=label), network([0] * 250, label=label))
    assert found.gained == 250 and found.gained_indices == list(range(100)) and found.lost_indices == []
    assert found.accuracy == 1.0 and found.high == 1.0


def test_equal_answers_do_not_make_an_interval_of_no_width() -> None:
    low, high = interval(gained=0, lost=0, n=100)
    assert low == -high and high == pytest.approx(1.959964 / 102)  # sqrt(1/2 + 1/2) / (100 + 2)


@given(st.integers(0, 50), st.integers(0, 50), st.integers(1, 1000))
def test_swapping_the_networks_mirrors_the_interval_which_holds_the_difference(gained: int, lost: int, more: int):
    n = gained + lost + more
    low, high = interval(gained=gained, lost=lost, n=n)
    back = interval(gained=lost, lost=gained, n=n)
    assert (low, high) == (pytest.approx(-back[1]), pytest.approx(-back[0]))
    assert -1 <= low <= (gained - lost) / n <= high <= 1


def test_a_ratio_to_nothing_is_none() -> None:
    assert ratio(3.0, 2.0) == 1.5 and ratio(3.0, 0.0) is None
