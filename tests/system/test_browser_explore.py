"""Explore in a real browser: the lens re-prices, the address keeps the view, a box gathers runs for Compare."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from browsing import choose, picture, settled, tab
from playwright.sync_api import Browser, Page, expect


@pytest.fixture(scope="module")
def page(browser: Browser, laboratory) -> Iterator[Page]:
    """The owner's tab on an installation with one spiking run and its twin, and no other."""
    with tab(browser, laboratory, height=1400) as opened:
        yield opened


def test_the_lens_re_prices_and_the_address_keeps_the_view(page: Page) -> None:
    expect(page.locator(".scatterlayer .points path").first).to_be_visible()
    choose(page, "Accounting mode", page.get_by_role("option", name="With memory: all T steps"))
    said = page.locator(".st-key-lens_says")
    expect(said).to_contain_text("with memory traffic")
    page.get_by_text("Energy lens: move the prices").click()
    slider = page.locator(".st-key-lens_price_mac").get_by_role("slider")
    slider.focus()
    page.keyboard.press("End")  # ten times the price of a MAC, by the keyboard
    expect(page.get_by_text("46 pJ per MAC").first).to_be_visible()
    expect(page).to_have_url(re.compile(r"mode=memory&mac=10"))
    settled(page)
    picture(page, "explore-lens")
    told = said.inner_text()

    page.reload()
    expect(page.locator(".st-key-lens_says")).to_contain_text("with memory traffic")
    settled(page)
    assert page.locator(".st-key-lens_says").inner_text() == told
    page.get_by_role("link", name="Runs", exact=True).first.click()
    expect(page.get_by_role("heading", name="Runs", level=1)).to_be_visible()
    page.get_by_role("link", name="Explore", exact=True).first.click()
    expect(page).to_have_url(re.compile(r"mode=memory&mac=10"))


def test_a_box_around_the_marks_gathers_them_for_compare(page: Page) -> None:
    settled(page)
    plot = page.locator(".js-plotly-plot").first
    plot.scroll_into_view_if_needed()
    plot.hover()
    plot.locator("[data-val=select]").click()
    drag = plot.locator(".nsewdrag").bounding_box()
    page.mouse.move(drag["x"] + 3, drag["y"] + 3)
    page.mouse.down()
    page.mouse.move(drag["x"] + drag["width"] / 2, drag["y"] + drag["height"] / 2, steps=5)
    page.mouse.move(drag["x"] + drag["width"] - 3, drag["y"] + drag["height"] - 3, steps=5)
    page.mouse.up()
    chosen = page.locator(".st-key-explore_chosen")
    expect(chosen.get_by_text("2 runs chosen")).to_be_visible()
    picture(page, "explore-chosen")
    chosen.get_by_role("button", name="Compare").click()
    expect(page.get_by_role("heading", name="Compare", level=1)).to_be_visible()
    expect(page).to_have_url(re.compile(r"runs=\w{16}(,|%2C)\w{16}$"))


def test_the_figures_of_the_plot_download_as_csv(page: Page) -> None:
    page.get_by_role("link", name="Explore", exact=True).first.click()
    expect(page.get_by_role("heading", name="Explore", level=1)).to_be_visible()
    settled(page)
    button = page.locator(".st-key-explore_chart_csv button:visible")  # a hidden one keeps the width
    expect(button).to_have_count(1)
    with page.expect_download() as download:
        button.click()
    lines = Path(download.value.path()).read_text().splitlines()
    assert (
        lines[0].startswith("run,network,name,from") and len(lines) == 3
    )  # two runs, and digits has no printed points
