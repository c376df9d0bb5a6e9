"""Reliability diagram: how often the network is right where it says how sure it is."""

from __future__ import annotations

import plotly.graph_objects as go
from plotly.subplots import make_subplots

from core.report.charts import theme
from core.schemas.diagnostics import Calibration

TITLE = "Calibration"


def figure(calibration: Calibration, *, source: str = "") -> go.Figure:
    """Accuracy of each bin of the confidence against the diagonal, and how many images fall into the bin."""
    filled = [one for one in calibration.bins if one.n and one.accuracy is not None and one.confidence is not None]
    chart = make_subplots(rows=2, cols=1, shared_xaxes=True, vertical_spacing=0.09, row_heights=[0.7, 0.3])
    width = [0.94 * (one.high - one.low) for one in filled]
    middle = [(one.low + one.high) / 2 for one in filled]
    hover = [
        f"<b>confidence {one.low:.2f} to {one.high:.2f}</b><br>{theme.percent(one.accuracy)} right<br>"
        f"mean confidence {theme.percent(one.confidence)}<br>{theme.count_of(one.n, 'image')}"
        for one in filled
    ]
    chart.add_scatter(
        x=[0, 1], y=[0, 1], mode="lines", name="perfectly calibrated", hoverinfo="skip",
        line={"color": theme.NEUTRAL, "dash": "dash", "width": 1.5}, row=1, col=1,
    )  # fmt: skip
    chart.add_bar(
        x=middle, y=[one.accuracy for one in filled], width=width, name="share right", hovertext=hover,
        hoverinfo="text", marker={"color": theme.tint(theme.BLUE, 0.5), "line": {"color": theme.BLUE, "width": 1}},
        row=1, col=1,
    )  # fmt: skip
    chart.add_scatter(
        x=[one.confidence for one in filled], y=[one.accuracy for one in filled], mode="markers",
        name="at the bin's mean confidence", marker={"size": 6, "color": theme.ORANGE}, hoverinfo="skip", row=1, col=1,
    )  # fmt: skip
    chart.add_bar(
        x=middle, y=[one.n for one in filled], width=width, showlegend=False, hovertext=hover, hoverinfo="text",
        marker={"color": theme.tint(theme.NEUTRAL, 0.6)}, name="images", row=2, col=1,
    )  # fmt: skip
    chart.update_xaxes(range=[0, 1], nticks=6)
    chart.update_xaxes(title_text="confidence in the answer", row=2, col=1)
    chart.update_yaxes(title_text="share right", range=[0, 1.02], nticks=6, row=1, col=1)
    chart.update_yaxes(title_text="images", rangemode="tozero", nticks=3, row=2, col=1)
    caption = [
        f"ECE {calibration.ece:.3f}",
        f"Brier {calibration.brier:.3f}",
        f"NLL {calibration.nll:.3f} nats",
        f"n = {calibration.n:,} test images in {len(calibration.bins)} bins",
        "temperature 1",
        source,
    ]
    return theme.frame(chart, name="calibration", title=TITLE, caption=caption, height=370)


def rows(calibration: Calibration) -> list[dict[str, object]]:
    """The figure's data, a row a bin."""
    return [one.model_dump() for one in calibration.bins]
