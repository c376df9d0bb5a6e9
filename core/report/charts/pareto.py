"""Accuracy against energy, or other figures of many runs: own runs, the front they form, and the printed points.

Explore, a shared view, runs side by side and the groups of a sweep are all drawn here.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence

import numpy as np
import plotly.graph_objects as go

from core.datasets.catalog import title_of
from core.report.charts import theme
from core.report.charts.axes import X_AXES, Y_AXES, energy_unit, group_of, x_of, x_unit, y_of
from core.report.charts.pareto_hover import Unit, own_hover, printed_hover
from core.report.charts.pareto_marks import Marks, Spread, area, drawn, marks
from core.report.charts.pareto_names import FRONT_PX, Place, draw_names
from core.schemas.pareto import Pareto, ParetoPoint, PublishedPoint, View
from core.schemas.run import Kind
from core.units import format_energy

TITLE = "Accuracy against energy"
RED = "#c8443a"
SPREAD_OF = {"energy": "energy_pj", "synops": "synops"}  # axis -> the deviation over seeds along it
OF_LABEL = {"family", "backbone", "kind"}  # groupings in which runs of one label are together
SYMBOLS = ("circle", "square", "diamond", "triangle-up", "cross", "star", "hexagon", "triangle-down")
COLOURS = (theme.BLUE, theme.VERMILION, theme.GREEN, theme.ORANGE, theme.PURPLE, theme.SKY, "#7A5CC2", "#999933")


def figure(
    pareto: Pareto,
    *,
    x_log: bool = True,
    highlight: str | None = None,
    view: View | None = None,
    chosen: Collection[str] = (),
    spreads: Mapping[str, Spread] | None = None,
    sure: Mapping[str, float] | None = None,
    faults: Mapping[str, str] | None = None,
    empty: str | None = None,
    shown: Marks | None = None,
) -> go.Figure:
    """Filled marks are own runs, hollow ones are printed; the step line is the front, what it dominates is shaded.

    Each own mark's customdata is [run_id], or the ids of the runs that it is the mean of. `view` says what the axes, colours and shapes are (`x_log` counts where
    it is left out); `highlight` and `chosen` name runs to ring. `spreads` (run -> Spread): a mark is the mean of
    several seeds, with bars of one standard deviation. `sure` (run -> probability of being on the front) sets size and
    opacity. `faults` (printed model and table -> what its audit contradicts) puts a red cross on a printed point.
    `empty`: what stands in place of the plot where there is nothing to draw. `shown`: the marks of the view's axes,
    where they are made already. On a log axis a run at 0 stands on the left edge and says so.
    """
    view = view or View(x_log=x_log)
    title = f"{Y_AXES[view.y].short[0].upper()}{Y_AXES[view.y].short[1:]} against {X_AXES[view.x].short}"
    shown = shown or marks(pareto.points, x=view.x, y=view.y, spreads=spreads)
    printed = [
        point for point in pareto.published if x_of(point, view.x) is not None and y_of(point, view.y) is not None
    ]
    if not shown.points and not printed:
        return theme.empty(
            name="pareto",
            title=title,
            sentence=empty or f"No finished run on {title_of(pareto.dataset)} yet. Launch one to see it here.",
        )
    values = [*shown.x.tolist(), *(x_of(point, view.x) for point in printed)]
    positive = [value for value in values if value > 0]
    factor, unit = x_unit(values, view.x)
    edge = min(positive) / 2 / factor if positive else 1.0

    def place(value: float) -> float:
        return edge if view.x_log and value <= 0 else value / factor

    chart = go.Figure()
    x_ends, y_ends = _bar_ends(shown, view)
    ys = [*shown.y.tolist(), *(y_of(point, view.y) for point in printed), *y_ends]
    _axes(chart, view, [place(value) for value in [*values, *x_ends]], ys, unit)
    ringed = frozenset({*chosen, *([highlight] if highlight else [])})
    places = drawn(shown, x_log=view.x_log, always=ringed)
    for dataset, front in shown.fronts.items():
        _front(chart, shown, front, place, dataset if len(shown.fronts) > 1 else None)
    energy = energy_unit([*shown.points, *printed])
    _published(chart, printed, view, place, faults or {}, energy)
    _runs(chart, pareto, shown, places, view, place, factor, sure, energy)
    if len(places) == len(shown.points) and not view.hidden:  # among very many marks a name cannot be read
        draw_names(chart, shown, printed, view, place)
    _rings(chart, shown, ringed, place)
    return theme.frame(
        chart,
        name="pareto",
        title=title,
        caption=[*_caption(pareto, shown, printed, places, view, sure), "ringed: chosen" if ringed else ""],
        height=400,
        listed=True,
        revision=f"{pareto.dataset}|{pareto.mode}|{pareto.profile}|{view.x}|{view.y}|{view.x_log}|{pareto.moved_prices}",
    )


def _caption(
    pareto: Pareto,
    shown: Marks,
    printed: list[PublishedPoint],
    places: list[int],
    view: View,
    sure: Mapping[str, float] | None,
) -> list[str]:
    seeds = [spread.n for spread in shown.spreads.values()]
    what = theme.count_of(len(shown.points), "config" if seeds else "run")
    share = area(shown, y_top=100.0 if view.y == "accuracy" else 1.0) if len(shown.fronts) == 1 else math.nan
    charged = (
        " (one time step)"
        if pareto.mode == "paper"
        else ""
        if pareto.steps or pareto.at_most_pj
        else " (all time steps)"
    )
    mode = f"mode {pareto.mode}{charged}"
    return [
        title_of(pareto.dataset),
        f"{what}, {len(shown.on_front)} on the front" + (" of its data set" if len(shown.fronts) > 1 else ""),
        _seeds(seeds),
        _test_images(pareto),
        f"stopped after T' = {pareto.steps} steps" if pareto.steps else "",
        f"each stopped where it is best at no more than {format_energy(pareto.at_most_pj)}"
        if pareto.at_most_pj
        else "",
        mode if view.x in ("energy", "synops") else "",
        f"profile {pareto.profile}{pareto.moved_prices}" if view.x == "energy" else "",
        f"hypervolume {share:.3f} of 1" if math.isfinite(share) else "",
        "size and opacity: probability of being on the front" if sure else _weights(shown),
        *_hollow(printed, view),
        f"{len(places):,} of {len(shown.points):,} marks drawn: of those that lie close together, one"
        if len(places) < len(shown.points)
        else "",
        _subset(pareto),
        f"hidden: {', '.join(view.hidden)}" if view.hidden else "",
    ]


def _hollow(printed: list[PublishedPoint], view: View) -> list[str]:
    """Whose the hollow marks are; on the energy axis also what their energies are."""
    said = []
    if any(point.is_of_the_paper for point in printed):
        said.append("hollow: printed by Kabir et al." + (" for one time step" if view.x == "energy" else ""))
    for point in {point.source: point for point in printed if not point.is_of_the_paper}.values():
        energy = f"; energy: {point.energy_is}" if view.x == "energy" else ""
        said.append(f"hollow: printed by {point.source}{energy}")
    return said


def _weights(shown: Marks) -> str:
    """What large and pale marks are, where there are both."""
    return "small and paler: off the front" if 0 < len(shown.on_front) < len(shown.points) else ""


def _seeds(n: list[int]) -> str:
    """What marks that may stand for several seeds are, by how many each stands for."""
    if not n:
        return ""
    return f"means of up to {max(n)} seeds, bars ± one standard deviation" if max(n) > 1 else "one seed each"


def _axes(chart: go.Figure, view: View, xs: list[float], ys: list[float], unit: str) -> None:
    """Titles and ranges; fixed, so that the shaded area can end where the plot ends."""
    chart.update_xaxes(title_text=X_AXES[view.x].words + unit + (" (log)" if view.x_log else ""), nticks=8)
    if view.x_log:
        span = max(math.log10(max(xs) / min(xs)), 0.2)
        chart.update_xaxes(
            type="log",
            range=[math.log10(min(xs)) - 0.08 * span, math.log10(max(xs)) + 0.12 * span],
            **theme.log_ticks(min(xs), max(xs)),
        )
    else:
        chart.update_xaxes(range=[0, 1.06 * max(xs) or 1.0])
    span = (max(ys) - min(ys)) or 0.1 * abs(max(ys)) or 1.0
    chart.update_yaxes(title_text=Y_AXES[view.y].words, nticks=7, range=[min(ys) - 0.12 * span, max(ys) + 0.08 * span])


def _test_images(pareto: Pareto) -> str:
    sizes = sorted({point.n_test for point in pareto.points if point.n_test is not None})
    if not sizes:
        return ""
    return f"n = {sizes[0]:,} test images" if len(sizes) == 1 else f"n = {sizes[0]:,} to {sizes[-1]:,} test images"


def _subset(pareto: Pareto) -> str:
    part = sum(not point.dataset_complete for point in pareto.points)
    if not part:
        return ""
    return "data on disk is a subset of the published set" if part == len(pareto.points) else f"{part} runs on a subset"


def _front(chart: go.Figure, shown: Marks, front: list[int], place: Place, dataset: str | None) -> None:
    """The best that any run reaches for at most this cost, level up to the dearest run; below it, what is dominated.

    Of several data sets each has a line, and nothing is shaded.
    """
    if not front:
        return
    xs = [place(shown.x[i]) for i in front]
    ys = [shown.y[i] for i in front]
    right, floor = chart.layout.xaxis.range[1], chart.layout.yaxis.range[0]
    right = 10**right if chart.layout.xaxis.type == "log" else right
    corners = [(xs[0], floor)]
    for i, (x, y) in enumerate(zip(xs, ys, strict=True)):
        corners += [(x, ys[i - 1]), (x, y)] if i else [(x, y)]
    corners += [(right, ys[-1]), (right, floor)]
    if dataset is None:
        chart.add_scatter(
        x=[x for x, _ in corners], y=[y for _, y in corners], mode="none", fill="toself", name="dominated",
        fillcolor=theme.tint(theme.NEUTRAL, 0.1), line={"color": theme.NEUTRAL}, hoverinfo="skip", legendrank=31,
    )  # fmt: skip
    dearest = max(place(value) for value in shown.x)
    chart.add_scatter(
        x=[*xs, max(dearest, xs[-1])],
        y=[*ys, ys[-1]],
        mode="lines",
        legendrank=30,
        name="Pareto front" if dataset is None else f"front of {theme.escape(title_of(dataset))}",
        line={"shape": "hv", "color": theme.NEUTRAL, "width": 2},
        hoverinfo="skip",
    )


def _runs(
    chart: go.Figure, pareto: Pareto, shown: Marks, places: list[int], view: View, place: Place, factor: float,
    sure: Mapping[str, float] | None, energy: Unit,
) -> None:  # fmt: skip
    groups: dict[tuple[str, str], list[int]] = {}
    for i in places:
        point = shown.points[i]
        groups.setdefault((group_of(point, view.colour), group_of(point, view.shape)), []).append(i)
    colours = {name: COLOURS[i % len(COLOURS)] for i, name in enumerate(sorted({colour for colour, _ in groups}))}
    symbols = {name: SYMBOLS[i % len(SYMBOLS)] for i, name in enumerate(sorted({shape for _, shape in groups}))}
    on_front = shown.on_front
    for (colour, shape), members in sorted(groups.items()):
        if _legend(view, colour, shape) in view.hidden:
            continue
        first = shown.points[members[0]]
        hue = theme.colour(first.backbone, first.kind) if view.colour == "family" else colours[colour]
        symbol = theme.SYMBOL[first.kind] if view.shape == "kind" else symbols[shape]
        sizes, opacities = zip(*(_weight(i in on_front, shown.points[i], sure) for i in members), strict=True)
        at_edge = [shown.x[i] <= 0 and view.x_log for i in members]
        chart.add_scatter(
            x=[place(shown.x[i]) for i in members],
            y=shown.y[members].tolist(),
            mode="markers",
            name=theme.escape(_legend(view, colour, shape)),
            legendrank=10 if first.kind is Kind.SNN else 20,
            marker={
                "color": hue,
                "symbol": ["triangle-left" if edge else symbol for edge in at_edge] if any(at_edge) else symbol,
                "size": sizes,
                "opacity": opacities,
                "line": {"width": 1, "color": "rgba(255,255,255,.8)"},
            },
            customdata=_column([_run_ids(shown, i) for i in members]),
            hovertext=_column(
                [own_hover(shown.points[i], pareto, i in on_front, shown.spreads, sure, energy) for i in members]
            ),
            hoverinfo="text",
            unselected={"marker": {"opacity": 0.35}},
            **_bars(shown, members, view, factor, hue),
        )


def _column(values: Sequence[object]) -> np.ndarray:
    """As Plotly takes it whole: of a list it looks at each element, and of a list in it at each of those."""
    column = np.empty(len(values), dtype=object)
    column[:] = values
    return column


def legend_names(shown: Marks, view: View) -> list[str]:
    """The names under which the legend lists own runs, hidden ones too."""
    points = shown.points
    if {view.colour, view.shape} <= OF_LABEL:
        points = {point.label: point for point in points}.values()
    pairs = {(group_of(point, view.colour), group_of(point, view.shape)) for point in points}
    return list(dict.fromkeys(_legend(view, *pair) for pair in sorted(pairs)))


def _run_ids(shown: Marks, place: int) -> list[str]:
    """The run that a mark is, or the runs that it is the mean of."""
    spread = shown.spreads.get(shown.points[place].run_id)
    return list(spread.run_ids) if spread else [shown.points[place].run_id]


def _legend(view: View, colour: str, shape: str) -> str:
    """Of the default grouping the family says the kind too."""
    told = view.colour == view.shape or (view.colour == "family" and view.shape in ("kind", "backbone"))
    return colour if told else f"{colour} · {shape}"


def _weight(on_front: bool, point: ParetoPoint, sure: Mapping[str, float] | None) -> tuple[float, float]:
    """(size in px, opacity) of a mark."""
    if sure is None:
        return (FRONT_PX, 1.0) if on_front else (9, 0.75)
    share = sure.get(point.run_id, 0.0)
    return 7 + 9 * share, 0.3 + 0.7 * share


def _bars(shown: Marks, members: list[int], view: View, factor: float, hue: str) -> dict:
    """Error bars of one standard deviation over seeds, where a mark stands for several."""
    spreads = [shown.spreads.get(shown.points[i].run_id) for i in members]
    if not any(spread is not None and spread.n > 1 for spread in spreads):
        return {}
    x_name, y_factor = SPREAD_OF.get(view.x), 100 if view.y == "accuracy" else 1
    style = {"color": theme.tint(hue, 0.85), "thickness": 1.2, "width": 3}
    bars = {"error_y": style | {"array": [y_factor * getattr(s, view.y) if s else 0 for s in spreads]}}
    if x_name:
        bars["error_x"] = style | {"array": [getattr(s, x_name) / factor if s else 0 for s in spreads]}
    return bars


def _bar_ends(shown: Marks, view: View) -> tuple[list[float], list[float]]:
    """Where the error bars end, for the axes to reach: (values of x, values of y)."""
    x_name, y_factor = SPREAD_OF.get(view.x), 100 if view.y == "accuracy" else 1
    xs, ys = [], []
    for place, point in enumerate(shown.points):
        spread = shown.spreads.get(point.run_id)
        if spread is None or spread.n < 2:
            continue
        x, y = float(shown.x[place]), float(shown.y[place])
        wide, tall = getattr(spread, x_name) if x_name else 0.0, y_factor * getattr(spread, view.y)
        ys += [y - tall, y + tall]
        # a bar down to 0 has no end on a log axis: a decade of it is enough
        xs += [max(x - wide, x / 10) if view.x_log else x - wide, x + wide]
    return xs, ys


def _rings(chart: go.Figure, shown: Marks, ringed: Collection[str], place: Place) -> None:
    found = [i for i, point in enumerate(shown.points) if point.run_id in ringed]
    if found:
        chart.add_scatter(
            x=[place(shown.x[i]) for i in found],
            y=[shown.y[i] for i in found],
            mode="markers",
            name="chosen run" if len(found) == 1 else "chosen runs",
            marker={"symbol": "circle-open", "size": 22, "color": theme.PURPLE, "line": {"width": 3}},
            customdata=[_run_ids(shown, i) for i in found],  # a click on the ring means its run
            hoverinfo="skip",
            showlegend=False,
            unselected={"marker": {"opacity": 1}},
        )


def _published(
    chart: go.Figure, points: list[PublishedPoint], view: View, place: Place, faults: Mapping[str, str], energy: Unit
) -> None:
    for kind in Kind:
        rows = [point for point in points if point.kind == kind]
        if rows:
            chart.add_scatter(
                x=[place(x_of(point, view.x)) for point in rows],
                y=[y_of(point, view.y) for point in rows],
                mode="markers",
                name=f"{kind.value.upper()}, printed",
                legendrank=40,
                marker={
                    "symbol": f"{theme.SYMBOL[kind]}-open",
                    "size": 10,
                    "color": theme.BLUE if kind is Kind.SNN else theme.VERMILION,
                    "line": {"width": 1.6},
                },
                hovertext=[printed_hover(point, faults.get(printed_key(point)), energy) for point in rows],
                hoverinfo="text",
            )
    wrong = [point for point in points if printed_key(point) in faults]
    if wrong:
        chart.add_scatter(
            x=[place(x_of(point, view.x)) for point in wrong],
            y=[y_of(point, view.y) for point in wrong],
            mode="markers",
            name="contradicted by the audit",
            legendrank=41,
            marker={"symbol": "x-thin-open", "size": 8, "color": RED, "line": {"width": 2.2}},
            hoverinfo="skip",  # the hollow mark below speaks for it
        )


def printed_key(point: PublishedPoint) -> str:
    """The name of a printed point among `faults`."""
    return f"{point.table}/{point.model}"
