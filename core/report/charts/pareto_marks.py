"""From runs to marks of the Pareto plot: which are drawn, where, and which of them form the front."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from core.analysis.pareto import front, hypervolume
from core.report.charts.axes import x_of, y_of
from core.schemas.pareto import ParetoPoint
from core.schemas.run import Kind

MANY = 1500  # above so many marks, of those that lie close together one is drawn
CELLS = (120, 96, 76, 60, 48, 38, 30)  # places across, and half as many up, that a mark off the front can take then
BEYOND = 1.1  # the reference of the hypervolume lies so many times beyond the dearest run


@dataclass(frozen=True, kw_only=True)
class Spread:
    """Seeds of one config behind one mark. Deviations are in the units of ParetoPoint; 0 for one seed."""

    run_ids: tuple[str, ...]
    ended: int | None = None  # of these runs, where not all have
    energy_pj: float = 0.0
    accuracy: float = 0.0
    f1_macro: float = 0.0
    synops: float = 0.0

    @property
    def n(self) -> int:
        return len(self.run_ids) if self.ended is None else self.ended


@dataclass(frozen=True, kw_only=True)
class Marks:
    """N marks in the units of the axes. `fronts`: data set -> the places on its front, from the least x up."""

    points: Sequence[ParetoPoint]
    x: np.ndarray
    y: np.ndarray
    fronts: Mapping[str, list[int]]
    spreads: Mapping[str, Spread] = field(default_factory=dict)

    @property
    def on_front(self) -> frozenset[int]:
        return frozenset(place for front in self.fronts.values() for place in front)


def marks(points: Sequence[ParetoPoint], *, x: str, y: str, spreads: Mapping[str, Spread] | None = None) -> Marks:
    """The marks of runs that have both figures, and the front of these axes: one a data set, since accuracies on
    different data sets do not compete."""
    x_all, y_all = [x_of(point, x) for point in points], [y_of(point, y) for point in points]
    kept = points
    if None in x_all or None in y_all:
        there = [place for place, pair in enumerate(zip(x_all, y_all, strict=True)) if None not in pair]
        kept, x_all, y_all = ([column[place] for place in there] for column in (points, x_all, y_all))
    xs, ys = np.array(x_all, dtype=np.float64), np.array(y_all, dtype=np.float64)
    datasets = np.array([point.dataset for point in kept], dtype=object)
    fronts = {}
    for name in dict.fromkeys(datasets.tolist()):
        of = np.flatnonzero(datasets == name)
        best = of[front(xs[of], ys[of])]
        fronts[name] = best[np.lexsort((ys[best], xs[best]))].tolist()
    return Marks(points=kept, x=xs, y=ys, fronts=fronts, spreads=spreads or {})


def fronted(points: Sequence[ParetoPoint], marks: Marks) -> tuple[list[ParetoPoint], Marks]:
    """The points that the marks were made of, and the marks, each point saying whether it is on the front."""
    best = {marks.points[place].run_id for place in marks.on_front}
    told = {
        point.run_id: point
        if point.on_front == (point.run_id in best)
        else point.model_copy(update={"on_front": not point.on_front})
        for point in points
    }
    return list(told.values()), replace(marks, points=[told[point.run_id] for point in marks.points])


def in_order_of_end(marks: Marks) -> Marks:
    """The marks by the time at which their runs ended, without a front."""
    order = sorted(range(len(marks.points)), key=lambda place: marks.points[place].finished_at)
    return Marks(points=[marks.points[place] for place in order], x=marks.x[order], y=marks.y[order], fronts={})


def drawn(marks: Marks, *, x_log: bool, always: frozenset[str] = frozenset()) -> list[int]:
    """Places of the marks to draw: all of few; of many the front, `always`, and one for each kind in each cell of a grid
    that is as fine as MANY allows."""
    n = len(marks.points)
    if n <= MANY:
        return list(range(n))
    across = _shares(np.log10(np.where(marks.x > 0, marks.x, np.nan)) if x_log else marks.x)
    up = _shares(marks.y)
    is_snn = np.array([point.kind is Kind.SNN for point in marks.points])
    for cells in CELLS:
        columns, rows = (across * cells).astype(int), (up * cells / 2).astype(int)
        _, firsts = np.unique((columns * 1000 + rows) * 2 + is_snn, return_index=True)
        if len(firsts) <= MANY:
            break
    chosen = (place for place, point in enumerate(marks.points) if point.run_id in always)
    return sorted({*firsts.tolist(), *marks.on_front, *chosen})


def _shares(values: np.ndarray) -> np.ndarray:
    """Of the way from the least value to the greatest, in [0, 1]; -1 for NaN."""
    low, high = np.nanmin(values), np.nanmax(values)
    return np.nan_to_num((values - low) / (high - low or 1.0), nan=-1.0)


def reference(marks: Marks) -> tuple[float, float]:
    """(x, y) that is worse than every run: a tenth beyond the dearest, and 0."""
    return BEYOND * float(marks.x.max()), 0.0


def area(marks: Marks, *, y_top: float) -> float:
    """The hypervolume as a share of the rectangle between nothing and the reference, in [0, 1].

    `y_top`: the greatest value that y can have.
    """
    worst_x, worst_y = reference(marks)
    if worst_x <= 0:
        return math.nan
    return hypervolume(marks.x, marks.y, worst_cost=worst_x, worst_value=worst_y) / (worst_x * y_top)
