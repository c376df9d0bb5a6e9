"""Two to ten runs in one picture: how accuracies differ, and how each was trained."""

from __future__ import annotations

import math
import textwrap
from collections.abc import Sequence

import plotly.graph_objects as go
from plotly.subplots import make_subplots

from core.datasets.catalog import title_of
from core.report.charts import theme
from core.report.charts.comparison_names import letter, name, names
from core.report.charts.curves import scaled
from core.report.charts.layer_order import height, layer_axis, unit
from core.report.twin_words import OTHER_DATA
from core.schemas.compare import Comparison

CURVES, GRADIENTS, DIFFERENCES = "Training, run by run", "Gradient flow, run by run", "Difference in accuracy"
NAME_SIGNS = 20  # of a line of a run's name: on a phone a long one would leave no room for the plot
LISTED_SIGNS = 40  # of a line of a name in a legend: a phone cuts off longer ones
ROW_PX = 34

#: (colour, dash, symbol) of the runs in order. A run is known by its letter too, never by the colour alone.
LOOKS: tuple[tuple[str, str, str], ...] = (
    (theme.BLUE, "solid", "circle"),
    (theme.VERMILION, "solid", "square"),
    (theme.GREEN, "solid", "diamond"),
    (theme.PURPLE, "solid", "triangle-up"),
    (theme.ORANGE, "solid", "cross"),
    (theme.SKY, "dash", "circle"),
    (theme.NEUTRAL, "dash", "square"),
    ("#7A5CC2", "dash", "diamond"),
    ("#999933", "dash", "triangle-up"),
    ("#C0504D", "dash", "cross"),
)


def curves(comparison: Comparison) -> go.Figure:
    """Validation loss above, validation accuracy in percent below, over the epochs; a line a run."""
    chart = make_subplots(rows=2, cols=1, shared_xaxes=True, vertical_spacing=0.09)
    labels = _listed(comparison)
    longest = max(len(run.metrics.epoch) for run in comparison.runs)
    for place, run in enumerate(comparison.runs):
        colour, dash, symbol = LOOKS[place]
        for row, values, factor, form in (
            (1, run.metrics.validation_loss, 1.0, "loss %{y:.4g}"),
            (2, run.metrics.validation_accuracy, 100.0, "%{y:.2f} %"),
        ):
            chart.add_scatter(
                x=run.metrics.epoch, y=scaled(values, factor), connectgaps=True,
                mode="lines+markers" if longest <= 40 else "lines", name=labels[run.id],
                legendgroup=run.id, showlegend=row == 1, line={"color": colour, "dash": dash, "width": 2},
                marker={"color": colour, "symbol": symbol, "size": 7}, row=row, col=1,
                hovertemplate=f"{letter(place)}, epoch %{{x}}: {form}<extra></extra>",
            )  # fmt: skip
    chart.update_xaxes(nticks=8, range=[0.5, longest + 0.5])
    if longest <= 8:
        chart.update_xaxes(tickmode="linear", dtick=1, tick0=1)
    chart.update_xaxes(title_text="epoch", row=2, col=1)
    chart.update_yaxes(title_text="validation loss", nticks=5, rangemode="tozero", row=1, col=1)
    chart.update_yaxes(title_text="validation accuracy, %", nticks=5, row=2, col=1)
    caption = [
        "cross-entropy and top-1 accuracy on the validation split",
        theme.count_of(longest, "epoch"),
        *_of(comparison),
    ]
    return theme.frame(
        chart,
        name="compare_curves",
        title=CURVES,
        caption=caption,
        height=380 + _legend_px(comparison),
        revision=_revision(comparison),
    )


def gradients(comparison: Comparison, *, last: bool = True) -> go.Figure:
    """L2 norm of the gradient of each layer's weights in the last epoch, or the first; a line a run, log scale."""
    drawn = [
        (place, run, run.gradients.norm[-1 if last else 0], run.gradients.epochs[-1 if last else 0])
        for place, run in enumerate(comparison.runs)
        if run.gradients.norm
    ]
    positive = [value for *_, norm, _ in drawn for value in norm if math.isfinite(value) and value > 0]
    if not positive:
        return theme.empty(
            name="compare_gradients", title=GRADIENTS, sentence="None of these runs recorded a gradient."
        )
    layers = merged([[unit(layer) for layer in run.gradients.layers] for _, run, *_ in drawn])
    low, high = min(positive), max(positive)
    edge, zeros, labels = low / 4, 0, _listed(comparison)
    chart = go.Figure()
    for place, run, norm, epoch in drawn:
        colour, dash, symbol = LOOKS[place]
        zeros += sum(value == 0 for value in norm)
        chart.add_scatter(
            x=[edge if value == 0 else value if math.isfinite(value) else None for value in norm],
            y=[theme.escape(unit(layer)) for layer in run.gradients.layers],
            mode="lines+markers",
            name=labels[run.id],
            line={"color": theme.tint(colour, 0.55), "dash": dash, "width": 1.5},
            marker={"color": colour, "size": 8, "symbol": ["x" if value == 0 else symbol for value in norm]},
            hovertext=[
                f"<b>{theme.escape(unit(layer))}</b><br>{letter(place)}, epoch {epoch}: "
                + ("exactly zero, no gradient arrives" if value == 0 else f"{value:.3g}")
                for layer, value in zip(run.gradients.layers, norm, strict=True)
            ],
            hoverinfo="text",
        )
    layer_axis(chart, layers)
    chart.update_xaxes(
        title_text="gradient norm (log)",
        type="log",
        range=[math.log10(edge) - 0.1, math.log10(high) + 0.25],
        **theme.log_ticks(edge, high),
    )
    epochs = sorted({epoch for *_, epoch in drawn})
    shown = (
        f"epoch {epochs[0]}" if len(epochs) == 1 else "last epoch of each run" if last else "first epoch of each run"
    )
    caption = [
        "L2 norm of the loss gradient of each layer's weights, mean over the epoch's steps",
        shown,
        f"{theme.count_of(zeros, 'value')} exactly zero, drawn as crosses at the left edge" if zeros else "",
        *_of(comparison),
    ]
    return theme.frame(
        chart,
        name="compare_gradients",
        title=GRADIENTS,
        caption=caption,
        height=height(len(layers)) + _legend_px(comparison),
        revision=f"{_revision(comparison)}{last}",
    )


