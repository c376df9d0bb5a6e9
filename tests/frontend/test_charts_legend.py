"""The words around a chart: on a page they follow its width, in a picture they stand inside, and the plot stays as high."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from html.parser import HTMLParser
from urllib.parse import unquote

import plotly.graph_objects as go
import pytest

from core.backbones.catalog import BACKBONES
from core.report.charts import curves, legend, pareto, theme
from core.report.charts.legend import Entry
from core.schemas.pareto import Pareto, ParetoPoint, PublishedPoint
from core.schemas.prices import HIGHEST
from core.schemas.results import Metrics
from core.schemas.run import Kind
from frontend.parts import lens
from frontend.parts.chart_box import image_options

EVIL = "<img src=x onerror=alert(1)>"


def point(run_id, *, energy_pj, backbone="squeezenet", kind="snn"):
    return ParetoPoint(
        run_id=run_id, label=f"{kind.upper()}-{BACKBONES[backbone].title} Ref-1", backbone=backbone, kind=kind,
        mask=("F4",), mask_name="Ref-1", dataset="digits", recipe="smoke", seed=3, accuracy=0.5, f1_macro=0.7,
        params=549_114, acs=16_100_000, macs=4_230_000, energy_pj=energy_pj, firing_rate=None, time_steps=4, n_train=1000,
        n_test=360, dataset_complete=True, on_front=False, finished_at=datetime(2026, 1, 1, tzinfo=UTC),
    )  # fmt: skip


def plot_of(points):
    printed = [
        PublishedPoint(model="SqueezeNet", kind=kind, table="table 1", accuracy=0.82, f1_macro=0.81, params=736_500,
                       acs=16.6e6, macs=4.47e6, energy_pj=35.5e6)
        for kind in Kind
    ]  # fmt: skip
    return Pareto(dataset="digits", mode="paper", profile="horowitz-45nm", points=points, front=[], published=printed)


def families(names=tuple(BACKBONES)):
    """A run of each backbone and kind, beside printed ones."""
    pairs = [(name, kind.value) for name in names for kind in Kind]
    return plot_of(
        [
            point(f"{name}-{kind}", energy_pj=1e7 * place, backbone=name, kind=kind)
            for place, (name, kind) in enumerate(pairs, 1)
        ]
    )


def long_caption():
    metrics = Metrics(epoch=[1, 2], lr=[1e-3] * 2, train_loss=[1.0] * 2, train_accuracy=[0.1, 0.2], firing_rate=[None] * 2,
                      validation_loss=[1.5] * 2, validation_accuracy=[0.1, 0.2], wall_s=[1.0] * 2)  # fmt: skip
    return curves.figure(metrics, source="a source of some length, " * 6)


def plot_px(figure):
    """Height of the plot with its axes: what title, caption and legend leave."""
    return figure.layout.height - figure.layout.margin.t


def test_the_plot_is_as_high_with_ten_families_as_with_two():
    two, ten = pareto.figure(families(("squeezenet",))), pareto.figure(families())
    assert plot_px(ten) == plot_px(two) >= 370
    assert theme.worded(ten).lift_px > theme.worded(two).lift_px  # what grows lies under the page's own words
    assert plot_px(ten) == plot_px(two)
    assert not ten.layout.showlegend  # Plotly would put the names between the axes and the lower edge


def test_the_legend_names_every_mark_with_the_shape_and_colour_it_is_drawn_with():
    figure = pareto.figure(families(), faults={"table 1/SqueezeNet": "energy"})
    found = legend.entries(figure)
    named = {trace.name: trace for trace in figure.data if trace.mode and "markers" in trace.mode and trace.name}
    for entry in found:
        if entry.name in named:
            marker = named[entry.name].marker
            symbols = {marker.symbol} if isinstance(marker.symbol, str) else set(marker.symbol)
            assert (entry.shape in symbols, entry.colour) == (True, marker.color)
    n = len(BACKBONES)
    kinds = [entry.name[:3] for entry in found[: 2 * n]]
    assert kinds == ["SNN"] * n + ["CNN"] * n and len({(one.shape, one.colour) for one in found}) == len(found)
    assert [entry.name for entry in found[2 * n :]] == [
        "Pareto front",
        "dominated",
        "SNN, printed",
        "CNN, printed",
        "contradicted by the audit",
    ]
    assert [entry.shape for entry in found[2 * n :]] == ["line", "area", "circle-open", "square-open", "x-thin-open"]


def test_of_a_mark_with_two_shapes_the_commoner_stands_in_the_legend():
    figure = pareto.figure(plot_of([point(name, energy_pj=pj) for name, pj in (("free", 0), ("a", 1e6), ("b", 2e6))]))
    runs = next(trace for trace in figure.data if trace.name == "SNN-SqueezeNet")
    assert runs.marker.symbol[0] == "triangle-left"
    assert [one.shape for one in legend.entries(figure) if one.name == "SNN-SqueezeNet"] == ["circle"]


def test_every_shape_of_the_plots_has_a_mark():
    drawn = {*pareto.SYMBOLS, *theme.SYMBOL.values(), *(f"{shape}-open" for shape in theme.SYMBOL.values())}
    assert drawn <= set(legend.SHAPES)


def test_the_signs_of_a_legend_are_in_the_font_of_its_words():
    """A sign that Arial and its kin lack would put the whole line of a saved PDF into another font."""
    everywhere = set("●■♦▲▼◄►○□▪▫▬▒│─×+…")  # of the WGL4 character set
    assert {shape for shape, (sign, _) in legend.SHAPES.items() if sign not in everywhere} == {"star", "hexagon"}


def test_a_picture_holds_title_units_n_profile_mode_source_and_names():
    figure = pareto.figure(families())
    words = theme.worded(figure)
    title, lines = figure.layout.title.text, figure.layout.title.subtitle.text.replace("\u00a0", " ")
    assert title == words.title == "Accuracy against energy"
    assert figure.layout.xaxis.title.text.endswith("µJ (log)") and figure.layout.yaxis.title.text.endswith("%")
    for said in (
        "Digits",
        "n = 360 test images",
        "mode paper (one time step)",
        "profile horowitz-45nm",
        "Kabir et al.",
    ):
        assert said in lines.replace("<br>", " ") and said in words.caption.replace("\u00a0", " "), said
    for entry in legend.entries(figure):
        sign, _ = legend.SHAPES[entry.shape]
        assert f'<span style="color:{entry.colour}">{sign}</span> {entry.name}' in lines
    for options in (theme.CONFIG["toImageButtonOptions"], image_options("x")):
        assert options["width"] == theme.PICTURE_PX  # the width that the lines were broken for


def test_the_heading_has_room_for_its_lines_and_the_page_covers_all_but_the_buttons():
    figure = pareto.figure(families())
    narrow = figure.layout.margin.t
    words = theme.worded(figure)
    lines = 1 + figure.layout.title.subtitle.text.count("<br>")
    assert figure.layout.margin.t == 34 + theme.LINE_PX * lines + 8 < narrow
    assert words.lift_px + theme.BUTTONS_PX + 8 == figure.layout.margin.t


def test_a_line_of_a_picture_uses_its_width_and_that_of_a_bare_figure_fits_a_phone():
    figure = long_caption()
    for signs in (54, 150):
        longest = max(map(len, figure.layout.title.subtitle.text.split("<br>")))
        assert signs - 25 < longest <= signs
        theme.worded(figure)


def test_words_are_the_same_whether_a_page_takes_the_figure_or_its_content():
    one, other = pareto.figure(families()), pareto.figure(families())
    words = theme.worded(one)
    content, again = theme.untitled(other)
    assert again._replace(legend="") == words._replace(legend="")
    layout = content["layout"]
    assert (layout["height"], layout["margin"]["t"]) == (one.layout.height, one.layout.margin.t)
    assert layout["title"]["subtitle"]["text"] == one.layout.title.subtitle.text
    assert content["lift_px"] == words.lift_px and not {"template", "meta"} & set(layout)


class Parsed(HTMLParser):
    def __init__(self, text):
        super().__init__()
        self.tags, self.print = [], []
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data):
        self.print.append(data)


MARKS = [Entry("square", "#D55E00", "CNN-X"), Entry("circle-open", "#0072B2", "SNN, printed")]


@pytest.mark.parametrize("inline", [True, False])
def test_a_page_s_legend_is_a_list_of_names_whose_marks_a_reader_skips(inline):
    html = legend.html(MARKS, inline=inline)
    found = Parsed(html)
    assert found.tags[0] == ("ul", {"class": "sf-legend", "role": "list", "aria-label": "Legend"})
    assert found.print == ["CNN-X", "SNN, printed"]
    assert not [attrs for _, attrs in found.tags if "style" in attrs]  # a shared page has no inline style
    drawn = html if inline else "".join(unquote(attrs["src"]) for tag, attrs in found.tags if tag == "img")
    hidden = {"aria-hidden": "true"} if inline else {"alt": ""}
    marks = [attrs for tag, attrs in found.tags if tag == ("svg" if inline else "img")]
    assert len(marks) == 2 and all(attrs.items() >= hidden.items() for attrs in marks)
    square, circle = re.findall("<path[^>]+>", drawn)
    assert 'fill="#D55E00"' in square and "stroke" not in square
    assert 'fill="none"' in circle and 'stroke="#0072B2"' in circle


def test_names_stay_print_and_long_ones_have_a_line_of_their_own():
    figure = go.Figure().add_scatter(
        x=[1], y=[1], mode="markers", name=theme.escape(EVIL), marker={"symbol": "circle", "color": "#000000"}
    )
    (entry,) = legend.entries(figure)
    for html in (legend.html([entry], inline=True), legend.html([entry], inline=False)):
        assert "<img src=x" not in html and Parsed(html).print == [EVIL]
    short = [Entry("circle", "#000000", f"name {place}") for place in range(6)]
    # "● name 0" has 8 signs and a gap 4: three names take 8 + 4 + 8 + 4 + 8 = 32
    for signs, names in ((32, [3, 3, 1]), (31, [2, 2, 2, 1])):
        lines = legend.lines([*short, Entry("circle", "#000000", "x" * 60)], signs)
        assert [line.count("span style") for line in lines] == names


def test_of_very_many_names_the_first_are_listed_and_the_others_counted():
    figure = go.Figure()
    for place in range(legend.MOST + 7):
        figure.add_scatter(x=[1], y=[1], mode="markers", name=str(place), marker={"symbol": "star", "color": "#000000"})
    found = legend.entries(figure)
    assert len(found) == legend.MOST + 1 and found[-1].name == "and 7 more"
    assert legend.lines(found, 150) and legend.html(found, inline=True).endswith("<span>and 7 more</span></li></ul>")


def test_what_plotly_s_legend_shows_is_listed_nowhere_else():
    words = theme.worded(long_caption())
    assert words.legend == "" and words.title == "Training curves"


def test_the_sliders_reach_as_far_as_the_api_lets_prices_go():
    assert (min(lens.STOPS), max(lens.STOPS)) == (0, HIGHEST)
