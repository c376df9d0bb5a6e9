"""Several seeds of one run as one figure: mean, deviation, interval."""

from __future__ import annotations

import statistics
from collections.abc import Sequence

from core.schemas.sweep import Aggregate

CONFIDENCE = 0.95


def aggregate(values: Sequence[float]) -> Aggregate | None:
    """Mean of n measurements with a two-sided 95 % interval; None for no measurement.

    values: n floats in any one unit, which is the unit of the result.
        s^2 = sum_i (x_i - mean)^2 / (n - 1)
        mean -+ t(0.975, n - 1) s / sqrt(n)
    t is the quantile of Student's distribution ("Student", Biometrika 6, 1908), which is exact for normal
    measurements; the interval is not cut at 0 or 1. A single measurement has neither deviation nor interval, and equal
    ones have no interval: that of the formula would have no width, where they only say that the deviation is too small
    for so few of them to show.
    The interval is about the mean over seeds; a share of the spread that comes from the test set itself is not in it.
    """
    n = len(values)
    if n == 0:
        return None
    mean = statistics.fmean(values)
    if n == 1:
        return Aggregate(n=1, mean=mean, deviation=None, low=None, high=None)
    deviation = statistics.stdev(values)
    if deviation == 0:
        return Aggregate(n=n, mean=mean, deviation=0.0, low=None, high=None)
    from scipy.special import stdtrit  # slow to import, and asked for by one page

    half = float(stdtrit(n - 1, (1 + CONFIDENCE) / 2)) * deviation / n**0.5
    return Aggregate(n=n, mean=mean, deviation=deviation, low=mean - half, high=mean + half)