def differences(comparison: Comparison) -> go.Figure:
    """Each run's test accuracy minus the first run's, in points; the bar is the paired 95 % interval."""
    drawn = [item for item in comparison.differences if comparison.on_one_data_set(item)]
    if not drawn:
        return theme.empty(name="compare_differences", title=DIFFERENCES, sentence=OTHER_DATA)
    labels = [theme.escape(name(comparison, item.run_id)) for item in drawn]
    places = {run.id: place for place, run in enumerate(comparison.runs)}
    chart = go.Figure()
    chart.add_vline(x=0, line={"color": theme.NEUTRAL, "width": 1, "dash": "dot"})
    for label, item in zip(labels, drawn, strict=True):
        colour, _, symbol = LOOKS[places[item.run_id]]
        points, pair = 100 * item.accuracy, item.paired
        bars = (
            {"type": "data", "symmetric": False, "array": [100 * pair.high - points],
             "arrayminus": [points - 100 * pair.low], "color": colour, "thickness": 2, "width": 6}
            if pair else None
        )  # fmt: skip
        said = (
            f"95 % interval {100 * pair.low:+.2f} to {100 * pair.high:+.2f}<br>{pair.gained} images gained, {pair.lost} lost of {pair.n:,}"
            if pair
            else "other test images: no interval"
        )
        chart.add_scatter(
            x=[points], y=[label], mode="markers", error_x=bars, showlegend=False,
            marker={"color": colour, "size": 12, "symbol": symbol if pair else f"{symbol}-open", "line": {"color": colour, "width": 2}},
            hovertext=[f"<b>{label}</b><br>{points:+.2f} points<br>{said}"], hoverinfo="text",
        )  # fmt: skip
    told = ["<br>".join(textwrap.wrap(label, NAME_SIGNS, break_long_words=False)) for label in labels]
    row_px = max(ROW_PX, 8 + 14 * max(1 + words.count("<br>") for words in told))
    chart.update_yaxes(
        type="category", categoryorder="array", categoryarray=labels, autorange="reversed", showgrid=False,
        tickvals=labels, ticktext=told,
    )  # fmt: skip
    chart.update_xaxes(title_text=f"points against {letter(0)}", nticks=6, tickangle=0)
    pairs = [item.paired for item in drawn if item.paired]
    caption = [
        f"test accuracy minus that of {name(comparison, comparison.runs[0].id)}",
        f"bars: 95 % interval over the same test images, n = {pairs[0].n:,}" if pairs else "",
        "hollow: other test images, so no interval" if len(pairs) < len(drawn) else "",
        "runs on other data sets are left out" if len(drawn) < len(comparison.differences) else "",
        "one seed a run: what another seed would change is not in it",
    ]
    return theme.frame(
        chart, name="compare_differences", title=DIFFERENCES, caption=caption,
        height=110 + row_px * len(labels), legend=False, revision=_revision(comparison),
    )  # fmt: skip


def merged(lists: Sequence[Sequence[str]]) -> list[str]:
    """One order that keeps each list's own, as far as the lists agree: a new name follows the one before it."""
    order: list[str] = []
    for names_ in sorted(lists, key=len, reverse=True):
        after = 0
        for item in names_:
            if item in order:
                after = order.index(item) + 1
            else:
                order.insert(after, item)
                after += 1
    return order


def _of(comparison: Comparison) -> list[str]:
    runs = comparison.runs
    return [
        f"n = {len(runs)} runs, one seed each",
        "data set: " + ", ".join(dict.fromkeys(title_of(run.config.dataset) for run in runs)),
    ]


def _listed(comparison: Comparison) -> dict[str, str]:
    """Run id -> its name for a legend, in lines that a phone has room for."""
    return {
        run_id: "<br>".join(theme.escape(line) for line in textwrap.wrap(label, LISTED_SIGNS))
        for run_id, label in names(comparison).items()
    }


def _legend_px(comparison: Comparison) -> int:
    return sum(4 + 14 * (1 + label.count("<br>")) for label in _listed(comparison).values())


def _revision(comparison: Comparison) -> str:
    return ",".join(run.id for run in comparison.runs)
