"""A finished run's page in a real browser: every section has its charts, a click on a cell opens its images."""

from __future__ import annotations

import io
import re
import time
import zipfile
from contextlib import suppress

import httpx
from browsing import SLOW_MS, TimedOut, picture, settled, tab, width_of
from playwright.sync_api import expect

from core.bundle import FILES, MANIFEST

#: Section -> titles of its charts.
SECTIONS = {
    "Summary": ["Training curves"],
    "Classes": ["Confusion matrix"],
    "Images": ["Confidence and energy of this image", "Spikes of this image"],
    "Energy": ["Energy per layer", "Energy flow"],
    "Time steps": ["Accuracy and energy against time steps", "Early exit by confidence", "Calibration"],
    "Neurons": ["Gradient at the spikes, layer by epoch", "Dead and saturated neurons", "Firing rate per layer"],
    "Robustness": [],
    "Files": [],
}
#: A chart that is drawn has one of these in it.
MARKS = ":is(.points path, path.js-line, .point path, .heatmaplayer image, .sankey-link)"


def test_every_section_is_drawn_and_fits_wide_and_narrow(browser, laboratory):
    widths = [1440, 400]
    with tab(browser, laboratory, f"run?run={laboratory.snn}", scheme="dark") as page:
        for section, titles in SECTIONS.items():
            page.get_by_role("tab", name=section, exact=True).click()
            for width in widths:
                page.set_viewport_size({"width": width, "height": 1000})
                for title in titles:
                    chart = page.locator(".js-plotly-plot").filter(has=page.locator(".gtitle", has_text=title)).first
                    expect(chart.locator(MARKS).first).to_be_attached()
                settled(page)
                picture(page, f"run-{section.lower().replace(' ', '-')}-{width}")
                assert page.get_by_test_id("stException").count() == 0, section
                assert width_of(page) <= width, (section, width)
            widths.reverse()  # the next section is opened at this width


def test_a_click_on_a_cell_opens_its_images_and_the_section_survives_a_reload(desk, laboratory):
    page = desk
    page.goto(f"{laboratory.dashboard}/run?run={laboratory.snn}")
    page.get_by_role("tab", name="Classes", exact=True).click()
    expect(page).to_have_url(re.compile("section=Classes"))
    expect(page.locator(".sf-examples img").first).to_be_visible()
    settled(page)
    with laboratory.client() as client:
        matrix = client.get(f"/runs/{laboratory.snn}/confusion").json()["matrix"]
    # a cell with images whose truth is not the one that is shown at first
    shown = page.locator(".sf-examples img").first.get_attribute("alt")
    truth, answer = next((i, j) for i in range(10) for j in range(10) if matrix[i][j] and not shown.endswith(f"a {i}"))
    cell = page.locator(".scatterlayer .trace").last.locator(".points path").nth(10 * truth + answer)
    of_cell = page.locator(f".sf-examples img[alt$='a {truth}']").first
    end = time.monotonic() + SLOW_MS / 1000
    while not of_cell.is_visible():  # a chart that is still moving into its place is not where it was
        assert time.monotonic() < end, "no click on the cell opens its images"
        box = cell.bounding_box()
        page.mouse.click(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
        with suppress(TimedOut):
            of_cell.wait_for(timeout=SLOW_MS / 9)
    expect(page.locator(".sf-examples img").first).to_have_attribute("alt", re.compile(f"a {truth}$"))
    expect(page.locator(".sf-answer").first).to_have_attribute("aria-label", re.compile(f": {answer}$"))
    page.reload()
    expect(page.get_by_role("tab", name="Classes", exact=True)).to_have_attribute("aria-selected", "true")


def test_the_choices_of_a_figure_open_in_sight_where_its_button_is_at_the_lower_edge(desk, laboratory):
    page = desk
    page.goto(f"{laboratory.dashboard}/run?run={laboratory.snn}&section=Classes")
    button = page.get_by_role("button", name="Save figure").first
    expect(button).to_be_visible()
    settled(page)
    edge = page.viewport_size["height"]
    page.evaluate(SCROLL, button.bounding_box()["y"] - edge + 60)
    button.click()
    save = page.get_by_test_id("stPopoverBody").get_by_role("button", name="Save", exact=True)
    expect(save).to_be_visible()
    settled(page)
    box = save.bounding_box()
    assert 0 <= box["y"] and box["y"] + box["height"] <= edge
    assert page.evaluate(CUT) == 0


#: Pixels down the page; and those of the open choices that only scrolling in their box would show.
SCROLL = "by => document.querySelector('[data-testid=stMain]').scrollBy(0, by)"
CUT = "(box => box.scrollHeight - box.clientHeight)(document.querySelector('[data-testid=stPopoverBody]'))"


def test_the_bundle_link_gives_the_whole_bundle(desk, laboratory):
    page = desk
    page.goto(f"{laboratory.dashboard}/run?run={laboratory.snn}")
    page.get_by_role("tab", name="Files", exact=True).click()
    link = page.get_by_role("link", name="Bundle (zip)")
    expect(link).to_be_visible()
    answer = httpx.get(link.get_attribute("href"))
    with zipfile.ZipFile(io.BytesIO(answer.content)) as archive:
        assert set(archive.namelist()) >= {*FILES, MANIFEST}
