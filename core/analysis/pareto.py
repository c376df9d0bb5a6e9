"""Pareto fronts: one cost or two to keep low, and a value to keep high."""

from __future__ import annotations

import bisect
import math

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


def front_of_two_costs(cost: np.ndarray, other_cost: np.ndarray, value: np.ndarray) -> np.ndarray:
    """As `front`, of points with two costs: [N] float each -> [N] bool, by the same rules for ties and NaN.

    Points are taken by rising cost, so that one is dominated exactly if an earlier one has no higher other cost and no lower
    value: the best value up to each other cost is a stair that rises (Kung, Luccio, Preparata, J. ACM 22(4), 1975).
    O(N log N), beside the steps of the stair that a point moves. Raises ValueError for arrays of unequal length.
    """
    points = [np.asarray(part, dtype=np.float64) for part in (cost, other_cost, value)]
    if any(part.ndim != 1 or part.shape != points[0].shape for part in points):
        shapes = ", ".join(str(part.shape) for part in points)
        raise ValueError(f"two costs and a value must be three equally long rows of numbers, not {shapes}")
    on_front = np.zeros(len(points[0]), dtype=bool)
    known = np.flatnonzero(~np.isnan(points).any(axis=0))
    first, second, worth = (part[known] for part in points)
    order = np.lexsort((-worth, second, first))
    rows = zip(first[order].tolist(), second[order].tolist(), worth[order].tolist(), strict=True)
    stair_cost: list[float] = []  # both rising
    stair_value: list[float] = []
    kept, before, is_kept = [], None, False
    for point in rows:
        if point != before:  # equal points share their lot
            _, at, worth_ = before = point
            after = bisect.bisect_right(stair_cost, at)
            is_kept = not after or stair_value[after - 1] < worth_
            if is_kept:
                begin = after - 1 if after and stair_cost[after - 1] == at else after
                end = bisect.bisect_right(stair_value, worth_, lo=begin)
                stair_cost[begin:end], stair_value[begin:end] = [at], [worth_]
        kept.append(is_kept)
    on_front[known[order]] = kept
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
    does. A point adds what lies between it and the front before it: O(log N) for each, beside the steps that it ends.
    """
    cost, value = np.asarray(cost, dtype=np.float64), np.asarray(value, dtype=np.float64)
    cost, value = np.asarray(cost, dtype=np.float64), np.asarray(value, dtype=np.float64)
    if not np.isfinite((worst_cost, worst_value)).all():
        raise ValueError("a hypervolume needs a finite reference")
    areas, area = np.zeros(len(cost)), 0.0
    stair_cost: list[float] = []  # the front so far, both rising
    stair_value: list[float] = []
    for place, (c, v) in enumerate(zip(cost.tolist(), value.tolist(), strict=True)):
        if c < worst_cost and v > worst_value:  # false for a NaN
            area += _gain(stair_cost, stair_value, c, v, worst_cost=worst_cost, worst_value=worst_value)
        areas[place] = area
    return areas


def _gain(
    stair_cost: list[float], stair_value: list[float], c: float, v: float, *, worst_cost: float, worst_value: float
) -> float:
    """What a point adds to the area below a front, which takes it in; 0 for one that is dominated."""
    if not (math.isfinite(c) and math.isfinite(v)):
        raise ValueError("a hypervolume needs finite points")
    after = bisect.bisect_right(stair_cost, c)
    if after and stair_value[after - 1] >= v:
        return 0.0
    first = after - 1 if after and stair_cost[after - 1] == c else after
    last = first
    below = stair_value[first - 1] if first else worst_value  # the height of the stair at the point's own cost
    gained, left = 0.0, c
    while last < len(stair_cost) and stair_value[last] <= v:  # steps that the point makes needless
        gained += (stair_cost[last] - left) * (v - below)
        left, below = stair_cost[last], stair_value[last]
        last += 1
    right = stair_cost[last] if last < len(stair_cost) else worst_cost
    stair_cost[first:last] = [c]
    stair_value[first:last] = [v]
    return gained + (right - left) * (v - below)
