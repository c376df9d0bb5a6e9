"""How much of the plane the front dominates, run after run."""

from __future__ import annotations

from datetime import datetime

import numpy as np
import plotly.graph_objects as go

from core.analysis.pareto import history
from core.datasets.catalog import title_of
from core.report.charts import theme
from core.report.charts.axes import X_AXES, Y_AXES, x_unit
from core.report.charts.pareto_marks import Marks, in_order_of_end, marks, reference
from core.schemas.pareto import Pareto, ParetoPoint

TITLE = "Hypervolume over time"


def steps(pareto: Pareto, *, x: str, y: str, shown: Marks | None = None) -> list[dict]:
    """One row a finished run, in the order they ended: when, the hypervolume after it in [0, 1], whether it rose."""
    ended, areas, rose = _areas(shown or marks(pareto.points, x=x, y=y), y=y)
    return [_row(*row) for row in zip(ended.points, areas, rose, strict=True)]


def _areas(marks: Marks, *, y: str) -> tuple[Marks, np.ndarray, np.ndarray]:
    """(runs in the order they ended, the hypervolume after each, whether it rose with it); none where all cost nothing."""
    shown = in_order_of_end(marks)
    if not shown.points or shown.x.max() <= 0:
        return Marks(points=[], x=np.zeros(0), y=np.zeros(0), fronts={}), np.zeros(0), np.zeros(0, dtype=bool)
    worst_x, worst_y = reference(shown)
    whole = worst_x * (100.0 if y == "accuracy" else 1.0)
    areas = history(shown.x, shown.y, worst_cost=worst_x, worst_value=worst_y) / whole
    return shown, areas, np.diff(areas, prepend=0.0) > 0


def _row(point: ParetoPoint, area: float, rose: bool) -> dict:
    return {"finished_at": point.finished_at, "run": point.run_id, "network": point.described, "hypervolume": float(area),
            "moved_the_front": bool(rose)}  # fmt: skip


def figure(pareto: Pareto, *, x: str = "energy", y: str = "accuracy", shown: Marks | None = None) -> go.Figure:
    """A stair that rises with each run that pushed the front; a dot for each of those. x: when runs ended, in UTC.

    `shown`: the marks of these axes, where they are made already; here and in `steps`.
    """
    shown, areas, rose = _areas(shown or marks(pareto.points, x=x, y=y), y=y)
    if not shown.points:
        return theme.empty(name="hypervolume", title=TITLE, sentence="It begins with the first finished run.")
    rises = [_row(shown.points[place], areas[place], True) for place in np.flatnonzero(rose)]
    ends: list[datetime] = [row["finished_at"] for row in rises] + [shown.points[-1].finished_at]
    heights = [row["hypervolume"] for row in rises] + [float(areas[-1])]
    chart = go.Figure()
    chart.add_scatter(
        x=ends,
        y=heights,
        mode="lines",
        line={"shape": "hv", "color": theme.NEUTRAL, "width": 2},
        hoverinfo="skip",
        name="hypervolume",
    )
    chart.add_scatter(
        x=ends[: len(rises)],
        y=heights[: len(rises)],
        mode="markers",
        name="a run that moved the front",
        marker={"color": theme.BLUE, "size": 8},
        customdata=[[row["run"]] for row in rises],
        hovertext=[
            f"<b>{theme.escape(row['network'])}</b><br>{row['hypervolume']:.4f} · {row['finished_at']:%Y-%m-%d %H:%M} UTC"
            for row in rises
        ],
        hoverinfo="text",
    )
    worst_x, _ = reference(shown)
    factor, unit = x_unit([worst_x], x)
    arrived = any(point.imported for point in shown.points)
    chart.update_xaxes(title_text="run finished or brought in, UTC" if arrived else "run finished, UTC", nticks=6)
    chart.update_yaxes(title_text="hypervolume, share of 1", rangemode="tozero", nticks=5)
    caption = [
        title_of(pareto.dataset),
        f"{theme.count_of(len(shown.points), 'run')}, {len(rises)} moved the front",
        f"area below the front of {Y_AXES[y].short} against {X_AXES[x].short} (linear)",
        f"reference: {worst_x / factor:.3g}{unit.replace(',', '')} and {Y_AXES[y].short} 0",
        f"mode {pareto.mode}" if x in ("energy", "synops") else "",
        f"profile {pareto.profile}{pareto.moved_prices}" if x == "energy" else "",
    ]
    return theme.frame(
        chart, name="hypervolume", title=TITLE, caption=caption, height=240, revision=f"{pareto.dataset}|{x}|{y}"
    )
