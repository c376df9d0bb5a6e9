"""Many results as points: an Explore view in any axes, runs side by side, the groups of a sweep."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import plotly.graph_objects as go

from core.analysis.pareto import front
from core.backbones.catalog import BACKBONES
from core.datasets.catalog import title_of
from core.report.charts import theme
from core.schemas.compare import Comparison
from core.schemas.pareto import ParetoPoint, PublishedPoint
from core.schemas.run import Kind
from core.schemas.share import SharedPareto, SharedSweep, ShareView
from core.schemas.sweep import Aggregate
from core.units import energy_scale, format_energy

X_WORDS = {
    "energy": "energy per inference",
    "params": "parameters",
    "synops": "synaptic operations (AC + MAC) per inference",
    "steps": "time steps T",
    "model_bytes": "weights in float32, bytes",
}
Y_WORDS = {"accuracy": "top-1 accuracy, %", "f1_macro": "macro F1"}
LARGE = 400  # more points than this are drawn small


@dataclass(frozen=True, kw_only=True)
class Mark:
    """One point; `x_error` and `y_error` are half-widths, None where n = 1. A hollow one was printed, not measured."""

    x: float
    y: float
    hover: str
    backbone: str
    kind: Kind
    hollow: bool = False
    x_error: float | None = None
    y_error: float | None = None


def view(plot: SharedPareto, shown: ShareView) -> go.Figure:
    """All runs of an Explore view with the front in its axes; printed points where they have both figures."""
    marks = [
        Mark(
            x=x_of(point, shown.x), y=y_of(point, shown.y), backbone=point.backbone, kind=point.kind,
            hover=_hover(point.label, f"seed {point.seed}", x_of(point, shown.x), y_of(point, shown.y), shown.x, shown.y),
        )
        for point in plot.points
    ]  # fmt: skip
    for point in plot.published:
        x, y = x_of(point, shown.x), y_of(point, shown.y)
        if x is not None and y is not None:
            words = _hover(point.model, f"printed by Kabir et al., {point.table}", x, y, shown.x, shown.y)
            marks.append(Mark(x=x, y=y, backbone="", kind=point.kind, hollow=True, hover=words))
    sizes = {point.n_test for point in plot.points}
    caption = [
        title_of(plot.dataset),
        theme.count_of(len(plot.points), "run"),
        f"n = {' or '.join(f'{size:,}' for size in sorted(sizes)[:3])} test images" if sizes else "",
        f"stopped after T' = {shown.steps}" if shown.steps else "",
        *_priced(plot.mode, plot.profile + plot.moved_prices, shown.x),
        "hollow: printed by Kabir et al." if any(mark.hollow for mark in marks) else "",
    ]
    title = f"{Y_WORDS[shown.y].split(',')[0].capitalize()} against {X_WORDS[shown.x].split(',')[0].split(' (')[0]}"
    return _figure(marks, name="view", title=title, x=shown.x, y=shown.y, x_log=shown.x_log, caption=caption)


def comparison(found: Comparison) -> go.Figure:
    """Accuracy against energy of the compared runs."""
    marks = [
        Mark(
            x=run.energy_pj,
            y=100 * run.accuracy,
            backbone=run.config.backbone,
            kind=run.kind,
            hover=_hover(run.label, f"{run.id}, seed {run.config.seed}", run.energy_pj, 100 * run.accuracy),
        )
        for run in found.runs
    ]
    caption = [
        ", ".join(sorted({title_of(run.config.dataset) for run in found.runs})),
        theme.count_of(len(found.runs), "run"),
        f"n = {min(run.n_test for run in found.runs):,} test images",
        *_priced(found.mode, found.profile + found.moved_prices),
    ]
    return _figure(marks, name="compared", title="Accuracy against energy", caption=caption, x_log=False)


def sweep(found: SharedSweep) -> go.Figure:
    """Mean accuracy against mean energy of each group of seeds, with the deviation over seeds."""
    groups = [group for group in found.groups if group.accuracy is not None and group.energy_pj is not None]
    if not groups:
        return theme.empty(
            name="groups", title="Accuracy against energy", sentence="No run of this sweep has ended yet."
        )
    marks = [
        Mark(
            x=group.energy_pj.mean,
            y=100 * group.accuracy.mean,
            backbone=group.config.backbone,
            kind=group.config.kind,
            hover=_hover(group.label, _spread(group.accuracy), group.energy_pj.mean, 100 * group.accuracy.mean),
            x_error=group.energy_pj.deviation,
            y_error=None if group.accuracy.deviation is None else 100 * group.accuracy.deviation,
        )
        for group in groups
    ]
    caption = [
        ", ".join(sorted({title_of(group.config.dataset) for group in groups})),
        f"mean of n = {_span([group.n for group in groups])} seeds",
        "bars: standard deviation over seeds" if any(mark.y_error is not None for mark in marks) else "one seed each",
        *_priced(found.mode, found.profile),
    ]
    return _figure(marks, name="groups", title="Accuracy against energy", caption=caption)


def x_of(point: ParetoPoint | PublishedPoint, axis: str) -> float | None:
    """A point's place on an axis of ShareView, in its unit; None for a printed point without the figure."""
    if axis == "energy":
        return point.energy_pj
    if axis == "synops":
        return None if point.acs is None and point.macs is None else (point.acs or 0) + (point.macs or 0)
    if axis == "params":
        return point.params
    return point.time_steps if axis == "steps" and isinstance(point, ParetoPoint) else getattr(point, axis, None)


