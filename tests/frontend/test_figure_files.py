"""Figures as files: how one looks in print, what the browser is told to draw, and what becomes of its drawing."""

from __future__ import annotations

import base64
import io
import re
import zipfile

import pytest
from PIL import Image
from starlette.applications import Starlette
from starlette.testclient import TestClient

from core.report.charts import pareto_of, printed, theme
from core.report.charts import sweep as charts
from frontend.parts import saving
from frontend.serving import figures
from tests.support.swept import swept

SVG = (
    '<svg class="main-svg" xmlns="http://www.w3.org/2000/svg" width="317" height="200" viewBox="0 0 317 200">'
    '<rect width="317" height="200" style="fill: rgb(255, 255, 255);"/><text x="20" y="40">2.5 µJ ± 0.1</text></svg>'
)


def heat():
    return charts.heat_map(
        swept({"mask": [["F9"], ["F8"]]}, lambda values, seed: 0.5 + seed / 10), "accuracy", source="here"
    )


def png() -> str:
    out = io.BytesIO()
    Image.new("RGB", (990, 600), "white").save(out, "PNG")
    return base64.b64encode(out.getvalue()).decode()


@pytest.fixture
def client():
    with TestClient(Starlette(routes=figures.routes())) as client:
        yield client


def asked(kind: str, *contents: str) -> dict:
    drawn = [{"name": f"figure-{place}", "content": content} for place, content in enumerate(contents)]
    return {"name": "all", "format": kind, "figures": drawn}


@pytest.mark.parametrize(("width_in", "px"), [(3.3, 317), (7.0, 672)])
def test_a_printed_figure_is_as_wide_as_the_column_and_light_whatever_the_page_is(width_in, px):
    dark = theme.dress(heat(), "dark")
    found = printed.printed(dark, width_in=width_in, words=True).layout
    assert found.width == px and found.paper_bgcolor == "#ffffff"
    assert found.template.layout.font.color == theme.template("light").layout.font.color
    assert dark.layout.template.layout.font.color == theme.template("dark").layout.font.color, "the page's own stays"


def test_words_are_broken_for_the_width_and_can_be_left_out():
    figure = heat()
    plot = figure.layout.height - figure.layout.margin.t
    narrow = printed.printed(figure, width_in=3.3, words=True).layout
    bare = printed.printed(figure, width_in=3.3, words=False).layout
    lines = narrow.title.subtitle.text.split("<br>")
    assert len(lines) > 1 and max(map(len, lines)) <= (317 - 16) / printed.SIGN_PX
    assert bare.title.text == "" and bare.margin.t < 20 < narrow.margin.t
    assert {narrow.height - narrow.margin.t, bare.height - bare.margin.t} == {plot}, "the plot is as high as it was"


def test_a_plot_of_two_numbers_is_no_taller_than_wide_in_a_column_and_rows_keep_their_room():
    found = swept({"mask": [["F9"], ["F8"]]}, lambda values, seed: 0.5 + seed / 10)
    plot, rows = (printed.printed(one, width_in=3.3, words=False).layout for one in (pareto_of.sweep(found), heat()))
    assert plot.height - plot.margin.t + 8 <= printed.TALLEST * 317 + 1
    assert rows.height - rows.margin.t == heat().layout.height - heat().layout.margin.t


def test_a_figure_on_a_page_prints_as_before_it_was_put_there():
    on_page = heat()
    theme.worded(on_page)
    assert printed.printed(on_page, width_in=7, words=True) == printed.printed(heat(), width_in=7, words=True)


def test_the_script_is_told_a_name_that_a_file_can_have_for_each_figure():
    told = saving.job({"a/b": heat, "c": heat}, name="my sweep: 1", kind="png", width_in=7.0, words=False)
    assert told["name"] == "my-sweep-1" and [one["name"] for one in told["figures"]] == [
        "my-sweep-1-a-b",
        "my-sweep-1-c",
    ]
    assert figures.Wanted.model_validate(
        {**told, "figures": [{"name": one["name"], "content": ""} for one in told["figures"]]}
    )


def test_an_svg_has_its_size_in_inches(client):
    answer = client.post(figures.FILE, json=asked("svg", SVG))
    assert (
        answer.headers["content-type"] == "image/svg+xml"
        and 'filename="figure-0.svg"' in answer.headers["content-disposition"]
    )
    width, height = re.search(r'width="([\d.]+)in" height="([\d.]+)in"', answer.text).groups()
    assert float(width) == pytest.approx(3.3, abs=0.005) and float(height) == pytest.approx(200 / 96, abs=0.005)


def test_a_png_says_how_many_dots_make_an_inch(client):
    found = Image.open(io.BytesIO(client.post(figures.FILE, json=asked("png", png())).content))
    assert found.info["dpi"] == pytest.approx((300, 300), abs=0.1) and found.width / 300 == pytest.approx(3.3)


def test_a_pdf_is_one_page_of_the_figure_s_size_with_text_as_text(client):
    pytest.importorskip("typst")
    answer = client.post(figures.FILE, json=asked("pdf", SVG))
    assert answer.content.startswith(b"%PDF") and b"/Count 1" in answer.content
    box = re.search(rb"/MediaBox ?\[0 0 ([\d.]+) ([\d.]+)\]", answer.content)
    assert [float(side) / 72 for side in box.groups()] == pytest.approx([317 / 96, 200 / 96], abs=0.01)
    assert b"/Font" in answer.content and b"/Subtype/Image" not in answer.content


def test_several_figures_come_as_one_zip(client):
    answer = client.post(figures.FILE, json=asked("svg", SVG, SVG))
    assert answer.headers["content-type"] == "application/zip"
    assert zipfile.ZipFile(io.BytesIO(answer.content)).namelist() == ["figure-0.svg", "figure-1.svg"]


@pytest.mark.parametrize(
    "body",
    [
        asked("svg", "<html>"),
        asked("png", "no base 64 at all"),
        asked("png", base64.b64encode(b"GIF89a").decode()),
        asked("gif", SVG),
        {**asked("svg", SVG), "name": "../up"},
        {**asked("svg"), "figures": []},
    ],
)
def test_what_is_no_figure_is_refused(client, body):
    assert client.post(figures.FILE, json=body).status_code == 422


def test_a_figure_that_is_too_large_is_refused_before_it_is_read(client, monkeypatch):
    monkeypatch.setattr(figures, "MOST_BYTES", 100)
    assert client.post(figures.FILE, json=asked("svg", SVG)).status_code == 413


def test_the_drawing_program_is_served_from_here(client):
    assert "plotly" in client.get(figures.PLOTLY).text[:400].lower()


def test_the_script_holds_the_light_look_and_cannot_end_its_element():
    script = saving.script()
    assert script.count("</script") == 1 and "__LIGHT__" not in script
    assert theme.template("light").layout.font.color in script
