"""Energy image by image, and early exit: each image stops at the first step at which the network is sure enough.

The rule is the confidence threshold of SEENN-I (Li et al., NeurIPS 2023, arXiv:2304.01230): stop at the first t with
max_k softmax(mean of outputs 1..t)_k >= theta, and at T in any case.
Not modelled: the softmax and the comparison themselves, and what a batch costs whose images stop at unequal times.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from core.analysis.predictions import confidences_in_parts
from core.analysis.steps import right_after_each_step, truncated
from core.bundle import Predictions
from core.energy import price
from core.energy.modes import Mode
from core.errors import BadValue
from core.schemas.diagnostics import ExitPoint, Exits, ExitSteps
from core.schemas.prices import Profile
from core.schemas.results import PER_STEP, Counts

#: From "stop at once" to "nearly never": finer towards 1, where trained networks' confidences lie.
THRESHOLDS = (0.0, 0.3, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 0.99, 0.999, 1.0)
#: Modes whose every term is stored image by image or is the same for all. `paper` and `syops` also charge pooling by
#: the spikes that enter it, which are stored as sums over the test set, so they have no energy of one image.
IMAGE_MODES = ("exact", "exact+bits", "exact+neuron", "memory")


@dataclass(frozen=True, kw_only=True)
class ImageEnergy:
    """Energy of each layer, step and image; layers that cost nothing are left out."""

    layers: list[str]
    energy_pj: np.ndarray  # [N, L, T] float64: what step t adds


def image_energy(counts: Counts, per_sample: dict[str, np.ndarray], *, mode: Mode, profile: Profile) -> ImageEnergy:
    """Prices the integers of each image (`counts_per_sample.npz`, see `core.engine.count.Counter.per_sample`).

    The energy of a layer is linear in its integers: E = E_0(T') + sum_q sum_{t <= T'} e_q(t) x_q(t), with x the ACs,
    MACs, non-zero inputs and spikes of step t. E_0 is what silent counts cost over T' steps, e_q(t) what one more
    operation adds; both are asked of the mode. The mean over images of the sum over layers and steps is the run's
    energy. Raises BadValue for a mode that has no energy of one image (see IMAGE_MODES).
    """
    if mode.name not in IMAGE_MODES:
        raise BadValue(field="mode", value=mode.name, expected=f"counted image by image: {', '.join(IMAGE_MODES)}")
    names = [layer.name for layer in counts.layers]
    silent = _silent(counts)
    fixed = [np.zeros(len(names))]
    fixed += [_priced(truncated(silent, t), mode, profile) for t in range(1, counts.time_steps + 1)]
    energy = np.tile(np.diff(np.stack(fixed, axis=1)), (counts.n_samples, 1, 1))  # [N, L, T]
    for quantity in PER_STEP:
        owners = per_sample["neuron_layers" if quantity == "spikes" else "layers"].tolist()
        at = [names.index(name) for name in owners]
        for t in range(counts.time_steps):
            one = _priced(_with_one(silent, quantity, t), mode, profile) - fixed[-1]
            energy[:, at, t] += one[at] * per_sample[quantity][:, :, t]
    if counts.layer_synchronous:  # an early answer costs what the last one does: `steps.spent`
        energy = np.concatenate((energy.sum(-1, keepdims=True), np.zeros_like(energy[..., 1:])), axis=-1)
    costly = np.flatnonzero(energy.any(axis=(0, 2)))
    return ImageEnergy(layers=[names[place] for place in costly], energy_pj=energy[:, costly])


def _priced(counts: Counts, mode: Mode, profile: Profile) -> np.ndarray:
    """[L] pJ."""
    return np.array([layer.energy_pj for layer in price.layers(counts, {}, mode, profile).layers])


def _silent(counts: Counts) -> Counts:
    """One image for which nothing was counted."""
    zeros = dict.fromkeys(PER_STEP, (0,) * counts.time_steps)
    layers = tuple(layer.model_copy(update=zeros) for layer in counts.layers)
    return counts.model_copy(update={"n_samples": 1, "layers": layers})


def _with_one(silent: Counts, quantity: str, t: int) -> Counts:
    """One operation more in each layer, at step t."""
    one = {quantity: tuple(int(place == t) for place in range(silent.time_steps))}
    return silent.model_copy(update={"layers": tuple(layer.model_copy(update=one) for layer in silent.layers)})


def exit_steps(outputs: np.ndarray, threshold: float) -> np.ndarray:
    """Steps after which each image stops: outputs [N, T, C] -> [N] int64 in 1..T."""
    return _first_sure(_surest(outputs), threshold)


def _surest(outputs: np.ndarray) -> np.ndarray:
    """The highest confidence after each step: [N, T, C] -> [N, T] float64."""
    found = np.empty(outputs.shape[:2])
    for part, shares in confidences_in_parts(outputs):
        found[part] = shares.max(axis=-1)
    return found


def _first_sure(surest: np.ndarray, threshold: float) -> np.ndarray:
    sure = surest >= threshold
    sure[:, -1] = True
    return sure.argmax(axis=1) + 1


def curve(
    predictions: Predictions,
    counts: Counts,
    per_sample: dict[str, np.ndarray],
    *,
    mode: Mode,
    profile: Profile,
    threshold: float | None = None,
) -> Exits:
    """Accuracy, steps and energy at each of THRESHOLDS; with `threshold` also where each image stops at it.

    Raises as `image_energy`.
    """
    spent = image_energy(counts, per_sample, mode=mode, profile=profile).energy_pj.sum(axis=1).cumsum(axis=1)
    right, surest = right_after_each_step(predictions), _surest(predictions.outputs)
    points = []
    for theta in THRESHOLDS:
        at = _first_sure(surest, theta)
        last = (np.arange(len(at)), at - 1)
        points.append(
            ExitPoint(
                threshold=theta,
                accuracy=float(right[last].mean()),
                mean_steps=float(at.mean()),
                energy_pj=float(spent[last].mean()),
                images=np.bincount(at - 1, minlength=counts.time_steps).tolist(),
            )
        )
    images = None
    if threshold is not None:
        step = _first_sure(surest, threshold).tolist()
        images = ExitSteps(threshold=threshold, index=predictions.index.tolist(), step=step)
    return Exits(
        mode=mode.name,
        profile=profile.name,
        n=counts.n_samples,
        time_steps=counts.time_steps,
        points=points,
        images=images,
    )
