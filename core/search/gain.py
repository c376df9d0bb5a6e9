"""Expected hypervolume gain of a candidate whose cost and value are known only with uncertainty."""

from __future__ import annotations

import numpy as np

from core.analysis.pareto import front


def expected_gain(
    front_cost: np.ndarray,
    front_value: np.ndarray,
    *,
    cost: np.ndarray,
    cost_sd: np.ndarray,
    value: np.ndarray,
    value_sd: np.ndarray,
    worst_cost: float,
    worst_value: float,
) -> np.ndarray:
    """By how much a candidate would enlarge the dominated area, on average: [N] float, at least 0.

    front_cost, front_value: [M] finite, known points; cost, value: [N] means of independent normals C and V with
    deviations cost_sd, value_sd >= 0; the reference (worst_cost, worst_value) as in `core.analysis.pareto.hypervolume`.

    With the front's costs c_1 < ... < c_k and values v_1 < ... < v_k, c_0 = -inf, v_0 = worst_value and
    c_{k+1} = worst_cost, the area between costs c_i and c_{i+1} is gained above v_i, so
        E[gain] = sum_i E[(V - v_i)+] (E[(c_{i+1} - C)+] - E[(c_i - C)+])
        E[(a - X)+] = (a - m) Phi((a - m) / s) + s phi((a - m) / s) for X ~ N(m, s^2)
    exact and in closed form (Emmerich, Deutz, Klinkenberg, CEC 2011, in two dimensions).
    """
    front_cost, front_value = np.asarray(front_cost, dtype=np.float64), np.asarray(front_value, dtype=np.float64)
    kept = front(front_cost, front_value) & (front_cost < worst_cost) & (front_value > worst_value)
    pairs = np.unique(np.stack((front_cost[kept], front_value[kept]), axis=1), axis=0)
    ends = np.append(pairs[:, 0], worst_cost)[:, None]  # [k + 1, 1]
    floors = np.concatenate(([worst_value], pairs[:, 1]))[:, None]
    cost, value = (np.atleast_1d(np.asarray(mean, dtype=np.float64)) for mean in (cost, value))
    reach = _expected_excess(ends, cost, cost_sd)  # [k + 1, N]
    widths = np.diff(reach, axis=0, prepend=0.0)  # E[(-inf - C)+] = 0
    heights = _expected_excess(-floors, -value, value_sd)  # (V - v)+ = (-v - -V)+
    return np.maximum((widths * heights).sum(axis=0), 0.0)


def _expected_excess(a: np.ndarray, mean: np.ndarray, sd: np.ndarray) -> np.ndarray:
    """E[(a - X)+] for X ~ N(mean, sd^2); sd = 0 is a certain X."""
    from scipy.special import ndtr  # slow to import, and asked for by few

    gap, sd = np.broadcast_arrays(a - mean, np.asarray(sd, dtype=np.float64))
    certain = np.maximum(gap, 0.0)
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        z = gap / sd
        density = np.exp(-0.5 * z * z) / np.sqrt(2 * np.pi)
        uncertain = gap * ndtr(z) + sd * density
    return np.where(sd > 0, np.maximum(uncertain, 0.0), certain)