def y_of(point: ParetoPoint | PublishedPoint, axis: str) -> float | None:
    return 100 * point.accuracy if axis == "accuracy" else point.f1_macro


def _figure(
    marks: list[Mark], *, name: str, title: str, caption: Iterable[str], x: str = "energy", y: str = "accuracy",
    x_log: bool = True,
) -> go.Figure:  # fmt: skip
    if not marks:
        return theme.empty(name=name, title=title, sentence="No finished run yet.")
    positive = sorted(mark.x for mark in marks if mark.x > 0)
    x_log = x_log and bool(positive)
    factor, unit = energy_scale(positive[len(positive) // 2] if positive else 1.0) if x == "energy" else (1.0, "")
    edge = positive[0] / 2 / factor if positive else 0.0

    def place(value: float) -> float:
        return edge if x_log and value <= 0 else value / factor  # nothing has no place on a log axis

    chart = go.Figure()
    own = [mark for mark in marks if not mark.hollow]
    _front(chart, own, place)
    families: dict[tuple[str, Kind, bool], list[Mark]] = {}
    for mark in marks:
        families.setdefault((mark.backbone, mark.kind, mark.hollow), []).append(mark)
    for (backbone, kind, hollow), members in families.items():
        colour = theme.colour(backbone or "squeezenet", kind)
        bars = {
            axis: {"array": [getattr(m, axis) or 0 for m in members], "color": colour, "thickness": 1}
            for axis in ("x_error", "y_error")
        }
        bars["x_error"]["array"] = [value / factor for value in bars["x_error"]["array"]]
        has_bars = any(member.y_error is not None for member in members)
        chart.add_scatter(
            x=[place(member.x) for member in members],
            y=[member.y for member in members],
            mode="markers",
            name=f"{kind.value.upper()}, printed" if hollow else f"{kind.value.upper()}-{_titled(backbone)}",
            marker={
                "symbol": theme.SYMBOL[kind] + ("-open" if hollow else ""),
                "color": colour,
                "size": 6 if len(members) > LARGE else 10,
                "line": {"width": 1.6 if hollow else 1, "color": colour if hollow else "rgba(255,255,255,.8)"},
            },
            hovertext=[member.hover for member in members],
            hoverinfo="text",
            **({"error_x": bars["x_error"], "error_y": bars["y_error"]} if has_bars else {}),
        )
    chart.update_xaxes(title_text=X_WORDS[x] + (f", {unit}" if unit else ""), nticks=8)
    if x_log:
        xs = [place(mark.x) for mark in marks]
        span = max(math.log10(max(xs) / min(xs)), 0.2)
        edges = [math.log10(min(xs)) - 0.08 * span, math.log10(max(xs)) + 0.12 * span]
        chart.update_xaxes(type="log", range=edges, **theme.log_ticks(min(xs), max(xs)))
    else:
        chart.update_xaxes(rangemode="tozero")
    chart.update_yaxes(title_text=Y_WORDS[y], nticks=7)
    return theme.frame(chart, name=name, title=title, caption=caption, height=380, listed=True)


def _front(chart: go.Figure, marks: list[Mark], place) -> None:
    """The best value that any own point reaches for at most this cost."""
    if len(marks) < 2:
        return
    best = front(np.array([mark.x for mark in marks]), np.array([mark.y for mark in marks]))
    members = sorted((mark for mark, on in zip(marks, best, strict=True) if on), key=lambda mark: (mark.x, mark.y))
    xs, ys = [place(mark.x) for mark in members], [mark.y for mark in members]
    chart.add_scatter(
        x=[*xs, max(place(mark.x) for mark in marks)], y=[*ys, ys[-1]], mode="lines", name="Pareto front",
        line={"shape": "hv", "color": theme.NEUTRAL, "width": 2}, hoverinfo="skip", legendrank=2000,
    )  # fmt: skip


def _hover(label: str, second: str, x: float, y: float, x_axis: str = "energy", y_axis: str = "accuracy") -> str:
    cost = format_energy(x) if x_axis == "energy" else f"{x:,.4g} {X_WORDS[x_axis].split(',')[0]}"
    value = f"{y:.2f} %" if y_axis == "accuracy" else f"F1 {y:.3f}"
    return "<br>".join((f"<b>{theme.escape(label)}</b>", theme.escape(second), f"{value} · {cost}"))


def _titled(backbone: str) -> str:
    return BACKBONES[backbone].title if backbone in BACKBONES else theme.escape(backbone)


def _span(sizes: list[int]) -> str:
    return f"{min(sizes)}" if min(sizes) == max(sizes) else f"{min(sizes)} to {max(sizes)}"


def _spread(value: Aggregate) -> str:
    if value.deviation is None:
        return "n = 1 seed"
    return f"accuracy {100 * value.mean:.2f} ± {100 * value.deviation:.2f} % (n = {value.n} seeds)"


def _priced(mode: str, profile: str, x: str = "energy") -> list[str]:
    if x == "energy":
        return [f"mode {mode}" + (" (one time step)" if mode == "paper" else " (all time steps)"), f"profile {profile}"]
    return [f"mode {mode}"] if x == "synops" else []
