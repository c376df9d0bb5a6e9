"""Two networks that answer together: counted by hand, and what holds whatever they say."""

from __future__ import annotations

import dataclasses
import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from twins import trained_twins
from typer.testing import CliRunner

from core.analysis.compare import interval
from core.analysis.ensemble import THRESHOLDS, of_bundles, together
from core.analysis.exits import IMAGE_MODES, image_energy
from core.bundle import Bundle, Predictions
from core.cli.commands.bundle import app
from core.energy.modes import MODES
from core.energy.price import price
from core.energy.profiles import profiles
from core.errors import BadValue, BundleCorrupt
from core.report import ensemble_words
from core.schemas.ensemble import Ensemble

PROFILE = profiles()["horowitz-45nm"]


def network(shares: list[list[float]], label: list[int], index: list[int] | None = None) -> Predictions:
    """A network of one step whose softmax is `shares`."""
    outputs = np.log(np.array(shares, dtype=np.float32))[:, None, :]
    classes = [str(k) for k in range(len(shares[0]))]
    at = np.arange(len(label)) if index is None else np.array(index)
    return Predictions(index=at, label=np.array(label), outputs=outputs, classes=classes)


def answered(first: Predictions, second: Predictions, *, first_pj: float, second_pj: list[float]) -> Ensemble | None:
    spent = np.array(second_pj)
    return together(
        first, second, first_pj=first_pj, second_pj=spent, mode=MODES["exact"], profile=PROFILE, by_image=True
    )


def at(found: Ensemble, threshold: float):
    return next(point for point in found.cascade if point.threshold == threshold)


LABEL = [0, 0, 1, 1]
FIRST = network([[0.98, 0.02], [0.45, 0.55], [0.65, 0.35], [0.25, 0.75]], LABEL)  # right on images 0 and 3
SECOND = network([[0.2, 0.8], [0.9, 0.1], [0.4, 0.6], [0.1, 0.9]], LABEL)  # right on 1, 2 and 3


def test_the_mean_and_the_cascade_are_counted_by_hand() -> None:
    found = answered(FIRST, SECOND, first_pj=10.0, second_pj=[100.0, 200.0, 300.0, 400.0])
    assert (found.first.accuracy, found.first.energy_pj) == (2 / 4, 10)
    assert (found.second.accuracy, found.second.energy_pj) == (3 / 4, 250)
    # mean of class 0: (0.98 + 0.2) / 2 = 0.59, (0.45 + 0.9) / 2 = 0.675, (0.65 + 0.4) / 2 = 0.525, 0.175: image 2 is lost
    assert (found.mean.accuracy, found.mean.energy_pj) == (3 / 4, 260)
    assert (found.mean.against_second.gained, found.mean.against_second.lost) == (1, 1)
    # sure: 0.98, 0.55, 0.65, 0.75. At 0.6 image 1 alone is asked, at 0.7 image 2 as well, at 0.9 image 3
    asked = {0.5: (0, 2, 0), 0.6: (1, 3, 200), 0.7: (2, 4, 500), 0.9: (3, 4, 900), 1.0: (4, 3, 1000)}
    for threshold, (n, right, spent) in asked.items():
        point = at(found, threshold)
        assert (point.asked, point.accuracy, point.energy_pj) == (n, right / 4, 10 + spent / 4), threshold
    gain = at(found, 0.7).against_first  # images 1 and 2 gained
    assert (gain.gained, gain.lost, gain.accuracy) == (2, 0, 2 / 4)
    assert (gain.low, gain.high) == interval(gained=2, lost=0, n=4)
    assert found.overlap.model_dump() == {"both": 1, "first_only": 1, "second_only": 2, "neither": 0}


def test_images_are_brought_into_one_order_and_their_energies_with_them() -> None:
    back = slice(None, None, -1)
    parts = {name: getattr(SECOND, name)[back] for name in ("index", "label", "outputs")}
    turned = dataclasses.replace(SECOND, **parts)
    straight = answered(FIRST, SECOND, first_pj=1.0, second_pj=[1.0, 2.0, 3.0, 4.0])
    assert answered(FIRST, turned, first_pj=1.0, second_pj=[4.0, 3.0, 2.0, 1.0]) == straight


def test_networks_tested_on_different_images_do_not_answer_together() -> None:
    others = network([[0.5, 0.5]] * 4, LABEL, index=[0, 1, 2, 9])
    assert answered(FIRST, others, first_pj=1.0, second_pj=[1.0] * 4) is None


outputs = arrays.arrays(np.float32, (6, 2, 3), elements=st.floats(-50, 50, width=32))


