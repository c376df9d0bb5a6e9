"""Every page as people meet it: wide and narrow, light and dark; nothing sticks out, nothing broke, no chart is blank."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Literal

import pytest
from browsing import picture, tab, wait_for
from playwright.sync_api import Browser, Page, expect

from core.report.charts import theme
from frontend.places import PLACES
from frontend.serving.server import DARK, LIGHT

#: Streamlit has run its script to the end, nothing old is left on the page, and every chart in sight of the script is drawn.
SETTLED = """() => {
  const app = document.querySelector('[data-testid=stApp]');
  return app?.dataset.testScriptState === 'notRunning' && !document.querySelector('[data-stale=true], [data-testid=stSkeleton]')
    && document.querySelector('h1')
    && [...document.querySelectorAll('[data-testid=stPlotlyChart]')].every((box) => box.querySelector('.main-svg'));
}"""

#: What is wrong with the charts that have a size (a closed expander or another tab has none): titles of blank ones, how many there are.
CHARTS = """() => {
  const marks = '.scatterlayer .points path, .scatterlayer .points text, .scatterlayer path.js-line, .scatterlayer path.js-fill, '
    + '.barlayer .point path, .heatmaplayer image, .sankey-link, .errorbar path';
  const shown = [...document.querySelectorAll('.js-plotly-plot')].filter((plot) => plot.getBoundingClientRect().height > 0);
  const seen = (mark) => {
    const box = mark.getBoundingClientRect();
    return (box.width > 0 || box.height > 0) && getComputedStyle(mark).visibility !== 'hidden';
  };
  const says = (plot) => !plot.querySelector('.xtick, .ytick') && plot.querySelector('.annotation-text');  // it says why it is empty
  return {n: shown.length, blank: shown.filter((plot) => !says(plot) && ![...plot.querySelectorAll(marks)].some(seen))
    .map((plot) => plot.layout?.meta?.title ?? 'a chart without a title')};
}"""

#: What is wider than the window, with as much of a name as helps.
WIDE = """() => {
  const main = document.querySelector('[data-testid=stMain]');
  if (Math.max(main.scrollWidth, document.documentElement.scrollWidth) <= window.innerWidth) return [];
  const scrolls = (node) => {
    for (let up = node.parentElement; up && up !== main; up = up.parentElement)
      if (['auto', 'scroll', 'hidden', 'clip'].includes(getComputedStyle(up).overflowX)) return true;
    return false;
  };
  const wide = [...main.querySelectorAll('*')].filter((n) => n.getBoundingClientRect().right > window.innerWidth + 1 && !scrolls(n));
  return ['the page', ...wide.slice(-3).map((n) => `${n.tagName} ${n.className.baseVal ?? n.className}`.slice(0, 90))];
}"""

#: Choices beside each other of which some lie beyond the edge, by their words.
CUT_OFF = """() => [...document.querySelectorAll('[data-testid=stButtonGroup]')].filter((group) =>
  [group, ...group.querySelectorAll('*')].some((box) =>
    box.clientWidth > 0 && box.scrollWidth > box.clientWidth + 1 && getComputedStyle(box).overflowX !== 'visible'))
  .map((group) => group.innerText)"""

#: Text below 4.5 to 1 against what lies behind it (WCAG 1.4.3), with its ratio; not of icons, code, sliders, and what is switched off.
FAINT = """() => {
  const pen = document.createElement('canvas').getContext('2d', {willReadFrequently: true});
  const read = (colour) => {
    pen.clearRect(0, 0, 1, 1); pen.fillStyle = colour; pen.fillRect(0, 0, 1, 1);
    const [r, g, b, a] = pen.getImageData(0, 0, 1, 1).data;
    return [[r, g, b], a / 255];
  };
  const over = ([top, share], below) => top.map((part, i) => share * part + (1 - share) * below[i]);
  const light = (colour) => colour.map((part) => part / 255)
    .map((part) => part <= 0.04045 ? part / 12.92 : ((part + 0.055) / 1.055) ** 2.4)
    .reduce((sum, part, i) => sum + part * [0.2126, 0.7152, 0.0722][i], 0);
  const skipped = 'svg, script, style, code, :disabled, [data-testid=stSlider], [data-testid=stIconMaterial]';
  const found = {}, texts = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  while (texts.nextNode()) {
    const text = texts.currentNode.textContent.trim(), at = texts.currentNode.parentElement, box = at.getBoundingClientRect();
    if (!text || box.width < 2 || at.closest(skipped)) continue;
    let opacity = 1, grounds = [];
    for (let up = at; up; up = up.parentElement) {
      const style = getComputedStyle(up), ground = read(style.backgroundColor);
      opacity *= style.opacity;
      if (ground[1] > 0) grounds.unshift(ground);
      if (ground[1] === 1) break;
    }
    if (opacity < 0.05 || getComputedStyle(at).visibility === 'hidden') continue;
    const ground = grounds.reduce((below, one) => over(one, below), [255, 255, 255]);
    const [colour, share] = read(getComputedStyle(at).color);
    const [low, high] = [light(over([colour, share * opacity], ground)), light(ground)].sort((a, b) => a - b);
    const ratio = (high + 0.05) / (low + 0.05);
    if (ratio < 4.5) found[text.slice(0, 40)] = ratio.toFixed(2);
  }
  return found;
}"""

#: What a page that works never shows: an exception, a refusal, a dialog that nobody asked for.
BROKEN = "[data-testid=stException], [data-testid=stAlertContentError], [role=dialog]"
#: Pages that draw a chart once there is a finished pair of runs.
DRAWING = ("explore", "launch", "run", "compare", "audit", "tryit")


#: How each page is looked at; every second one the other way round, so that it opens as the one before was left.
SIGHTS = [(1280, "light"), (400, "light"), (400, "dark"), (1280, "dark")]
#: The numbers along the axes are there, and in this colour.
AXES = """colour => {
    const numbers = [...document.querySelectorAll('.js-plotly-plot :is(.xtick, .ytick) text')];
    return numbers.length > 0 && numbers.every((number) => getComputedStyle(number).fill === colour);
}"""
THEME = "ground => getComputedStyle(document.querySelector('[data-testid=stApp]')).backgroundColor === ground"
#: Charts and words follow their boxes and the ground a moment later; what is still wrong by then is wrong.
LATE_S = 15.0
GROUNDS = {"light": LIGHT["backgroundColor"], "dark": DARK["backgroundColor"]}


@pytest.fixture(scope="module")
def page(browser: Browser, laboratory) -> Iterator[Page]:
    with laboratory.client() as client:
        client.post("/shares", json={"run_id": laboratory.snn}).raise_for_status()  # the list of links has a card
    with tab(browser, laboratory) as opened:
        wait_for(opened, SETTLED)
        yield opened


def look(page: Page, width: int, scheme: Literal["light", "dark"]) -> None:
    """Size and scheme of the window; returns once its ground has followed."""
    page.set_viewport_size({"width": width, "height": 1000 if width > 400 else 850})
    page.emulate_media(color_scheme=scheme)
    expect(page.get_by_role("heading", level=1)).to_be_visible()
    wait_for(page, THEME, arg=_rgb(GROUNDS[scheme]))
    wait_for(page, SETTLED)


def _rgb(colour: str) -> str:
    """`#rrggbb` as a browser says it."""
    return f"rgb({', '.join(str(part) for part in bytes.fromhex(colour.removeprefix('#')))})"


def address(name: str, laboratory) -> str:
    of_run = f"?run={laboratory.snn}"
    query = {"run": of_run, "compare": f"?runs={laboratory.snn},{laboratory.cnn}", "tryit": of_run}
    return (
        f"/{'' if name == 'explore' else name}{query.get(name, '')}"  # the first page's address is the dashboard's own
    )


def faults(page: Page, name: str) -> list[str]:
    """What is wrong now, in words."""
    found = []
    if wide := page.evaluate(WIDE):
        found.append(f"wider than the window: {wide}")
    if cut_off := page.evaluate(CUT_OFF):
        found.append(f"cut off: {cut_off}")
    if broken := page.locator(BROKEN).all_inner_texts():
        found.append(f"broken: {broken}")
    if faint := page.evaluate(FAINT):
        found.append(f"too faint: {faint}")
    charts = page.evaluate(CHARTS)
    if charts["blank"]:
        found.append(f"blank: {charts['blank']}")
    if name in DRAWING and not charts["n"]:
        found.append("no chart at all")
    return found


@pytest.mark.parametrize("name", PLACES)
def test_a_page_fits_is_whole_and_draws_its_charts(page, laboratory, name):
    found = {}
    page.goto(laboratory.dashboard + address(name, laboratory))
    for width, scheme in SIGHTS[:: -1 if list(PLACES).index(name) % 2 else 1]:
        look(page, width, scheme)
        end = time.monotonic() + LATE_S
        while (wrong := faults(page, name)) and time.monotonic() < end:
            page.wait_for_timeout(300)
        if wrong:
            found[width, scheme] = wrong
        picture(page, f"page-{name}-{width}-{scheme}")
    assert found == {}


def test_charts_follow_when_the_page_turns_dark_and_light_again(page, laboratory):
    """Nothing is clicked meanwhile: Explore has no part of its own that would draw its chart again."""
    page.goto(laboratory.dashboard + address("explore", laboratory))
    for scheme in ("light", "dark", "light"):
        look(page, 1440, scheme)
        wait_for(page, AXES, arg=_rgb(theme.template(scheme).layout.xaxis.tickfont.color))


def test_the_check_sees_a_blank_chart_and_a_wide_page(page, laboratory):
    page.set_viewport_size({"width": 1440, "height": 1000})
    page.goto(laboratory.dashboard + address("explore", laboratory))
    wait_for(page, SETTLED)
    wait_for(page, f"!({CHARTS})().blank.length")
    assert page.evaluate(WIDE) == []
    page.evaluate(
        "document.querySelectorAll('.js-plotly-plot :is(.scatterlayer, .barlayer, .heatmaplayer)').forEach((layer) => layer.remove())"
    )
    assert page.evaluate(CHARTS)["blank"] != []
    page.evaluate("document.querySelector('h1').style.minWidth = '3000px'")
    assert page.evaluate(WIDE) != []


def test_links_show_the_focus_of_the_keyboard(page, laboratory):
    page.set_viewport_size({"width": 1440, "height": 1000})
    page.goto(laboratory.dashboard + address("audit", laboratory))
    wait_for(page, SETTLED)
    for link in (
        page.get_by_role("link", name="Explore", exact=True),
        page.get_by_role("link", name="Reproduce this row"),
    ):
        link.first.focus()
        page.keyboard.press("Shift+Tab")
        page.keyboard.press("Tab")  # the focus now comes from the keyboard
        expect(link.first).to_be_focused()
        assert link.first.evaluate("node => getComputedStyle(node).outlineStyle") == "solid"
