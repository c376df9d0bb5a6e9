"""Loss and accuracy epoch by epoch, on the training and the validation split."""

from __future__ import annotations

import math
from collections.abc import Sequence

import plotly.graph_objects as go
from plotly.subplots import make_subplots

from core.report.charts import theme
from core.schemas.results import Metrics

TITLE = "Training curves"


def best_place(metrics: Metrics) -> int | None:
    """Position of the first highest validation accuracy; None before the first validation."""
    found = [-1.0 if value is None or not math.isfinite(value) else value for value in metrics.validation_accuracy]
    return found.index(max(found)) if any(value is not None for value in metrics.validation_accuracy) else None


def scaled(values: Sequence[float | None], factor: float) -> list[float | None]:
    """For a line that bridges what was not validated: None for what there is not."""
    return [None if value is None or not math.isfinite(value) else factor * value for value in values]


def figure(metrics: Metrics, *, source: str = "") -> go.Figure:
    """Two panels over the epochs: cross-entropy above, top-1 accuracy in percent below."""
    best = best_place(metrics)
    if best is None:
        sentence = "No epoch was validated yet" if metrics.epoch else "The first epoch has not ended yet"
        return theme.empty(name="curves", title=TITLE, sentence=f"{sentence}: no curve to draw.")
    chart = make_subplots(rows=2, cols=1, shared_xaxes=True, vertical_spacing=0.09)
    few = len(metrics.epoch) <= 40
    for row, train, validation, scale, form in (
        (1, metrics.train_loss, metrics.validation_loss, 1.0, "loss %{y:.4g}"),
        (2, metrics.train_accuracy, metrics.validation_accuracy, 100.0, "%{y:.2f} %"),
    ):
        for name, values, colour, dash in (
            ("training", train, theme.TRAIN_COLOUR, "dot"),
            ("validation", validation, theme.VALIDATION_COLOUR, "solid"),
        ):
            chart.add_scatter(
                x=metrics.epoch, y=scaled(values, scale), connectgaps=name == "validation",
                mode="lines+markers" if few else "lines", name=name, legendgroup=name, showlegend=row == 1,
                line={"color": colour, "dash": dash, "width": 2}, marker={"size": 5, "color": colour},
                hovertemplate=f"epoch %{{x}}, {name}: {form}<extra></extra>", row=row, col=1,
            )  # fmt: skip
    epoch, accuracy = metrics.epoch[best], metrics.validation_accuracy[best]
    chart.add_scatter(
        x=[epoch], y=[100 * accuracy], mode="markers", name=f"best: epoch {epoch}", row=2, col=1,
        marker={"symbol": "star", "size": 13, "color": theme.ORANGE, "line": {"color": theme.VERMILION, "width": 1}},
        hovertemplate=f"best epoch {epoch}: {theme.percent(accuracy, 2)}<extra></extra>",
    )  # fmt: skip
    chart.add_vline(x=epoch, line={"color": theme.ORANGE, "dash": "dash", "width": 1})
    first, last = min(metrics.epoch), max(metrics.epoch)
    pad = max(0.5, 0.02 * (last - first))
    chart.update_xaxes(range=[first - pad, last + pad], nticks=8)
    if last - first < 8:
        chart.update_xaxes(tickmode="linear", dtick=1, tick0=first)
    chart.update_xaxes(title_text="epoch", row=2, col=1)
    chart.update_yaxes(title_text="loss", rangemode="tozero", nticks=5, row=1, col=1)
    shown = [v for v in scaled((*metrics.train_accuracy, *metrics.validation_accuracy), 100) if v is not None]
    middle, half = (max(shown) + min(shown)) / 2, max(0.56 * (max(shown) - min(shown)), 5)  # noise is no drama
    chart.update_yaxes(
        title_text="accuracy, %", nticks=5, range=[max(middle - half, -2), min(middle + half, 102)], row=2, col=1
    )
    caption = [
        f"{theme.count_of(len(metrics.epoch), 'epoch')}",
        f"best validation accuracy {theme.percent(accuracy)} at epoch {epoch}",
        "cross-entropy",
        source,
    ]
    return theme.frame(chart, name="curves", title=TITLE, caption=caption, height=400)


def rows(metrics: Metrics) -> list[dict[str, object]]:
    """The curves' data, a row an epoch."""
    columns = metrics.model_dump()
    return [{name: column[place] for name, column in columns.items()} for place in range(len(metrics.epoch))]
