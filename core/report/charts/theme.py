"""What all charts share: colours, shapes, type, margins, captions, and the empty figure.

A figure carries only colours that read on light and on dark ground; what depends on the ground (text,
grid, the zero end of a colour scale) stands in its template, so `dress(figure, "dark")` is all that a
page does to follow its reader's colour scheme.
"""

from __future__ import annotations

import html
import json
import math
import textwrap
from collections.abc import Iterable
from functools import lru_cache
from typing import Any, Literal, NamedTuple

import plotly.graph_objects as go

from core.datasets.catalog import title_of
from core.report.charts import legend as legends
from core.schemas.results import Summary
from core.schemas.run import Kind

Ground = Literal["light", "dark", "neutral"]

FONT = 'system-ui, -apple-system, "Segoe UI", Roboto, "Helvetica Neue", Arial, sans-serif'

# Okabe and Ito, "Color Universal Design" (2008): told apart under every common colour blindness.
BLUE, VERMILION, GREEN, ORANGE = "#0072B2", "#D55E00", "#009E73", "#E69F00"
SKY, PURPLE = "#56B4E9", "#CC79A7"
NEUTRAL = "#7b8494"  # contrast above 3.7 on white and on the dark ground: lines and marks, no small print

# Cool for spiking networks, warm for CNNs; the backbone picks the hue. Of the last four pairs some are Paul Tol's "muted".
_HUES: dict[Kind, tuple[str, ...]] = {
    Kind.SNN: (BLUE, GREEN, SKY, "#7A5CC2", "#44AA99", "#4F8A3C", "#6F7FB5"),
    Kind.CNN: (VERMILION, ORANGE, PURPLE, "#C0504D", "#999933", "#AA4499", "#A0725A"),
}
_BACKBONES = ("squeezenet", "shufflenetv2", "mnasnet", "mixnet", "xception", "msresnet", "litesnn")
SYMBOL: dict[Kind, str] = {Kind.SNN: "circle", Kind.CNN: "square"}

AC_COLOUR, MAC_COLOUR, MEMORY_COLOUR = BLUE, VERMILION, NEUTRAL
TRAIN_COLOUR, VALIDATION_COLOUR = NEUTRAL, BLUE

NARROW_SIGNS = 54  # of 11 px fit a screen 360 px wide
PICTURE_PX, WIDE_SIGNS = 960, 150  # a saved picture is as wide on every screen, and so many signs fit a line of it
LINE_PX = 15  # of the caption
#: Of a network whose energy does not rise from step to step.
LAYER_BY_LAYER = (
    "layer by layer: each layer runs all its steps before the next, so the first answer costs what the last does"
)
BUTTONS_PX = 26  # height of the bar of buttons

#: Options of every Plotly chart: follows its box, one small bar of buttons, vector export.
CONFIG = {
    "responsive": True,
    "displaylogo": False,
    "modeBarButtons": [["toImage", "resetScale2d"]],  # a drag zooms; more buttons would cover a phone's title
    "toImageButtonOptions": {"format": "svg", "width": PICTURE_PX},
}

_GROUNDS: dict[str, dict[str, str]] = {
    "light": {"ink": "#1f2430", "soft": "#555e6e", "grid": "#e6e8ec", "axis": "#c2c7d0", "paper": "#ffffff"},
    "dark": {"ink": "#e8eaf0", "soft": "#a4adbd", "grid": "#2b303b", "axis": "#4a5160", "paper": "#14171e"},
    "neutral": {"ink": NEUTRAL, "soft": NEUTRAL, "grid": "rgba(123,132,148,.22)", "axis": "rgba(123,132,148,.5)",
                "paper": "rgba(123,132,148,.12)"},
}  # fmt: skip


def colour(backbone: str, kind: Kind) -> str:
    """The colour of a family of networks; the same in every chart, whatever else is shown."""
    hues = _HUES[kind]
    place = _BACKBONES.index(backbone) if backbone in _BACKBONES else sum(backbone.encode())
    return hues[place % len(hues)]


def tint(colour: str, alpha: float) -> str:
    """`#rrggbb` with an opacity, for surfaces that lie under marks."""
    red, green, blue = (int(colour[i : i + 2], 16) for i in (1, 3, 5))
    return f"rgba({red},{green},{blue},{alpha:g})"


