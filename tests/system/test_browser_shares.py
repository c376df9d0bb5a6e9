"""Links in a browser: a double-blind, frozen one from making to withdrawing, and a view that is its maker's picture."""

from __future__ import annotations

from pathlib import Path

import httpx
import pytest
from browsing import SLOW_MS, picture, settled, tab
from playwright.sync_api import Browser, Page, expect

DRAWN = ".js-plotly-plot :is(.scatterlayer .points path, .barlayer .point path, .heatmaplayer image)"


def test_a_reviewer_reads_a_blind_link_and_its_file_and_finds_nobody_s_name(
    browser: Browser, desk: Page, laboratory, tmp_path: Path
) -> None:
    page = desk
    page.get_by_role("link", name="Shares", exact=True).first.click()
    page.get_by_text("New link").first.click()
    page.get_by_role("radio", name="Frozen").click()
    expect(page.get_by_text("stored now with a SHA-256 manifest")).to_be_visible()
    page.get_by_text("Double-blind", exact=True).first.click()
    expect(page.get_by_text("send the saved file")).to_be_visible()
    page.get_by_role("button", name="Make a link").click()
    code = page.locator("code", has_text="/s/").first
    expect(code).to_be_visible()
    address = code.inner_text().strip()
    picture(page, "shares")

    reviewer = browser.new_context(viewport={"width": 400, "height": 800}, color_scheme="dark")
    reviewer.set_default_timeout(SLOW_MS)
    reader = reviewer.new_page()
    assert reader.goto(address).status == 200
    expect(reader.get_by_text("double-blind")).to_be_visible()
    reader.locator("#chart-confusion").scroll_into_view_if_needed()
    expect(reader.locator(DRAWN).first).to_be_attached()
    with reader.expect_download() as saved:
        reader.get_by_role("link", name="offline.html").click()
    file = tmp_path / "offline.html"
    saved.value.save_as(file)
    for secret in (laboratory.snn, laboratory.cnn, str(laboratory.home), "127.0.0.1:", address.rpartition("/")[2]):
        assert secret not in reader.content(), secret
        assert secret.encode() not in file.read_bytes(), secret
    reviewer.close()

    away = browser.new_context()
    away.set_default_timeout(SLOW_MS)
    offline, asked = away.new_page(), []
    offline.on("request", lambda request: asked.append(request.url))
    offline.goto(file.as_uri())
    offline.locator("#chart-confusion").scroll_into_view_if_needed()
    expect(offline.locator(DRAWN).first).to_be_attached()
    with offline.expect_download():
        offline.get_by_role("button", name="Save and check results.json").click()
    expect(offline.get_by_text("✓ Its SHA-256 is the one above.")).to_be_visible()
    picture(offline, "share-offline")
    assert [url for url in asked if not url.startswith(("file:", "data:", "blob:"))] == []
    away.close()

    page.get_by_role("button", name="Withdraw").first.click()
    page.get_by_role("button", name="Withdraw for good").click()
    page.get_by_text("The link is withdrawn.").wait_for()
    assert httpx.get(address).status_code == 404


def test_every_figure_of_a_link_is_drawn_without_scrolling(browser: Browser, laboratory) -> None:
    with laboratory.client() as client:
        address = client.post("/shares", json={"run_id": laboratory.snn}).raise_for_status().json()["url"]
    away = browser.new_context(viewport={"width": 400, "height": 600})
    away.set_default_timeout(SLOW_MS)
    reader = away.new_page()
    reader.goto(address)
    expect(reader.locator(".plot.js-plotly-plot")).to_have_count(reader.locator(".plot[data-chart]").count())
    assert reader.evaluate("scrollY") == 0
    away.close()


MARKS = """selector => {
    const plot = document.querySelector(selector + " .js-plotly-plot") ?? document.querySelector(selector + ".js-plotly-plot");
    const shown = plot._fullLayout;
    const axis = name => ({range: shown[name].range, type: shown[name].type, title: shown[name].title.text});
    const list = value => ArrayBuffer.isView(value) ? [...value] : value;
    const traces = plot._fullData.map(t => ({
        name: t.name, mode: t.mode, x: list(t.x), y: list(t.y), size: list(t.marker?.size), colour: t.marker?.color,
        symbol: list(t.marker?.symbol), opacity: list(t.marker?.opacity), line: t.marker?.line?.color, words: t.hovertext,
        text: t.text, errors: [list(t.error_x?.array), list(t.error_y?.array)], fill: t.fillcolor,
    }));
    return JSON.parse(JSON.stringify({traces, axes: [axis("xaxis"), axis("yaxis")]}));
}"""
#: What the maker chose, as Explore's address holds it.
LOOK = "mode=memory&ac=2&colour=mask&shape=kind&seeds=1&sure=1&log=0"
VIEWS = (LOOK, "x=synops&y=f1_macro&colour=kind&shape=recipe&steps=1", "")


@pytest.mark.parametrize("look", VIEWS)
def test_a_shared_view_is_the_picture_of_its_maker_point_by_point(browser: Browser, laboratory, look: str) -> None:
    with tab(browser, laboratory, f"?dataset=digits&{look}", height=1400) as page:
        expect(page.locator(".st-key-explore_chart .scatterlayer .points path").first).to_be_visible()
        settled(page)
        page.get_by_role("button", name="Share", exact=True).click()
        page.get_by_role("button", name="Make a link").click()
        code = page.locator("code", has_text="/s/").first
        expect(code).to_be_visible()
        address = code.inner_text().strip()
        page.keyboard.press("Escape")
        own = page.evaluate(MARKS, ".st-key-explore_chart")
        picture(page, f"shared-view-page-{VIEWS.index(look)}")
        reader = page.context.new_page()
        reader.set_viewport_size({"width": 1440, "height": 1400})
        reader.goto(address)
        reader.locator("#chart-points").scroll_into_view_if_needed()
        expect(reader.locator("#chart-points " + DRAWN).first).to_be_attached()
        shared = reader.evaluate(MARKS, "#chart-points")
        picture(reader, f"shared-view-link-{VIEWS.index(look)}")
        reader.close()
    assert len(own["traces"]) >= 3 and sum(len(trace["x"]) for trace in own["traces"] if trace["words"]) == 2
    assert shared == own
