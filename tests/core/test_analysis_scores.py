"""Confusion, confidences and the printed tables."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.analysis.confusion import accuracy, confusion, f1_macro
from core.analysis.predictions import answer_confidences, confidences, confidences_in_parts, last_mean, predict, softmax
from core.backbones.catalog import FIRE_MASKS
from core.energy.price import energy_pj
from core.energy.profiles import profiles
from core.paper.printed import published, published_masks
from core.schemas.run import Kind

CLASSES = ("a", "b", "c")


def test_a_confusion_by_hand():
    labels = np.array([0, 0, 0, 1, 1, 2])
    answers = np.array([0, 0, 1, 1, 0, 1])
    table = confusion(labels, answers, CLASSES)
    assert table.matrix == [[2, 1, 0], [1, 1, 0], [0, 1, 0]]
    assert table.support == [3, 2, 1] and table.n == 6
    assert table.recall == [pytest.approx(2 / 3), 1 / 2, 0]
    assert table.precision == [pytest.approx(2 / 3), pytest.approx(1 / 3), 0]  # nobody answered c: 0, not NaN
    assert table.f1 == [pytest.approx(2 * 2 / (3 + 3)), pytest.approx(2 * 1 / (2 + 3)), 0]
    assert accuracy(table) == 3 / 6
    assert f1_macro(table) == pytest.approx((2 / 3 + 2 / 5 + 0) / 3)


@given(st.lists(st.tuples(st.integers(0, 3), st.integers(0, 3)), min_size=1, max_size=60))
def test_scores_agree_with_scikit_learn(pairs):
    from sklearn import metrics

    labels, answers = (np.array(side) for side in zip(*pairs, strict=True))
    table = confusion(labels, answers, ("a", "b", "c", "d"))
    assert table.matrix == metrics.confusion_matrix(labels, answers, labels=range(4)).tolist()
    precision, recall, f1, support = metrics.precision_recall_fscore_support(
        labels, answers, labels=range(4), zero_division=0
    )
    assert np.allclose(table.precision, precision) and np.allclose(table.recall, recall)
    assert np.allclose(table.f1, f1) and table.support == support.tolist()
    assert accuracy(table) == pytest.approx(metrics.accuracy_score(labels, answers))
    assert f1_macro(table) == pytest.approx(metrics.f1_score(labels, answers, average="macro", zero_division=0))


def test_no_images_give_an_empty_confusion():
    table = confusion(np.array([], int), np.array([], int), CLASSES)
    assert table.n == 0 and accuracy(table) == 0 and f1_macro(table) == 0


@pytest.mark.parametrize(("labels", "answers"), [([3], [0]), ([0], [-1]), ([0, 1], [0])])
def test_labels_outside_the_classes_are_refused(labels, answers):
    with pytest.raises(ValueError, match=r"outside 0\.\.2|shape"):
        confusion(np.array(labels), np.array(answers), CLASSES)


outputs = st.integers(0, 1000).map(
    lambda seed: np.random.default_rng(seed).normal(scale=5, size=(4, 3, 5)).astype(np.float32)
)


@given(outputs)
def test_confidences_are_probabilities_and_the_last_ones_agree_with_the_answer(values):
    shares = confidences(values)
    assert shares.shape == values.shape
    assert np.allclose(shares.sum(-1), 1) and (shares >= 0).all()
    assert (shares[:, -1].argmax(-1) == predict(values)).all()
    assert np.allclose(answer_confidences(values)[:, -1], shares[:, -1].max(-1))


def test_a_confidence_rests_on_the_mean_of_the_steps_so_far():
    values = np.array([[[2.0, 0.0], [0.0, 4.0]]], dtype=np.float32)  # one image, two steps, two classes
    # step 1: (2, 0); mean of both steps: (1, 2), so the answer is class 1
    assert predict(values).tolist() == [1]
    e = np.exp
    assert answer_confidences(values)[0].tolist() == pytest.approx([1 / (1 + e(2)), e(2) / (e(1) + e(2))])


def test_huge_outputs_do_not_overflow():
    shares = confidences(np.array([[[1e30, 0.0]]], dtype=np.float32))
    assert shares[0, 0].tolist() == [1.0, 0.0]


# The printed tables.


def test_table_1_holds_six_spiking_networks_for_each_data_set():
    for dataset in ("cifar10", "cifar100", "tiny_imagenet"):
        spiking = [point for point in published(dataset) if point.kind is Kind.SNN]
        assert [point.model for point in spiking] == [
            "ShuffleNetV2", "Xception", "MnasNet", "MixNet", "SqueezeNet", "SqueezeNet-P",
        ]  # fmt: skip
        assert {point.table for point in spiking} == {"Table 1"}


def test_figures_are_the_printed_ones_in_our_units():
    point = next(p for p in published("cifar10") if p.model == "SqueezeNet-P" and p.kind is Kind.SNN)
    assert (point.accuracy, point.f1_macro) == (0.81, 0.81)
    assert (point.params, point.acs, point.macs) == (599_100, 11_200_000, 4_230_000)
    assert point.energy_pj == pytest.approx(0.0295e9)


def test_table_2_adds_the_cnn_twins_on_cifar10_with_what_is_printed_of_them():
    twins = [point for point in published("cifar10") if point.kind is Kind.CNN]
    assert len(twins) == 6 and not any(p.kind is Kind.CNN for p in published("cifar100"))
    squeezenet = next(point for point in twins if point.model == "SqueezeNet")
    assert squeezenet.accuracy == 0.81 and squeezenet.energy_pj == pytest.approx(0.252e9)
    assert squeezenet.params is squeezenet.acs is squeezenet.macs is squeezenet.f1_macro is None


def test_a_data_set_outside_the_paper_has_no_printed_points():
    assert published("digits") == []


def test_the_rows_whose_energy_does_not_follow_from_their_counts_are_the_known_ones():
    """E = 0.9 AC + 4.6 MAC to four digits after the point, in mJ, up to the rounding of the printed counts."""
    odd = set()
    for dataset in ("cifar10", "cifar100", "tiny_imagenet"):
        for point in published(dataset):
            if point.acs is not None and point.macs is not None:
                own = energy_pj(point.acs, point.macs, profiles()["horowitz-45nm"])
                if abs(own - point.energy_pj) > 0.005 * own + 0.00005e9:
                    odd.add((point.model, dataset))
    assert odd == {("MixNet", "cifar100"), ("MixNet", "tiny_imagenet")}


def test_table_3_holds_the_nine_masks_that_the_backbone_knows():
    rows = published_masks()
    assert {row.schedule.replace("Baseline", "Full"): row.kept for row in rows} == FIRE_MASKS
    ref = next(row for row in rows if row.schedule == "Ref-1")
    assert (ref.accuracy, ref.params) == (0.81, 599_130) and ref.energy_pj == pytest.approx(0.0295e9)


def test_confidences_of_a_part_at_a_time_are_those_of_all(monkeypatch):
    outputs = np.random.default_rng(0).normal(size=(7, 3, 4)).astype(np.float32)
    whole = confidences(outputs)
    monkeypatch.setattr("core.analysis.predictions.NUMBERS_AT_ONCE", 24)  # two images of 3 x 4
    parts = list(confidences_in_parts(outputs))
    assert [part.start for part, _ in parts] == [0, 2, 4, 6]
    assert np.array_equal(np.concatenate([shares for _, shares in parts]), whole)
    assert np.array_equal(softmax(last_mean(outputs)), whole[:, -1])
