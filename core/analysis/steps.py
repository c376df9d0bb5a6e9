"""A network stopped after its first T' steps: accuracy and energy for each T' <= T from one evaluation of T.

The first T' steps of a spiking network do not know of later ones, and in evaluation batch normalisation uses stored
statistics. So the first T' outputs and counts of a run over T steps are those of the same weights run over T' (under
latency coding: of the T-step code cut short, since that code depends on T). Not the same as a network *trained* with
T' steps, which is usually better at T'.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Protocol, TypeVar

import numpy as np

from core.analysis.calibration import calibration
from core.analysis.confusion import confusion, f1_macro
from core.analysis.predictions import predict
from core.bundle import Predictions
from core.energy import price
from core.energy.modes import Mode
from core.energy.price import firing_rate
from core.schemas.diagnostics import StepPoint, Steps
from core.schemas.prices import Profile
from core.schemas.results import PER_STEP, Counts

ROUNDING = 1e-12  # of accuracies, which are fractions of images: 0.9 - 0.8 is not 0.1


def truncated(counts: Counts, steps: int) -> Counts:
    """The counts of the first `steps` time steps, 1 <= steps <= T.

    A layer of constant input is charged at step 0, so its single charge stays. The mode `paper` bills one step
    whatever T' is: of T' it has only the firing rate, the mean over the first T' steps.
    """
    assert 1 <= steps <= counts.time_steps
    layers = (
        layer.model_copy(update={name: getattr(layer, name)[:steps] for name in PER_STEP}) for layer in counts.layers
    )
    return counts.model_copy(update={"time_steps": steps, "layers": tuple(layers)})


def spent(counts: Counts, steps: int) -> Counts:
    """The counts to be charged for an answer after `steps` time steps.

    A layer-synchronous network has run all T steps of every layer but its readout before that gives its first output,
    so an early answer is charged as the last.
    """
    return counts if counts.layer_synchronous else truncated(counts, steps)


def curve(predictions: Predictions, counts: Counts, *, mode: Mode, profile: Profile) -> Steps:
    """Every T' in 1..T. Raises UnknownLayer for a layer without a rule."""
    return Steps(
        mode=mode.name,
        profile=profile.name,
        n=len(predictions.label),
        time_steps=counts.time_steps,
        points=[_point(predictions, counts, t, mode, profile) for t in range(1, counts.time_steps + 1)],
    )


def _point(predictions: Predictions, counts: Counts, steps: int, mode: Mode, profile: Profile) -> StepPoint:
    outputs = predictions.outputs[:, :steps]
    scores = calibration(predictions.label, outputs)
    return StepPoint(
        steps=steps,
        accuracy=scores.accuracy,
        f1_macro=f1_macro(confusion(predictions.label, predict(outputs), predictions.classes)),
        confidence=scores.confidence,
        ece=scores.ece,
        firing_rate=firing_rate(truncated(counts, steps)),
        energy_pj=price.layers(spent(counts, steps), {}, mode, profile).total_energy_pj,
    )


class Stop(Protocol):
    """A network after its first `steps` steps: accuracy in [0, 1], energy per inference in pJ."""

    @property
    def steps(self) -> int: ...
    @property
    def accuracy(self) -> float: ...
    @property
    def energy_pj(self) -> float: ...


AnyStop = TypeVar("AnyStop", bound=Stop)


def best_within(points: Iterable[AnyStop], at_most_pj: float) -> AnyStop | None:
    """The most accurate of those that cost at most this, of equals the one of fewest steps; None where all cost more."""
    affordable = [point for point in points if point.energy_pj <= at_most_pj]
    return min(affordable, key=lambda point: (-point.accuracy, point.steps), default=None)


def fewest_within(points: Iterable[AnyStop], loss: float) -> AnyStop:
    """The one of fewest steps whose accuracy is at most `loss`, a share in [0, 1], below the best; at least one point."""
    points = list(points)
    best = max(point.accuracy for point in points)
    return min((point for point in points if best - point.accuracy <= loss + ROUNDING), key=lambda point: point.steps)


def right_after_each_step(predictions: Predictions) -> np.ndarray:
    """Whether the answer after 1..T steps is right: [N, T] bool."""
    steps = range(1, predictions.outputs.shape[1] + 1)
    return np.stack([predict(predictions.outputs[:, :t]) == predictions.label for t in steps], axis=1)