@settings(max_examples=60, deadline=None)
@given(outputs, outputs, arrays.arrays(np.int64, 6, elements=st.integers(0, 2)), st.floats(0, 10))
def test_the_ends_are_single_networks_and_more_is_asked_at_a_higher_threshold(one, other, label, first_pj) -> None:
    given_ = [
        Predictions(index=np.arange(6), label=label, outputs=given_, classes=["a", "b", "c"]) for given_ in (one, other)
    ]
    found = answered(*given_, first_pj=first_pj, second_pj=[1.0, 2.0, 3.0, 4.0, 5.0, 6.0])
    start, end = found.cascade[0], found.cascade[-1]
    assert [point.threshold for point in found.cascade] == list(THRESHOLDS) and (THRESHOLDS[0], THRESHOLDS[-1]) == (
        0,
        1,
    )
    assert (start.asked, start.accuracy, start.energy_pj) == (0, found.first.accuracy, first_pj)
    # a softmax that is rounded to 1 is asked too
    assert (end.asked, end.accuracy) == (6, found.second.accuracy)
    assert end.energy_pj == pytest.approx(found.first.energy_pj + found.second.energy_pj) == found.mean.energy_pj
    assert [point.asked for point in found.cascade] == sorted(point.asked for point in found.cascade)
    assert [point.energy_pj for point in found.cascade] == sorted(point.energy_pj for point in found.cascade)
    overlap = found.overlap
    assert overlap.both + overlap.first_only + overlap.second_only + overlap.neither == found.n == 6
    assert all(point.accuracy <= 1 - overlap.neither / 6 + 1e-12 for point in found.cascade)  # one of the two answers
    assert ensemble_words.sentences(found, "A", "B")[2].startswith(
        f"{overlap.first_only} images are right with A alone"
    )


def test_a_network_with_itself_is_itself() -> None:
    found = answered(FIRST, FIRST, first_pj=1.0, second_pj=[1.0] * 4)
    ways = [found.first, found.second, found.mean, *found.cascade]
    assert {way.accuracy for way in ways} == {found.first.accuracy}


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> tuple[Bundle, Bundle]:
    """The twins, the spiking one with answers of its own: it trained too little to tell one image from another."""
    twins = trained_twins(tmp_path_factory)
    snn = Bundle(shutil.copytree(twins["snn"], tmp_path_factory.mktemp("surer") / "snn"))
    answers, random = snn.predictions(), np.random.default_rng(0)
    snn.write_predictions(dataclasses.replace(answers, outputs=random.normal(0, 3, answers.outputs.shape)))
    return snn, Bundle(twins["cnn"])


@pytest.mark.parametrize("mode", ["exact", "paper"])
def test_the_asked_images_are_charged_their_own_energy_where_it_is_stored(pair, mode: str) -> None:
    snn, cnn = pair
    found = of_bundles(snn, cnn, mode=MODES[mode], profile=PROFILE)
    own, others = (price(MODES[mode].tally(bundle.counts()), PROFILE) for bundle in pair)
    assert found.first.energy_pj == own and found.second.energy_pj == pytest.approx(others)
    assert found.by_image == (mode in IMAGE_MODES)
    assert found.second.accuracy == pytest.approx(cnn.summary().accuracy)
    point = next(point for point in found.cascade if 0 < point.asked < found.n)
    if mode == "paper":
        assert point.energy_pj == pytest.approx(own + point.asked / found.n * others)
        return
    outputs = snn.predictions().outputs.mean(1, dtype=np.float64)
    shares = np.exp(outputs) / np.exp(outputs).sum(1, keepdims=True)
    counts = cnn.counts()
    spent = image_energy(counts, cnn.counts_per_sample(counts), mode=MODES[mode], profile=PROFILE).energy_pj.sum((1, 2))
    asked = shares.max(1) <= point.threshold
    assert asked.sum() == point.asked
    assert point.energy_pj == pytest.approx(own + spent[asked].sum() / found.n)


def command(*words: object):
    return CliRunner().invoke(app, ["ensemble", *map(str, words)])


def test_the_command_prints_the_table_and_says_what_a_threshold_of_it_is_worth(pair) -> None:
    snn, cnn = (bundle.path for bundle in pair)
    told = json.loads(command(snn, cnn, "--mode", "paper", "--json").stdout)
    found = Ensemble.model_validate(told)
    assert found == of_bundles(*pair, mode=MODES["paper"], profile=PROFILE)
    text = command(snn, cnn).stdout
    for words in ("First alone", "Second alone", "Mean of both", "Asked at 0.9 or less", "picked on the test set"):
        assert words in text
    assert f"{100 * found.mean.accuracy:.2f} %" in text


def without(bundle: Bundle, folder: Path, *, config: dict | None = None) -> Path:
    """A copy of a bundle, of another config."""
    shutil.copytree(bundle.path, folder)
    told = json.loads((folder / "config.json").read_text()) | (config or {})
    (folder / "config.json").write_text(json.dumps(told))
    return folder


def test_two_that_cannot_answer_together_are_refused_with_what_would_be_right(pair, tmp_path: Path) -> None:
    snn, cnn = pair
    same = command(snn.path, snn.path / "..")
    assert isinstance(same.exception, BundleCorrupt) and "config.json" in same.exception.message
    twice = command(snn.path, snn.path.parent / "." / snn.path.name).exception
    assert isinstance(twice, BadValue) and "must be another bundle than FIRST" in twice.message
    elsewhere = without(cnn, tmp_path / "elsewhere", config={"dataset": "cifar10"})
    assert "must be a run on digits" in command(snn.path, elsewhere).exception.message
    silent = without(cnn, tmp_path / "silent")
    (silent / "predictions.npz").unlink()
    assert f"{silent}/predictions.npz cannot be used: it is missing." in command(snn.path, silent).exception.message
    other = Bundle(without(cnn, tmp_path / "other"))
    answers = other.predictions()
    other.write_predictions(dataclasses.replace(answers, index=answers.index + 1))
    assert "on the same 360 images" in command(snn.path, other.path).exception.message
