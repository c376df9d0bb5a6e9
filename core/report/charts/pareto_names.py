"""Names of marks on the Pareto plot: as many as have room."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import NamedTuple

import plotly.graph_objects as go

from core.report.charts import theme
from core.report.charts.axes import x_of, y_of
from core.report.charts.pareto_marks import Marks
from core.schemas.pareto import ParetoPoint, PublishedPoint, View

Place = Callable[[float], float]  # a value to its place on the axis
CLOSE = (0.16, 0.06)  # shares of the plot's width and height within which two short names would overlap
SIGN = 0.0235  # share of the width that a sign of a longer name takes in a narrow picture
BELOW = 0.13  # share of the height that a name below its mark reaches down there
MARK = 0.04  # share of the width that half a mark takes there, and the gap beside it
BLOCKS = 3  # of a mask without a name of its own, which are then its name
CROWD = 24  # above so many marks those off the front have no names
FRONT_PX = 13  # a mark on the front


def draw_names(chart: go.Figure, shown: Marks, printed: Sequence[PublishedPoint], view: View, place: Place) -> None:
    """Names below their marks, beside the front's line, which falls from a mark: of runs the mask's, of printed rows the model's.

    A trace of its own, since one that can have text makes room for it at each mark.
    Its own marks cannot be seen; they hold the names at their distance.
    """
    kept = _with_room(chart.layout, _candidates(shown, printed, view, place))
    if kept:
        chart.add_scatter(
            x=[one.x for one in kept], y=[one.y for one in kept], mode="markers+text",
            marker={"size": FRONT_PX, "opacity": 0}, unselected={"marker": {"opacity": 0}},
            text=[theme.escape(one.text) for one in kept],
            textposition=["bottom left" if one.to_left else "bottom right" for one in kept],
            textfont={"size": 10}, name="names", hoverinfo="skip", showlegend=False,
        )  # fmt: skip


class _Name(NamedTuple):
    """`bold`: of the front, whose name may stand over other marks."""

    x: float
    y: float
    text: str
    bold: bool
    to_left: bool = False


def _candidates(shown: Marks, printed: Sequence[PublishedPoint], view: View, place: Place) -> list[_Name]:
    """Marks in the order in which their names take room: the front from the best down, printed rows, the other runs.

    No text for a run of many blocks whose mask has no name; it takes its room all the same.
    """
    best = sorted(range(len(shown.points)), key=lambda i: -shown.y[i])
    own = [_Name(place(shown.x[i]), float(shown.y[i]), _called(shown.points[i]), i in shown.on_front) for i in best]
    rows = sorted(printed, key=lambda point: -y_of(point, view.y))
    papers = [_Name(place(x_of(point, view.x)), y_of(point, view.y), point.model, False) for point in rows]
    return [*(one for one in own if one.bold), *papers, *(one for one in own if not one.bold)]


def _called(point: ParetoPoint) -> str:
    return point.mask_name or (",".join(point.mask) if len(point.mask) <= BLOCKS else "")


def _with_room(layout: go.Layout, names: Sequence[_Name]) -> list[_Name]:
    """Those names that overlap no name before them and, off the front, no other mark."""
    low, high = layout.xaxis.range
    tall = layout.yaxis.range[1] - layout.yaxis.range[0]
    floor = layout.yaxis.range[0]

    def at(one: _Name) -> tuple[float, float]:
        across = math.log10(one.x) if layout.xaxis.type == "log" else one.x
        return (across - low) / (high - low), (one.y - floor) / tall

    places = [at(one) for one in names]
    kept: list[tuple[_Name, float, float, float]] = []  # (name, from, to, height) in shares of the plot
    for i, one in enumerate(names):
        if not one.bold and (not one.text or len(names) > CROWD):
            continue
        x, y = places[i]
        wide = max(CLOSE[0], SIGN * len(one.text))
        sides = [x > 0.85] if one.bold else [False, True]
        for to_left in sides:
            start, end = (x - wide, x) if to_left else (x, x + wide)
            near = CLOSE[1] if one.bold else BELOW
            beside = any(start < to and begin < end and abs(y - other) < near for _, begin, to, other in kept)
            over = not one.bold and (start < 0 or end > 1.02 or any(
                start - MARK <= a <= end + MARK and 0 <= y - b < BELOW for j, (a, b) in enumerate(places) if j != i
            ))  # fmt: skip
            if not beside and not over:
                kept.append((one._replace(to_left=to_left), start, end, y))
                break
    return [one for one, *_ in kept if one.text]
