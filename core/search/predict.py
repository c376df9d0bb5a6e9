"""What masks that nobody trained would reach, from the runs that exist: pure functions with their own error.

Accuracy is that of validation, since predictions decide what is trained next.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Sequence
from dataclasses import dataclass, field
from statistics import fmean, stdev

import numpy as np

from core.measured import MeasuredRun
from core.search.masks import MaskPoint

MIN_MASKS = 4  # of fewer, no error could be told that means anything


@dataclass(frozen=True, kw_only=True)
class KnownRun:
    """A finished run, as far as predictions need it. Energy per inference, in one mode and profile."""

    mask: tuple[str, ...]
    validation_accuracy: float
    energy_pj: float


@dataclass(frozen=True, kw_only=True)
class Prediction:
    """One mask. Both figures are those of one new run with a seed of its own, with their standard deviations.

    energy_log10_pj: log10 of the energy in pJ, normal, so `energy_pj` is its median.
    """

    point: MaskPoint
    accuracy: float
    accuracy_sd: float
    energy_log10_pj: float
    energy_log10_sd: float
    n_runs: int  # of this very mask, among the known

    @property
    def energy_pj(self) -> float:
        return 10**self.energy_log10_pj


@dataclass(frozen=True, kw_only=True)
class Predictions:
    """All masks, and how far off the model was on each known mask when it had not seen it.

    accuracy_error: mean absolute difference, leaving one mask out; `accuracy_error_of_mean`: the same for the plain
    mean of the other masks, which a model has to beat. energy_error: relative, 0.1 for 10 %.
    """

    rows: tuple[Prediction, ...] = field(repr=False)
    n_runs: int
    n_masks: int
    accuracy_error: float
    accuracy_error_of_mean: float
    energy_error: float


def known(runs: Sequence[MeasuredRun], mode: str) -> list[KnownRun]:
    return [
        KnownRun(
            mask=run.config.mask,
            validation_accuracy=run.summary.best_validation_accuracy,
            energy_pj=run.bills[mode].energy_pj,
        )
        for run in runs
    ]


def predict(points: Sequence[MaskPoint], runs: Sequence[KnownRun]) -> Predictions | None:
    """Predictions for all `points`; None where the runs have fewer than MIN_MASKS different masks.

    Accuracy: a Gaussian process (Rasmussen and Williams, 2006, ch. 2) with an RBF kernel and noise over the mask's
    bits and the standardised logarithms of parameters and dense ops; kernel by maximum likelihood within bounds.
    Energy: log10 E = log10(dense ops) + r, where r, the runs' effective ratio, is normal with the runs' mean and
    deviation, as for one new draw: sd sqrt(1 + 1/n).
    The errors leave out all runs of one mask at a time and keep the kernel that all runs gave.
    Runs must share everything but mask and seed, energies be above 0, and their masks be among the points.
    """
    by_mask = {point.mask: place for place, point in enumerate(points)}
    places = np.array([by_mask[run.mask] for run in runs], dtype=np.intp)
    distinct = np.unique(places)
    if len(distinct) < MIN_MASKS:
        return None
    x = _features(points)
    y = np.array([run.validation_accuracy for run in runs])
    ratio = np.array(
        [math.log10(run.energy_pj / points[place].dense_ops) for run, place in zip(runs, places.tolist(), strict=True)]
    )
    model = _fitted(x[places], y, kernel=None)
    mean, sd = model.predict(x, return_std=True)
    off, off_mean, off_energy = [], [], []
    for place in distinct.tolist():
        out = places == place
        true = y[out].mean()
        off.append(abs(_fitted(x[places[~out]], y[~out], kernel=model.kernel_).predict(x[[place]])[0] - true))
        off_mean.append(abs(y[~out].mean() - true))
        off_energy.append(abs(10 ** (ratio[~out].mean() - ratio[out].mean()) - 1))
    centre, spread = fmean(ratio), stdev(ratio) * math.sqrt(1 + 1 / len(ratio))
    rows = tuple(
        Prediction(
            point=point,
            accuracy=float(mean[place]),
            accuracy_sd=float(sd[place]),
            energy_log10_pj=math.log10(point.dense_ops) + centre,
            energy_log10_sd=spread,
            n_runs=int((places == place).sum()),
        )
        for place, point in enumerate(points)
    )
    return Predictions(
        rows=rows,
        n_runs=len(runs),
        n_masks=len(distinct),
        accuracy_error=fmean(off),
        accuracy_error_of_mean=fmean(off_mean),
        energy_error=fmean(off_energy),
    )


def _features(points: Sequence[MaskPoint]) -> np.ndarray:
    """[N, blocks + 2] float64: the mask's bits, then log parameters and log dense ops, standardised over all points."""
    blocks = sorted({block for point in points for block in point.mask})
    bits = np.array([[block in point.mask for block in blocks] for point in points], dtype=np.float64)
    sizes = np.log([[point.params, point.dense_ops] for point in points])
    spread = sizes.std(axis=0)
    return np.hstack((bits, (sizes - sizes.mean(axis=0)) / np.where(spread > 0, spread, 1)))


def _fitted(x: np.ndarray, y: np.ndarray, *, kernel):
    """A Gaussian process on [M, D] and [M]; with a kernel given, that one as it is."""
    from sklearn.exceptions import ConvergenceWarning  # a second to import, and asked for by few
    from sklearn.gaussian_process import GaussianProcessRegressor
    from sklearn.gaussian_process.kernels import RBF, ConstantKernel, WhiteKernel

    fresh = ConstantKernel(1.0, (0.1, 10.0)) * RBF(2.0, (0.5, 20.0)) + WhiteKernel(0.1, (1e-3, 1.0))
    process = GaussianProcessRegressor(
        kernel=kernel or fresh, optimizer=None if kernel else "fmin_l_bfgs_b", normalize_y=True
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # a bound was reached: bounds are there for that
        return process.fit(x, y)
