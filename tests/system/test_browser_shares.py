"""A double-blind, frozen link: made on the Shares page, read in a second profile, saved, read offline, withdrawn."""

from __future__ import annotations

from pathlib import Path

import httpx
from browsing import SLOW_MS, picture
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
