"""Printed figures against what follows from them and what was measured: every row at its ratio to the print."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from types import MappingProxyType

import plotly.graph_objects as go

from core.report.charts import theme
from core.report.charts.audit_entries import Entry, Measure, measure
from core.schemas.audit import AuditFinding

TITLE = "{what}: ours over the printed"
#: What can be drawn -> the findings' fields that are it.
QUANTITIES: dict[str, tuple[str, ...]] = {
    "Energy": ("energy", "cnn_energy"),
    "Parameters": ("params",),
    "MACs": ("macs",),
    "ACs": ("acs",),
    "Accuracy": ("accuracy", "cnn_accuracy"),
}
MODES = {
    "paper": ("measured, mode paper", theme.BLUE, "diamond-open"),
    "exact": ("measured, mode exact", theme.ORANGE, "square-open"),
}
ROW_PX = 24


def figure(
    entries: Sequence[Entry], quantity: str, *, source: str, titles: Mapping[str, str] = MappingProxyType({})
) -> go.Figure:
    """A row a printed figure; 1 is the printed value. Recomputed: green circle or red cross; measured: hollow.

    `entries` are of one table; `titles` are those of data sets, by name.
    """
    title = TITLE.format(what=quantity)
    shown = [
        (entry, finding)
        for entry in entries
        if not entry.several
        for finding in entry.findings
        if finding.field in QUANTITIES[quantity]
        and finding.printed
        and (finding.recomputed is not None or measure(entry, finding.field, "paper"))
    ]
    if not shown:
        sentence = (
            f"Nothing to hold the printed {quantity.lower()} of these rows against: not recomputed, not measured."
        )
        return theme.empty(name="audit", title=title, sentence=sentence)
    labels = [_label(entry, titles) for entry, _ in shown]
    chart = go.Figure()
    chart.add_vline(x=1, line={"color": theme.NEUTRAL, "width": 1, "dash": "dot"})
    values = _recomputed(chart, shown, labels)
    seeds: set[int] = set()
    same = quantity in ("Parameters", "Accuracy")  # no accounting mode changes them
    for mode, (name, colour, symbol) in MODES.items():
        if same and mode == "exact":
            continue
        found = [
            (label, finding, one)
            for label, (entry, finding) in zip(labels, shown, strict=True)
            if (one := measure(entry, finding.field, mode))
        ]
        if not found:
            continue
        ratios = [one.value / finding.printed for _, finding, one in found]
        values += [ratio for ratio in ratios if ratio > 0]
        seeds |= {one.n for *_, one in found}
        chart.add_scatter(
            x=[ratio if ratio > 0 else None for ratio in ratios], y=[label for label, *_ in found], mode="markers",
            name="measured" if same else name, marker={"color": colour, "symbol": symbol, "size": 11, "line": {"width": 2}},
            error_x={"type": "data", "array": [(one.deviation or 0) / f.printed for _, f, one in found], "color": colour, "width": 4},
            hovertext=[_measured_words(label, f, one) for label, f, one in found], hoverinfo="text",
        )  # fmt: skip
    low, high = min([*values, 1.0]), max([*values, 1.0])
    chart.update_yaxes(
        type="category", categoryorder="array", categoryarray=labels, showgrid=True, tickfont={"size": 10}, tickmode="linear", dtick=1,
        range=[len(set(labels)) - 0.5, -1],  # from above; half a row more there, for a figure over the first mark
    )  # fmt: skip
    chart.update_xaxes(
        title_text="times the printed value (log)",
        type="log",
        range=[math.log10(low) - 0.08, math.log10(high) + 0.08],
        **theme.log_ticks(low, max(high, 1.01 * low)),
    )
    n = (
        f"n = {min(seeds)} to {max(seeds)} seeds"
        if len(seeds) > 1
        else f"n = {theme.count_of(*seeds, 'seed')}"
        if seeds
        else ""
    )
    caption = [
        theme.count_of(len(shown), "printed figure"),
        f"measured: mean over {n}, bars one deviation" if n else "none measured here yet",
        "at the paper's prices" if quantity == "Energy" else "",
        source,
    ]
    return theme.frame(
        chart,
        name="audit",
        title=title,
        caption=caption,
        height=100 + ROW_PX * len(shown),
        revision=quantity + ",".join(labels),
    )


def _recomputed(chart: go.Figure, shown: Sequence[tuple[Entry, AuditFinding]], labels: Sequence[str]) -> list[float]:
    drawn: list[float] = []
    for verdict, colour, symbol in (("confirmed", theme.GREEN, "circle"), ("contradicted", theme.VERMILION, "x")):
        found = [
            (label, finding)
            for label, (_, finding) in zip(labels, shown, strict=True)
            if finding.verdict == verdict and finding.recomputed
        ]
        if not found:
            continue
        ratios = [finding.recomputed / finding.printed for _, finding in found]
        drawn += ratios
        chart.add_scatter(
            x=ratios,
            y=[label for label, _ in found],
            name=f"recomputed, {verdict}",
            mode="markers+text" if verdict == "contradicted" else "markers",  # how far off: what one came to see
            text=[f"{ratio:.3g}" for ratio in ratios],
            textposition="top center",
            textfont={"size": 11},
            marker={"color": colour, "symbol": symbol, "size": 11},
            hovertext=[
                f"<b>{label}</b><br>printed {f.printed:,.6g} {f.unit}<br>recomputed {f.recomputed:,.6g} {f.unit}: {verdict}"
                for label, f in found
            ],
            hoverinfo="text",
        )
    return drawn


def _measured_words(label: str, finding: AuditFinding, one: Measure) -> str:
    spread = f" ± {one.deviation:.3g}" if one.deviation is not None else ""
    return (
        f"<b>{label}</b><br>printed {finding.printed:,.6g} {finding.unit}<br>"
        f"measured {one.value:,.4g}{spread} {finding.unit} (n = {theme.count_of(one.n, 'seed')})"
    )


def _label(entry: Entry, titles: Mapping[str, str]) -> str:
    where = titles.get(entry.datasets[0], entry.datasets[0]) if entry.datasets else entry.row
    return theme.escape(f"{entry.model}, {where}")
