"""Test images with the answers that runs gave to them: many at a glance, or one step by step."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from itertools import zip_longest
from pathlib import Path
from typing import Literal

import numpy as np

from core.analysis import exits, steps
from core.analysis.predictions import answer_confidences, confidences, predict, right_alone
from core.bundle import Bundle, Predictions
from core.bundle_checks import check_agree
from core.datasets.picture import png_uri
from core.energy import price
from core.energy.modes import MODES, Mode
from core.energy.profiles import profiles
from core.errors import NotFound
from core.gallery.pictures import example_images
from core.schemas.images import Answer, Example, Examples, ImageAnswer, LayerSpikes, SeenImage
from core.schemas.prices import Profile
from core.schemas.run import Kind

Which = Literal["first", "spread", "wrong", "disagree"]


@dataclass(frozen=True, kw_only=True)
class Measured:
    """A succeeded run under the name it is shown by."""

    name: str
    kind: Kind
    images: tuple[str, str | None]  # the data set and its digest
    bundle: Bundle
    data: Path  # folder of the data sets: images that the bundle left out are looked for there


@dataclass(frozen=True, kw_only=True)
class Cell:
    """A cell of the confusion matrix: images of class `truth` that were answered `answer`, both as positions."""

    truth: int | None = None
    answer: int | None = None

    def holds(self, truth: int, answer: int) -> bool:
        return self.truth in (None, truth) and self.answer in (None, answer)


def alike(one: Measured, other: Measured) -> bool:
    """Whether both were tested on the same images, as is noted of them and as far as their bundles show: where both
    answered an image it has one label, and where both kept it one picture."""
    if one.images != other.images:
        return False
    answers = [run.bundle.predictions() for run in (one, other)]
    _, *at = np.intersect1d(answers[0].index, answers[1].index, assume_unique=True, return_indices=True)
    labels = [[run.classes[k] for k in run.label[place]] for run, place in zip(answers, at, strict=True)]
    kept = [run.bundle.examples() for run in (one, other)]
    _, *at = np.intersect1d(kept[0].index, kept[1].index, assume_unique=True, return_indices=True)
    return labels[0] == labels[1] and np.array_equal(kept[0].image[at[0]], kept[1].image[at[1]])


def examples_of(
    run: Measured, twin: Measured | None, *, which: Which, limit: int, lost_only: bool = False, cell: Cell | None = None
) -> Examples:
    """Test images kept with the runs: the first ones, one of each class in turn and of a class its mistakes first
    (`spread`), those `run` got wrong, or those the twins disagree on.

    `lost_only`: of these, the ones that `twin` got right and `run` did not. `cell`: of these, the ones in that cell of
    the run's confusion matrix.
    """
    own = Answers(run)
    other = Answers(twin) if twin is not None else None
    images = kept_images(measured for measured in (run, twin) if measured is not None)
    known = [index for index in sorted(images) if index in own.position]
    if which == "wrong":
        known = [index for index in known if not own.correct(index)]
    elif which == "disagree":
        known = [index for index in known if other is not None and other.differs(own, index)]
    if lost_only and other is not None:
        lost = set(right_alone(other.given, own.given).tolist())
        known = [index for index in known if index in lost]
    if cell is not None:
        known = [index for index in known if cell.holds(*own.cell(index))]
    if which == "spread":
        known = _in_turn(known, own)
    return Examples(
        items=[
            Example(
                index=index,
                label=own.label(index),
                image=png_uri(images[index]),
                answer=own.answer(index),
                twin_answer=other.answer(index) if other is not None and index in other.position else None,
            )
            for index in known[:limit]
        ],
        which=which,
        twin_run_id=twin.name if twin is not None else None,
        n_test=len(own.position),
    )


def _in_turn(known: list[int], own: Answers) -> list[int]:
    """A round through the classes takes one image of each; a data set may lie class by class."""
    by_class: dict[int, list[int]] = {}
    for index in sorted(known, key=lambda index: (own.correct(index), index)):
        by_class.setdefault(own.cell(index)[0], []).append(index)
    rounds = zip_longest(*(by_class[label] for label in sorted(by_class)))
    return [index for one_round in rounds for index in one_round if index is not None]


def image_of(run: Measured, twin: Measured | None, index: int, *, mode: str, profile: str) -> SeenImage:
    """One test image: answers, spikes and energy, step by step.

    Raises NotFound where the test set has no such image, UnknownName for a mode or profile.
    """
    accounting, prices = MODES[mode], profiles()[profile]
    own = Answers(run)
    if index not in own.position:
        raise NotFound(kind="test image", id=str(index))
    other = Answers(twin) if twin is not None else None
    picture = kept_images(measured for measured in (run, twin) if measured is not None).get(index)
    return SeenImage(
        index=index,
        label=own.label(index),
        image=None if picture is None else png_uri(picture),
        mode=mode,
        profile=profile,
        run=_image_answer(run, own, index, mode=accounting, profile=prices),
        twin=_image_answer(twin, other, index, mode=accounting, profile=prices)
        if twin is not None and other is not None and index in other.position
        else None,
    )


def _image_answer(run: Measured, answers: Answers, index: int, *, mode: Mode, profile: Profile) -> ImageAnswer:
    place = answers.position[index]
    counts = run.bundle.counts()
    per_sample = run.bundle.counts_per_sample(counts)
    check_agree(answers.given.outputs, counts)
    one = {name: array if array.ndim == 1 else array[place : place + 1] for name, array in per_sample.items()}
    numel = {layer.name: layer.output_numel for layer in counts.layers}
    energy = None
    if mode.name in exits.IMAGE_MODES:
        single = counts.model_copy(update={"n_samples": 1})
        energy = exits.image_energy(single, one, mode=mode, profile=profile).energy_pj[0].sum(axis=0).cumsum().tolist()
    sure = confidences(answers.given.outputs[place : place + 1])[0]
    return ImageAnswer(
        answer=answers.answer(index),
        truth_per_step=sure[:, answers.given.label[place]].tolist(),
        layers=[
            LayerSpikes(name=str(name), neurons=numel[str(name)], spikes=spikes.tolist())
            for name, spikes in zip(one["neuron_layers"], one["spikes"][0], strict=True)
        ],
        energy_pj=energy,
        mean_energy_pj=[
            price.layers(steps.spent(counts, t), {}, mode, profile).total_energy_pj
            for t in range(1, counts.time_steps + 1)
        ],
    )


class Answers:
    """What one run said of each test image, by the image's position in the test set."""

    def __init__(self, run: Measured) -> None:
        self._run = run
        self.given: Predictions = run.bundle.predictions()
        self._said = predict(self.given.outputs)
        self._confidence = answer_confidences(self.given.outputs)
        self.position = {int(index): place for place, index in enumerate(self.given.index)}

    def label(self, index: int) -> str:
        return self.given.classes[self.given.label[self.position[index]]]

    def prediction(self, index: int) -> str:
        return self.given.classes[self._said[self.position[index]]]

    def cell(self, index: int) -> tuple[int, int]:
        """(truth, answer) as positions among the classes."""
        place = self.position[index]
        return int(self.given.label[place]), int(self._said[place])

    def correct(self, index: int) -> bool:
        return self.prediction(index) == self.label(index)

    def differs(self, other: Answers, index: int) -> bool:
        return index in self.position and self.prediction(index) != other.prediction(index)

    def answer(self, index: int) -> Answer:
        confidence = self._confidence[self.position[index]].tolist()
        return Answer(
            run_id=self._run.name,
            kind=self._run.kind,
            prediction=self.prediction(index),
            confidence=confidence[-1],
            correct=self.correct(index),
            confidence_per_step=confidence,
        )


def kept_images(runs: Iterable[Measured]) -> dict[int, np.ndarray]:
    """Position in the test set -> [H, W, 3] uint8."""
    found: dict[int, np.ndarray] = {}
    for run in runs:
        kept = example_images(run.bundle, run.data)
        found.update(zip(kept.index.tolist(), kept.image, strict=True))
    return found
