"""What a finished run shows, read from its bundle; metrics also while it runs.

The figures of one bundle take names for the runs in them, so that a share can show them without ids.
"""

from __future__ import annotations

import base64
import io
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
from PIL import Image

from backend.context import Context
from backend.models import RunRow
from backend.runs.repository import RunRepository
from core.analysis.confusion import confusion
from core.analysis.predictions import answer_confidences, predict
from core.bundle import Bundle, Predictions
from core.energy import price
from core.recipes.build import plan_of
from core.schemas.api import Answer, Confusion, Example, Examples, Gradients, Layers, Metrics
from core.schemas.run import Kind, RunState

Which = Literal["first", "wrong", "disagree"]


@dataclass(frozen=True, kw_only=True)
class Measured:
    """A succeeded run under the name it is shown by."""

    name: str
    kind: Kind
    bundle: Bundle


def layers_of(bundle: Bundle, *, mode: str, profile: str) -> Layers:
    """The bill of each layer; raises UnknownName for a mode or profile."""
    blocks = {node.name: node.block for node in plan_of(bundle.config()).nodes}
    return price.layers(bundle.counts(), blocks, mode, profile)


def confusion_of(bundle: Bundle) -> Confusion:
    answers = bundle.predictions()
    return confusion(answers.label, predict(answers.outputs), answers.classes)


def examples_of(run: Measured, twin: Measured | None, *, which: Which, limit: int) -> Examples:
    """Test images kept with the runs: the first ones, those `run` got wrong, or those the twins disagree on."""
    own = _Answers(run)
    other = _Answers(twin) if twin is not None else None
    images = _images([measured.bundle for measured in (run, twin) if measured is not None])
    known = [index for index in sorted(images) if index in own.position]
    if which == "wrong":
        known = [index for index in known if not own.correct(index)]
    elif which == "disagree":
        known = [index for index in known if other is not None and other.differs(own, index)]
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


def png_uri(image: np.ndarray) -> str:
    """image: [H, W, 3] uint8 -> a data URI that a browser shows."""
    buffer = io.BytesIO()
    Image.fromarray(image).save(buffer, format="PNG")
    return "data:image/png;base64," + base64.b64encode(buffer.getvalue()).decode()


class _Answers:
    """What one run said of each test image, by the image's position in the test set."""

    def __init__(self, run: Measured) -> None:
        self._run = run
        self._given: Predictions = run.bundle.predictions()
        self._said = predict(self._given.outputs)
        self._confidence = answer_confidences(self._given.outputs)
        self.position = {int(index): place for place, index in enumerate(self._given.index)}

    def label(self, index: int) -> str:
        return self._given.classes[self._given.label[self.position[index]]]

    def prediction(self, index: int) -> str:
        return self._given.classes[self._said[self.position[index]]]

    def correct(self, index: int) -> bool:
        return self.prediction(index) == self.label(index)

    def differs(self, other: _Answers, index: int) -> bool:
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


def _images(bundles: Iterable[Bundle]) -> dict[int, np.ndarray]:
    """Position in the test set -> [H, W, 3] uint8."""
    found: dict[int, np.ndarray] = {}
    for bundle in bundles:
        kept = bundle.examples()
        found.update(zip(kept.index.tolist(), kept.image, strict=True))
    return found


class ResultService:
    """Stateless; one is made for each request. Raises NotFound, and NotReady until the run has succeeded."""

    def __init__(self, context: Context) -> None:
        self._context = context

    def metrics(self, run_id: str) -> Metrics:
        """Epoch by epoch: from the bundle of a finished run, else from the events so far."""
        with self._context.database.read() as session:
            repository = RunRepository(session)
            row = repository.require(run_id)
            epochs = [event.payload for event in repository.epochs(run_id)]
        if row.state == RunState.SUCCEEDED:
            return self._context.artifacts.bundle(run_id).metrics()
        return Metrics.model_validate({column: [epoch[column] for epoch in epochs] for column in Metrics.model_fields})

    def layers(self, run_id: str, *, mode: str, profile: str) -> Layers:
        return layers_of(self._measured(run_id, "layer counts").bundle, mode=mode, profile=profile)

    def confusion(self, run_id: str) -> Confusion:
        return confusion_of(self._measured(run_id, "confusion matrix").bundle)

    def gradients(self, run_id: str) -> Gradients:
        return self._measured(run_id, "gradients").bundle.gradients()

    def examples(self, run_id: str, *, which: Which, limit: int) -> Examples:
        """With the answers of the newest succeeded twin, where there is one."""
        with self._context.database.read() as session:
            repository = RunRepository(session)
            row = repository.require_succeeded(run_id, what="examples")
            twin = repository.succeeded_twin(row)
        return examples_of(
            measured(self._context, row), measured(self._context, twin) if twin else None, which=which, limit=limit
        )

    def artifact(self, run_id: str, name: str) -> Path:
        """The path of one file of a finished bundle."""
        self._measured(run_id, "artifacts")
        return self._context.artifacts.file(run_id, name)

    def _measured(self, run_id: str, what: str) -> Measured:
        with self._context.database.read() as session:
            row = RunRepository(session).require_succeeded(run_id, what=what)
        return measured(self._context, row)


def measured(context: Context, row: RunRow, *, name: str | None = None) -> Measured:
    """A succeeded run's bundle, shown as `name`, or as its id."""
    return Measured(name=name or row.id, kind=Kind(row.kind), bundle=context.artifacts.bundle(row.id))
