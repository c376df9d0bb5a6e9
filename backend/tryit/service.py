"""One image through a run's network and its twin's: test images by position, or a picture or sound that somebody brings."""

from __future__ import annotations

import base64
from pathlib import Path

import numpy as np

from backend.context import Context
from backend.runs.repository import RunRepository
from backend.runs.same_data import require_same_data
from backend.store.models import RunRow, title_of
from core.analysis.predictions import confidences
from core.analysis.steps import spent
from core.bundle import Bundle
from core.datasets.picture import png
from core.energy import price
from core.energy.modes import MODES, Mode
from core.energy.profiles import profiles
from core.errors import BadValue, NotFound
from core.gallery.pictures import example_images
from core.schemas.inference import Inference, InferRequest, NeuronPlace, Pass, Tried
from core.schemas.prices import Profile
from core.schemas.run import Kind


class TryService:
    """Stateless; one is made for each request."""

    def __init__(self, context: Context) -> None:
        self._context = context

    def take(
        self,
        run_id: str,
        *,
        picture: bytes,
        index: int | None,
        invert: bool,
        mode: str,
        profile: str,
        neuron: NeuronPlace | None = None,
    ) -> Tried:
        """The answers to `picture`, or to the kept test image `index` where that is given.

        Raises NotFound for a run or a test image that is not there, NotReady, UnknownName for a mode or profile,
        DatasetMissing where the run's data set was taken away, BadValue for a picture that cannot be used,
        BundleCorrupt, InferenceFailed.
        """
        accounting, prices = MODES[mode], profiles()[profile]  # an unknown name is said before anything runs
        if (index is None) == (not picture):
            if picture:
                raise BadValue(field="index", value=index, expected="left out where a picture is sent as the body")
            expected = (
                "a PNG, JPEG or WebP file as the body, a WAV file for spoken words; or left out, with the index of a kept "
                "test image"
            )
            raise BadValue(field="picture", value="empty", expected=expected)
        with self._context.database.read() as session:
            repository = RunRepository(session)
            row = repository.require_succeeded(run_id, what="trained network")
            other = repository.succeeded_twin(row)
        lost = "how a picture is brought to the network"
        require_same_data(row, self._context.settings.data, what="network to try", lost=lost)
        rows = [row] if other is None else [row, other]
        bundles = [self._context.artifacts.bundle(each.id) for each in rows]
        truth = None
        if index is not None:
            picture, truth = _kept(bundles, index, self._context.settings.data)
        answered = self._context.inference.ask(
            InferRequest(
                folders=tuple(self._context.artifacts.whole(each.id) for each in rows),
                data=self._context.settings.data,
                picture=base64.b64encode(picture).decode(),
                kept=index is not None,
                invert=invert,
                neuron=neuron,
            )
        )
        answers = [
            _inference(each, bundle, done, accounting, prices)
            for each, bundle, done in zip(rows, bundles, answered.passes, strict=True)
        ]
        return Tried(
            image=answered.image,
            picture=answered.picture if index is None else None,
            clip=answered.clip,
            index=index,
            truth=truth,
            mode=mode,
            profile=profile,
            answer=answers[0],
            twin=answers[1] if other is not None else None,
        )


def _kept(bundles: list[Bundle], index: int, data: Path) -> tuple[bytes, str]:
    """A test image that a run or its twin kept, as a PNG, and its class. Raises NotFound."""
    for bundle in bundles:
        kept = example_images(bundle, data)
        at = np.flatnonzero(kept.index == index)
        if len(at):
            answers = bundle.predictions()
            if len(place := np.flatnonzero(answers.index == index)):
                return png(kept.image[at[0]]), answers.classes[answers.label[place[0]]]
    raise NotFound(kind="kept test image", id=str(index))


def _inference(row: RunRow, bundle: Bundle, done: Pass, mode: Mode, profile: Profile) -> Inference:
    counts = done.counts
    outputs = np.array(done.outputs)[None]
    steps = range(1, counts.time_steps + 1)
    return Inference(
        run_id=row.id,
        kind=Kind(row.kind),
        label=title_of(row),
        time_steps=counts.time_steps,
        classes=bundle.predictions().classes,
        confidence=confidences(outputs)[0].tolist(),
        energy_pj=[price.layers(spent(counts, t), {}, mode, profile).total_energy_pj for t in steps],
        encoding=bundle.config().encoding if row.kind == Kind.SNN else "direct",
        layers=done.layers,
        membrane=done.membrane,
    )
