"""Which masks to train next: those that promise most area under the Pareto front for their training time."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean

import numpy as np

from core.analysis.pareto import hypervolume
from core.search.gain import expected_gain
from core.search.predict import KnownRun, Prediction, Predictions
from core.units import format_count, format_duration, format_energy

ROOM = math.log10(2)  # the reference stands at twice the largest energy in sight, so that the largest can gain too


@dataclass(frozen=True, kw_only=True)
class Suggestion:
    """One mask worth training. Gains are in accuracy x decades of energy, the area in which fronts are compared."""

    prediction: Prediction
    gain: float
    gain_per_hour: float | None  # None where no speed is known: then ranked by gain for each training operation
    cost_s: float | None
    reason: str


@dataclass(frozen=True, kw_only=True)
class Suggestions:
    """In the order to train them. `hypervolume`: of the known runs, up to the reference."""

    rows: tuple[Suggestion, ...]
    hypervolume: float
    worst_energy_pj: float
    worst_accuracy: float
    candidates: int


def known_points(runs: Sequence[KnownRun]) -> tuple[np.ndarray, np.ndarray]:
    """(log10 energy in pJ [M], validation accuracy [M]): one point a mask, the mean over its runs."""
    by_mask: dict[tuple[str, ...], list[KnownRun]] = {}
    for run in runs:
        by_mask.setdefault(run.mask, []).append(run)
    cost = [math.log10(fmean(run.energy_pj for run in same)) for same in by_mask.values()]
    value = [fmean(run.validation_accuracy for run in same) for same in by_mask.values()]
    return np.array(cost), np.array(value)


def suggest(
    predictions: Predictions, runs: Sequence[KnownRun], n: int, *, chance: float, ops_per_s: float | None = None
) -> Suggestions:
    """The `n` untrained masks with the largest expected hypervolume gain for each second of training.

    chance: the accuracy of guessing, the worst of interest. ops_per_s: training operations a second, of the known
    runs. After each choice its predicted point is taken for real (Ginsbourger's "Kriging believer"), so that the
    next one adds something else.
    """
    cost, value = known_points(runs)
    candidates = [row for row in predictions.rows if row.n_runs == 0]
    worst_cost = max([*cost.tolist(), *(row.energy_log10_pj for row in predictions.rows)]) + ROOM
    reference = {"worst_cost": worst_cost, "worst_value": chance}
    area = hypervolume(cost, value, **reference)
    means = {
        "cost": np.array([row.energy_log10_pj for row in candidates]),
        "value": np.array([row.accuracy for row in candidates]),
    }
    spreads = {
        "cost_sd": np.array([row.energy_log10_sd for row in candidates]),
        "value_sd": np.array([row.accuracy_sd for row in candidates]),
    }
    ops = np.array([row.point.training_ops for row in candidates])
    left = np.ones(len(candidates), dtype=bool)
    chosen: list[Suggestion] = []
    while len(chosen) < n and left.any():
        gains = expected_gain(cost, value, **means, **spreads, **reference)
        best = int(np.argmax(np.where(left, gains / ops, -np.inf)))
        sure = _certain_gain(cost, value, candidates[best], area, reference)
        chosen.append(_suggestion(candidates[best], float(gains[best]), sure, area, ops_per_s))
        left[best] = False
        cost, value = np.append(cost, means["cost"][best]), np.append(value, means["value"][best])
        area = hypervolume(cost, value, **reference)
    return Suggestions(
        rows=tuple(chosen),
        hypervolume=hypervolume(*known_points(runs), **reference),
        worst_energy_pj=10**worst_cost,
        worst_accuracy=chance,
        candidates=len(candidates),
    )


def _certain_gain(cost: np.ndarray, value: np.ndarray, row: Prediction, area: float, reference: dict) -> float:
    """What the mask adds if it lands exactly where it is predicted."""
    enlarged = hypervolume(np.append(cost, row.energy_log10_pj), np.append(value, row.accuracy), **reference)
    return enlarged - area


def _suggestion(row: Prediction, gain: float, sure: float, area: float, ops_per_s: float | None) -> Suggestion:
    cost_s = row.point.training_ops / ops_per_s if ops_per_s else None
    share = f" ({100 * gain / area:.1f} % of the area so far)" if area > 0 else ""
    if sure > gain / 2:
        why = "where it is predicted to land already lies beyond the front"
    elif sure > 0:
        why = "it is predicted to land just beyond the front, and its uncertainty leaves room for more"
    else:
        why = "it is predicted to land inside the front, but is uncertain enough to end beyond it"
    price = (
        f"about {format_duration(cost_s)} of training"
        if cost_s is not None
        else (f"{format_count(row.point.training_ops)} MACs of training")
    )
    return Suggestion(
        prediction=row,
        gain=gain,
        gain_per_hour=gain / (cost_s / 3600) if cost_s else None,
        cost_s=cost_s,
        reason=(
            f"Expected {100 * row.accuracy:.1f} ± {100 * row.accuracy_sd:.1f} % on validation at {format_energy(row.energy_pj)}: "
            f"{why}. Gain {gain:.3g}{share} for {price}."
        ),
    )
