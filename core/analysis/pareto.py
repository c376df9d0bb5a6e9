"""Pareto fronts of two objectives: a cost to keep low and a value to keep high."""

from __future__ import annotations

import numpy as np


def front(cost: np.ndarray, value: np.ndarray) -> np.ndarray:
    """Which points no other point beats.

    cost, value: [N] float -> [N] bool. A point is dominated by another with cost <= and value >= of which at
    least one is strict. Points equal in both are all kept; a point with a NaN is never on the front and
    dominates nothing. Raises ValueError for arrays of unequal length. O(N log N).
    """
    cost, value = np.asarray(cost, dtype=np.float64), np.asarray(value, dtype=np.float64)
    if cost.ndim != 1 or cost.shape != value.shape:
        raise ValueError(f"cost and value must be two equally long rows of numbers, not {cost.shape}, {value.shape}")
    on_front = np.zeros(len(cost), dtype=bool)
    known = np.flatnonzero(~(np.isnan(cost) | np.isnan(value)))
    order = known[np.lexsort((-value[known], cost[known]))]  # cheapest first, the best of equal cost before the others
    cost, value = cost[order], value[order]
    # the best value among strictly cheaper points, and the best at the very same cost
    first_of_cost = np.searchsorted(cost, cost, side="left")
    best_so_far = np.concatenate(([-np.inf], np.maximum.accumulate(value)))
    beaten_by_cheaper = (first_of_cost > 0) & (best_so_far[first_of_cost] >= value)
    beaten_at_cost = value < value[first_of_cost]
    on_front[order] = ~(beaten_by_cheaper | beaten_at_cost)
    return on_front


def hypervolume(cost: np.ndarray, value: np.ndarray, *, worst_cost: float, worst_value: float) -> float:
    """Area that the points dominate, up to a reference point that is worse than all of interest.

    cost, value: [N] float. The area of { (c, v): some point has cost <= c <= worst_cost and value >= v >=
    worst_value }, in the product of both units. Points beyond the reference add nothing. Raises ValueError for
    a reference or a point that is not finite.
    """
    cost, value = np.asarray(cost, dtype=np.float64), np.asarray(value, dtype=np.float64)
    kept = front(cost, value) & (cost < worst_cost) & (value > worst_value)
    pairs = np.unique(np.stack((cost[kept], value[kept]), axis=1), axis=0)  # rising cost, hence rising value
    if not (np.isfinite((worst_cost, worst_value)).all() and np.isfinite(pairs).all()):
        raise ValueError("a hypervolume needs finite points and a finite reference")
    widths = np.diff(np.append(pairs[:, 0], worst_cost))
    return float((widths * (pairs[:, 1] - worst_value)).sum())


def history(cost: np.ndarray, value: np.ndarray, *, worst_cost: float, worst_value: float) -> np.ndarray:
    """The hypervolume after the first 1..N points, in their order: [N] float64, never falling.

    cost, value: [N] float; points with a NaN add nothing. The reference is that of `hypervolume`, and raises as it
    does. A point that others dominate changes nothing, so the area is worked out anew only when the front moves.
    """
    cost, value = np.asarray(cost, dtype=np.float64), np.asarray(value, dtype=np.float64)
    areas = np.zeros(len(cost))
    kept_cost, kept_value, area = np.empty(0), np.empty(0), 0.0
    for place, (c, v) in enumerate(zip(cost, value, strict=True)):
        if not (np.isnan(c) or np.isnan(v) or np.any((kept_cost <= c) & (kept_value >= v))):
            kept_cost, kept_value = np.append(kept_cost, c), np.append(kept_value, v)
            on = front(kept_cost, kept_value)
            kept_cost, kept_value = kept_cost[on], kept_value[on]
            area = hypervolume(kept_cost, kept_value, worst_cost=worst_cost, worst_value=worst_value)
        areas[place] = area
    return areas