@lru_cache(maxsize=3)
def template(ground: Ground = "neutral") -> go.layout.Template:
    """The look on a light or dark ground; `neutral` reads on both, where nobody says which it is."""
    tone = _GROUNDS[ground]
    axis = {
        "gridcolor": tone["grid"],
        "linecolor": tone["axis"],
        "zerolinecolor": tone["axis"],
        "tickcolor": tone["axis"],
        "tickfont": {"color": tone["soft"], "size": 11},
        "title": {"font": {"color": tone["soft"], "size": 12}, "standoff": 8},
        "automargin": True,
        "zeroline": False,
        "ticks": "outside",
        "ticklen": 4,
    }
    return go.layout.Template(
        layout={
            "font": {"family": FONT, "color": tone["ink"], "size": 12},
            "paper_bgcolor": "rgba(0,0,0,0)",
            "plot_bgcolor": "rgba(0,0,0,0)",
            "colorway": [BLUE, VERMILION, GREEN, ORANGE, PURPLE, SKY],
            "colorscale": {"sequential": scale(BLUE, ground)},
            "xaxis": axis,
            "yaxis": axis,
            "title": {
                "font": {"color": tone["ink"], "size": 15, "weight": 600},
                "subtitle": {"font": {"color": tone["soft"], "size": 11}},
            },
            "legend": {"font": {"color": tone["soft"], "size": 11}, "bgcolor": "rgba(0,0,0,0)"},
            "hoverlabel": {
                "bgcolor": "#1f2430",
                "bordercolor": "#4a5160",
                "font": {"color": "#f2f4f8", "family": FONT, "size": 12},
                "align": "left",
                "namelength": -1,
            },
            "modebar": {"bgcolor": "rgba(0,0,0,0)", "color": tone["axis"], "activecolor": tone["soft"]},
            "annotationdefaults": {"font": {"color": tone["soft"], "size": 11}},
        }
    )


def scale(hue: str, ground: Ground = "neutral") -> list[list[float | str]]:
    """A sequential colour scale that starts at the ground: nothing looks like nothing."""
    start = {"light": "#ffffff", "dark": "#14171e", "neutral": tint(hue, 0.0)}[ground]
    return [[0.0, start], [1.0, hue]]


def dress(figure: go.Figure, ground: Ground) -> go.Figure:
    """The same figure for another ground; changes and returns it."""
    return figure.update_layout(template=template(ground))


def escape(text: object) -> str:
    """User content for Plotly's text: its small HTML subset shows `<` as a sign, not as a tag."""
    return html.escape(str(text), quote=False)


def log_ticks(low: float, high: float) -> dict[str, list]:
    """`tickvals` and `ticktext` of a log axis: 1, 2, 5 of each decade, or whole powers over many decades."""
    first, last = math.floor(math.log10(low)) - 1, math.ceil(math.log10(high)) + 1
    if math.log10(high / low) <= 2.5:
        values = [digit * 10.0**power for power in range(first, last + 1) for digit in (1, 2, 5)]
        if sum(low <= value <= high for value in values) < 2:  # a narrow axis would have hardly a number on it
            values = _even_ticks(low, high)
        return {"tickvals": values, "ticktext": [f"{value:,.10g}" for value in values]}
    every = max(1, round(math.log10(high / low) / 5))
    powers = range(first, last + 1, every)
    return {"tickvals": [10.0**power for power in powers], "ticktext": [_power(power) for power in powers]}


def _even_ticks(low: float, high: float) -> list[float]:
    """Round values an equal step apart, from just below `low` to just above `high`; `low` alone where both are equal."""
    if high <= low:
        return [float(f"{low:.3g}")]
    raw = (high - low) / 4
    power = 10.0 ** math.floor(math.log10(raw))
    step = next(digit * power for digit in (1, 2, 5, 10) if digit * power >= raw)
    return [step * count for count in range(math.floor(low / step), math.ceil(high / step) + 1) if count > 0]


def _power(power: int) -> str:
    return f"{10.0**power:,.10g}" if -2 <= power <= 5 else f"10<sup>{power}</sup>"


def is_level(values: Iterable[float]) -> bool:
    """Whether at least two values are one but for rounding: such as the energy after each step, layer by layer."""
    known = list(values)
    return len(known) > 1 and max(known) - min(known) <= 1e-9 * max(map(abs, known))


def percent(share: float, digits: int = 1) -> str:
    """A share in [0, 1] as `81.2 %`."""
    return f"{100 * share:.{digits}f} %" if math.isfinite(share) else "not a number"


def count_of(number: int, noun: str) -> str:
    """`1 epoch`, `12 epochs`, `10,000 images`."""
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def source(label: str, summary: Summary) -> str:
    """Where a run's figures come from, for a caption: network, data and how much of it, seed."""
    data = "complete" if summary.dataset_complete else "subset of the published data"
    trained = (
        f"trained on {summary.n_train:,} images"
        if summary.n_train >= summary.n_train_available
        else f"trained on {summary.n_train:,} of {summary.n_train_available:,} images"
    )
    return f"{label} · {title_of(summary.dataset)} ({data}) · {trained} · seed {summary.seed}"


