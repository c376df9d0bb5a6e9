"""Splits: stratified, disjoint, the same everywhere and for ever."""

import hashlib

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.datasets.splits import limited, split_sizes, stratified, train_validation
from core.errors import BadValue

labelled = st.lists(st.integers(0, 4), min_size=2, max_size=200).map(lambda values: np.array(values, dtype=np.int64))


@given(labelled, st.floats(0.01, 0.99), st.integers(0, 1000))
def test_training_and_validation_are_disjoint_and_together_all(labels, share, seed):
    train, validation = train_validation(labels, share, seed)
    assert sorted([*train, *validation]) == list(range(len(labels)))
    assert len(train) >= 1 and len(validation) >= 1


@given(labelled, st.floats(0.01, 0.99), st.one_of(st.none(), st.integers(1, 100)))
def test_the_sizes_are_known_without_the_labels(labels, share, limit):
    train, validation = train_validation(labels, share, 0)
    assert split_sizes(len(labels), share=share, limit=limit) == (
        len(limited(train, labels, limit, 0)),
        len(validation),
    )


@given(labelled, st.data())
def test_each_class_gets_its_proportion_up_to_one_image(labels, data):
    total = data.draw(st.integers(1, len(labels)))
    chosen, others = stratified(np.arange(len(labels)), labels, total, 3)
    assert len(chosen) == total and len(others) == len(labels) - total
    for label in np.unique(labels):
        exact = (labels == label).sum() * total / len(labels)
        assert abs((labels[chosen] == label).sum() - exact) < 1


def test_a_fifth_of_ten_equal_classes_takes_a_fifth_of_each():
    labels = np.repeat(np.arange(10), 50)
    train, validation = train_validation(labels, 0.2, 0)
    assert np.bincount(labels[validation]).tolist() == [50 // 5] * 10
    assert np.bincount(labels[train]).tolist() == [50 - 50 // 5] * 10


def test_a_seed_gives_the_same_split_and_another_seed_another_one():
    labels = np.arange(100) % 4
    assert np.array_equal(train_validation(labels, 0.2, 7)[1], train_validation(labels, 0.2, 7)[1])
    assert not np.array_equal(train_validation(labels, 0.2, 7)[1], train_validation(labels, 0.2, 8)[1])


def test_the_split_is_the_one_that_earlier_results_rest_on():
    """Recorded once. If this fails, every result before and after is on another split."""
    validation = train_validation(np.arange(1000) % 10, 0.2, 0)[1]
    assert validation[:6].tolist() == [20, 23, 24, 26, 28, 35]
    assert hashlib.sha256(validation.astype("<i8").tobytes()).hexdigest()[:12] == "083bd1413c3b"


def test_a_limit_keeps_the_classes_in_proportion_and_is_a_part_of_the_whole():
    labels = np.repeat(np.arange(2), (30, 10))
    kept = limited(np.arange(40), labels, 8, 0)
    assert np.bincount(labels[kept]).tolist() == [6, 2]  # 30 : 10 of 8
    assert np.array_equal(limited(kept, labels, None, 0), kept)
    assert np.array_equal(limited(kept, labels, 8, 1), kept)


@pytest.mark.parametrize("share", [0.0, 1.0, -0.1, float("nan")])
def test_a_share_that_leaves_nothing_is_refused(share):
    with pytest.raises(BadValue, match="validation_share"):
        train_validation(np.array([0, 1, 0, 1]), share, 0)


def test_a_single_image_cannot_be_split():
    with pytest.raises(BadValue, match="at least 2"):
        train_validation(np.array([0]), 0.5, 0)


def test_a_limit_below_one_image_is_refused():
    with pytest.raises(BadValue, match="from 1 to 4"):
        limited(np.arange(4), np.zeros(4, int), 0, 0)
