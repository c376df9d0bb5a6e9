"""Calibration by hand and by its bounds; who was right where the other was not."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.analysis.calibration import calibration
from core.analysis.predictions import confidences, predict, right_alone
from core.bundle import Predictions


def outputs_with(*shares):
    """[N, 1, C] outputs whose softmax is `shares`."""
    return np.log(np.array(shares, dtype=np.float64))[:, None, :].astype(np.float32)


def test_ece_brier_and_nll_by_hand():
    # two images at 0.8 in the answer, one right; one at 0.6, right. Bins of 1/5: (0.6, 0.8] and (0.4, 0.6]
    outputs = outputs_with([0.79, 0.21], [0.79, 0.21], [0.41, 0.59])
    scores = calibration(np.array([0, 1, 1]), outputs, bins=5)
    assert [(b.n, b.accuracy) for b in scores.bins] == [(0, None), (0, None), (1, 1.0), (2, 0.5), (0, None)]
    assert scores.bins[3].confidence == pytest.approx(0.79) and scores.bins[0].confidence is None
    assert scores.accuracy == pytest.approx(2 / 3) and scores.confidence == pytest.approx((0.79 * 2 + 0.59) / 3)
    assert scores.ece == pytest.approx(2 / 3 * abs(0.5 - 0.79) + 1 / 3 * abs(1 - 0.59))
    assert scores.brier == pytest.approx((2 * 0.21**2 + 2 * 0.79**2 + 2 * 0.41**2) / 3)
    assert scores.nll == pytest.approx(-(math.log(0.79) + math.log(0.21) + math.log(0.59)) / 3)


def test_the_upper_edge_belongs_to_a_bin_and_the_lower_one_does_not():
    # a confidence of exactly 1/2 over two bins: (0, 1/2] holds it
    scores = calibration(np.array([0]), np.zeros((1, 1, 2), np.float32), bins=2)
    assert [b.n for b in scores.bins] == [1, 0]
    sure = calibration(np.array([0]), np.array([[[900.0, 0.0]]], np.float32), bins=15)
    assert [b.n for b in sure.bins] == [0] * 14 + [1] and sure.ece == 0 == sure.brier == sure.nll


def test_a_network_that_is_sure_and_wrong_is_as_badly_calibrated_as_can_be():
    scores = calibration(np.array([1]), np.array([[[900.0, 0.0]]], np.float32))
    assert (scores.ece, scores.brier) == (1.0, 2.0)
    assert scores.nll == 900  # finite, though the softmax of the label underflows to 0


@st.composite
def answered(draw, images=st.integers(1, 12)):
    n, steps, classes = draw(images), draw(st.integers(1, 4)), draw(st.integers(2, 6))
    random = np.random.default_rng(draw(st.integers(0, 10_000)))
    scale = draw(st.sampled_from([0.1, 2.0, 30.0]))
    outputs = random.normal(scale=scale, size=(n, steps, classes)).astype(np.float32)
    return Predictions(
        index=random.permutation(n + 5)[:n],
        label=random.integers(0, classes, n),
        outputs=outputs,
        classes=[str(k) for k in range(classes)],
    )


@given(answered())
def test_scores_stay_in_their_bounds_and_agree_with_scikit_learn(given):
    from sklearn.metrics import log_loss

    scores = calibration(given.label, given.outputs)
    assert 0 <= scores.ece <= 1 and 0 <= scores.brier <= 2 and scores.nll >= 0
    assert scores.ece >= abs(scores.accuracy - scores.confidence) - 1e-12  # one bin for all is the coarsest
    assert sum(b.n for b in scores.bins) == scores.n == len(given.label)
    assert scores.accuracy == pytest.approx((predict(given.outputs) == given.label).mean())
    for b in scores.bins:
        assert b.confidence is None or b.low - 1e-12 <= b.confidence <= b.high + 1e-12
    shares = confidences(given.outputs)[:, -1]
    if shares[np.arange(len(shares)), given.label].min() > 1e-12:  # scikit-learn clips smaller ones
        assert scores.nll == pytest.approx(log_loss(given.label, shares, labels=range(len(given.classes))), rel=1e-6)


@given(answered())
def test_one_bin_gives_the_gap_between_mean_confidence_and_accuracy(given):
    scores = calibration(given.label, given.outputs, bins=1)
    assert scores.ece == pytest.approx(abs(scores.accuracy - scores.confidence))


# Two runs.


def run(index, label, answers, classes=("a", "b", "c")):
    outputs = np.eye(len(classes), dtype=np.float32)[np.array(answers)][:, None, :]
    return Predictions(index=np.array(index), label=np.array(label), outputs=outputs, classes=list(classes))


def test_who_was_right_where_the_other_was_not():
    a = run([0, 1, 2, 3], [0, 1, 2, 0], [0, 1, 0, 1])  # right on 0 and 1
    b = run([3, 1, 2, 0], [0, 1, 2, 0], [0, 1, 1, 1])  # in another order: right on 3 and 1
    assert (right_alone(a, b).tolist(), right_alone(b, a).tolist()) == ([0], [3])


def test_only_images_that_both_answered_are_compared():
    a, b = run([0, 1], [0, 1], [0, 0]), run([1, 7], [1, 1], [1, 1])
    assert (right_alone(a, b).tolist(), right_alone(b, a).tolist()) == ([], [1])


def test_runs_on_other_labels_are_no_pair():
    with pytest.raises(ValueError, match="other labels"):
        right_alone(run([0], [0], [0]), run([0], [1], [0]))
    with pytest.raises(ValueError, match="other labels"):
        right_alone(run([0], [0], [0]), run([0], [0], [0], classes=("x", "b", "c")))


@given(answered(), st.integers(0, 100))
def test_what_each_of_two_runs_got_right_alone_is_their_difference_in_accuracy(a, seed):
    random = np.random.default_rng(seed)
    b = Predictions(index=a.index, label=a.label, outputs=random.permutation(a.outputs), classes=a.classes)
    one, other = right_alone(a, b), right_alone(b, a)
    assert not {*one.tolist()} & {*other.tolist()} and {*one.tolist(), *other.tolist()} <= {*a.index.tolist()}
    hits_a, hits_b = ((predict(x.outputs) == x.label).sum() for x in (a, b))
    assert hits_a - hits_b == len(one) - len(other)  # in images
