"""A legend beside the drawing: each mark's shape and colour with its name, as wrapping HTML and as lines of a picture.

Plotly lays its own legend inside the figure, where twelve names on a phone leave hardly any plot.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from html import unescape
from typing import Any, NamedTuple

import plotly.graph_objects as go
from markupsafe import Markup

from core.report.markup import render

#: Plotly's name of a mark -> (a sign that looks like it, its outline in a square of 12 px). The signs are of those that
#: every sans-serif has (WGL4), but for the last two shapes of a cycle: of a line with another sign a PDF shows all in
#: whichever font has it.
SHAPES = {
    "circle": ("●", "M1.5 6a4.5 4.5 0 1 0 9 0a4.5 4.5 0 1 0 -9 0z"),
    "square": ("■", "M2 2h8v8h-8z"),
    "diamond": ("♦", "M6 .8L11.2 6L6 11.2L.8 6z"),
    "triangle-up": ("▲", "M6 1.5L11 10.5H1z"),
    "triangle-down": ("▼", "M6 10.5L11 1.5H1z"),
    "triangle-left": ("◄", "M1.5 6L10.5 1V11z"),
    "cross": ("+", "M4 1h4v3h3v4h-3v3h-4v-3h-3v-4h3z"),
    "star": ("★", "M6 .5L7.4 4.3L11.5 4.5L8.3 7L9.4 11L6 8.7L2.6 11L3.7 7L.5 4.5L4.6 4.3z"),
    "hexagon": ("⬢", "M6 .8L10.5 3.4V8.6L6 11.2L1.5 8.6V3.4z"),
    "circle-open": ("○", "M1.5 6a4.5 4.5 0 1 0 9 0a4.5 4.5 0 1 0 -9 0z"),
    "square-open": ("□", "M2 2h8v8h-8z"),
    "x-thin-open": ("×", "M2 2L10 10M10 2L2 10"),
    "line-ns": ("│", "M6 1V11"),
    "line": ("▬", "M0 6H12"),
    "area": ("▒", "M0 1h12v10h-12z"),
    "more": ("…", ""),
}
FILLED = {"area": 0.25}  # opacity of what is not filled whole; an outline alone has none
OUTLINED = ("circle-open", "square-open", "x-thin-open", "line-ns", "line", "area")
MOST = 40  # names; there are no more colours than that to tell them apart
GAP = "\u00a0\u00a0\u00a0 "  # between two entries of a line; it may break at its end


class Entry(NamedTuple):
    """One name with its mark. `name` is escaped as Plotly has it, which is safe as HTML text too."""

    shape: str
    colour: str
    name: str


def entries(figure: go.Figure) -> list[Entry]:
    """What Plotly's own legend would list, in its order; of very many the first, and how many are left out."""
    named = [trace for trace in figure.data if trace.name and trace.showlegend is not False]
    found: dict[str, Entry] = {}
    for trace in sorted(named, key=lambda trace: 1000 if trace.legendrank is None else trace.legendrank):
        found.setdefault(trace.name, Entry(*_look(trace), trace.name))
    listed = list(found.values())
    if len(listed) > MOST:
        listed[MOST:] = [Entry("more", "#7b8494", f"and {len(listed) - MOST} more")]
    return listed


def _look(trace: Any) -> tuple[str, str]:
    """(shape, colour); of a trace with several shapes the one that most of its marks have. Bars look like an area."""
    if trace.type == "bar":
        return "area", trace.marker.line.color
    if "markers" in (trace.mode or ""):
        symbol = trace.marker.symbol
        if not isinstance(symbol, str):
            symbol = Counter(symbol).most_common(1)[0][0]
        return symbol, trace.marker.color
    return "area" if trace.fill else "line", trace.line.color


def html(found: Iterable[Entry], *, inline: bool) -> str:
    """A list that wraps by itself; a reader hears the names. Its marks need no style and no font.

    `inline`: they are SVG elements; else images, for a page that lets no SVG through.
    """
    return render("legend.html", marks=[_mark(entry) for entry in found], inline=inline)


def lines(found: Sequence[Entry], signs: int) -> list[str]:
    """The same in Plotly's markup, wrapped at `signs` signs; a longer name has a line of its own.

    Raises KeyError for a mark that is not in SHAPES, as `html` does.
    """
    made: list[str] = []
    length = 0
    for entry in found:
        sign, _ = SHAPES[entry.shape]
        text, width = f'<span style="color:{entry.colour}">{sign}</span> {entry.name}', len(unescape(entry.name)) + 2
        if made and length + len(GAP) + width <= signs:
            made[-1], length = made[-1] + GAP + text, length + len(GAP) + width
        else:
            made.append(text)
            length = width
    return made


def _mark(entry: Entry) -> dict[str, object]:
    _, outline = SHAPES[entry.shape]
    return {
        "name": Markup(entry.name),  # noqa: S704  escaped already
        "outline": outline,
        "fill": entry.colour if entry.shape not in OUTLINED or entry.shape in FILLED else "none",
        "opacity": FILLED.get(entry.shape, 1),
        "stroke": entry.colour if entry.shape in OUTLINED else "",
    }