def frame(
    figure: go.Figure, *, name: str, title: str, caption: Iterable[str], height: int, revision: str = "",
    legend: bool = True, listed: bool = False, above: int = 0,
) -> go.Figure:  # fmt: skip
    """Title, caption, margins and type of one chart; the caption's empty parts are dropped.

    `name` and `revision` form the uirevision: zoom survives new data of the same view and nothing else.
    Title and caption also stand, unescaped, in `layout.meta`, for pages that print them as text.
    `height` is the plot's with its axes and legend, `above` what marks over the plot need, both in px.
    `listed`: the legend stands in lines under the caption, and in `layout.meta` for pages that print it, so that the
    plot is as high with twenty names as with two; else it is Plotly's, below the plot.
    """
    words = "\u00a0· ".join(part for part in caption if part)  # a line may end with the dot, not begin with it
    names = legends.entries(figure) if listed else []
    subtitle, top = _heading(words, names, NARROW_SIGNS)
    layout = {
        "template": template("neutral"),
        "title": {
            "text": escape(title), "x": 0, "xref": "container", "xanchor": "left", "yref": "container", "y": 1,
            "yanchor": "top", "pad": {"t": 10, "l": 8}, "subtitle": {"text": subtitle},
        },
        "meta": {"title": title, "caption": words, "legend": names, "heading_px": top},
        "margin": {"l": 8, "r": 12, "t": top + above + 8, "b": 8, "pad": 2},
        "height": height + top + above,
        "uirevision": f"{name}|{revision}",
        "showlegend": legend and not listed,
        "legend": {
            "orientation": "h", "yref": "container", "y": 0, "yanchor": "bottom", "xref": "paper", "x": 0,
            "xanchor": "left",
        },
        "hovermode": "closest",
        "dragmode": "zoom",
    }  # fmt: skip
    # in one piece: `update_layout` checks one property after another, which takes four times as long
    figure.layout = _merged(figure.layout.to_plotly_json(), layout)
    return figure


def _merged(old: dict[str, Any], new: dict[str, Any]) -> dict[str, Any]:
    """`old` with what is in `new`, dictionary by dictionary."""
    both = {key: _merged(old[key], value) for key, value in new.items() if isinstance(value, dict) and key in old}
    return old | new | both


def _heading(words: str, names: list[legends.Entry], signs: int) -> tuple[str, int]:
    """(caption and legend as the figure's subtitle, height in px of title and subtitle)."""
    lines = [escape(line) for line in textwrap.wrap(words, signs, break_on_hyphens=False)]
    lines += legends.lines(names, signs)
    return "<br>".join(lines), 34 + LINE_PX * len(lines)


class Words(NamedTuple):
    """What a page prints around a chart. `legend` is HTML, empty where Plotly draws it or there is none."""

    title: str
    caption: str
    legend: str
    #: How far the drawing reaches over what is printed above it: by its own heading, but for a strip for the buttons.
    lift_px: int


def worded(figure: go.Figure) -> Words:
    """For a page that prints title, caption and legend as text that follows its width; changes the figure.

    The heading stays in the drawing, now as that of a picture PICTURE_PX wide, so that a saved picture has it. The
    page hides it with CSS and draws `lift_px` higher.
    """
    layout = figure.layout
    words, subtitle, more = _for_page(layout.meta, inline=False)
    layout.title.subtitle.text = subtitle
    layout.margin.t += more
    layout.height += more
    layout.meta = layout.meta | {"heading_px": layout.meta["heading_px"] + more}
    return words


def untitled(figure: go.Figure) -> tuple[dict[str, Any], Words]:
    """(content, words): the same for a page that adds the template by itself.

    `content` is JSON-ready, {"data", "layout", "lift_px"}; made as plain data, since a figure's own checks cost 20 ms
    a change.
    """
    content = json.loads(figure.to_json())
    layout = content["layout"]
    words, layout["title"]["subtitle"]["text"], more = _for_page(layout.pop("meta"), inline=True)
    layout["margin"]["t"] += more
    layout["height"] += more
    layout.pop("template", None)
    return content | {"lift_px": words.lift_px}, words


def _for_page(meta: dict[str, Any], *, inline: bool) -> tuple[Words, str, int]:
    """(words, wide subtitle, px that the heading grows by)."""
    names = [legends.Entry(*entry) for entry in meta["legend"]]
    subtitle, top = _heading(meta["caption"], names, WIDE_SIGNS)
    legend = legends.html(names, inline=inline)
    words = Words(title=meta["title"], caption=meta["caption"], legend=legend, lift_px=top - BUTTONS_PX)
    return words, subtitle, top - meta["heading_px"]


def empty(*, name: str, title: str, sentence: str) -> go.Figure:
    """A figure for the case that there is nothing to draw yet: one sentence, no axes."""
    figure = go.Figure()
    lines = "<br>".join(textwrap.wrap(escape(sentence), 46))
    figure.add_annotation(text=lines, x=0.5, y=0.5, xref="paper", yref="paper", showarrow=False, font={"size": 13})
    figure.update_xaxes(visible=False).update_yaxes(visible=False)
    return frame(figure, name=name, title=title, caption=[], height=180, legend=False)
