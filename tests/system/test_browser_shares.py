"""A double-blind, frozen link: made on the Shares page, read in a second profile, saved, read offline, withdrawn."""

from __future__ import annotations

import time
from pathlib import Path

import httpx
import pytest
from playwright.sync_api import Browser, Page, expect

pytestmark = pytest.mark.journey

ARTIFACTS = Path(__file__).parents[2] / "test-artifacts"
SLOW_MS = 90_000  # of a loaded machine with two cores
TINY = {"mask": "F9", "recipe": "smoke", "overrides": {"training.max_epochs": 1, "training.train_limit": 64}}
DRAWN = ".js-plotly-plot :is(.scatterlayer .points path, .barlayer .point path, .heatmaplayer image)"


@pytest.fixture(scope="module")
def run_id(installation) -> str:
    """A run that the worker has trained."""
    token = (installation.home / "token").read_text().strip()
    with httpx.Client(base_url=f"{installation.api}/api/v1", headers={"Authorization": f"Bearer {token}"}) as api:
        made = api.post("/runs", json=TINY).json()["id"]
        end = time.monotonic() + 180
        while (state := api.get(f"/runs/{made}").json()["state"]) != "succeeded":
            assert state in ("queued", "running") and time.monotonic() < end, state
            time.sleep(0.5)
        return made


def picture(page: Page, name: str) -> None:
    ARTIFACTS.mkdir(exist_ok=True)
    page.screenshot(path=ARTIFACTS / f"{name}.png", full_page=True)


@pytest.mark.timeout(600)  # a run is trained first, and two cores may be shared
def test_a_reviewer_reads_a_blind_link_and_its_file_and_finds_nobody_s_name(
    browser: Browser, installation, run_id: str, tmp_path: Path
) -> None:
    owner = browser.new_context(viewport={"width": 1440, "height": 1000})
    owner.set_default_timeout(SLOW_MS)
    page = owner.new_page()
    page.goto(installation.address)
    page.get_by_role("link", name="Shares", exact=True).first.click()
    page.get_by_text("New link").first.click()
    page.get_by_role("radio", name="Frozen").click()
    expect(page.get_by_text("stored now with a SHA-256 manifest")).to_be_visible(timeout=SLOW_MS)
    page.get_by_text("Double-blind", exact=True).first.click()
    expect(page.get_by_text("send the saved file")).to_be_visible(timeout=SLOW_MS)
    page.get_by_role("button", name="Make a link").click()
    code = page.locator("code", has_text="/s/").first
    expect(code).to_be_visible(timeout=SLOW_MS)
    address = code.inner_text().strip()
    picture(page, "shares")

    reviewer = browser.new_context(viewport={"width": 400, "height": 800}, color_scheme="dark")
    reviewer.set_default_timeout(SLOW_MS)
    reader = reviewer.new_page()
    assert reader.goto(address).status == 200
    expect(reader.get_by_text("double-blind")).to_be_visible()
    reader.locator("#chart-confusion").scroll_into_view_if_needed()
    expect(reader.locator(DRAWN).first).to_be_attached(timeout=SLOW_MS)
    with reader.expect_download() as saved:
        reader.get_by_role("link", name="offline.html").click()
    file = tmp_path / "offline.html"
    saved.value.save_as(file)
    for secret in (run_id, str(installation.home), "127.0.0.1:", address.rpartition("/")[2]):
        assert secret not in reader.content(), secret
        assert secret.encode() not in file.read_bytes(), secret
    reviewer.close()

    away = browser.new_context()
    away.set_default_timeout(SLOW_MS)
    offline, asked = away.new_page(), []
    offline.on("request", lambda request: asked.append(request.url))
    offline.goto(file.as_uri())
    offline.locator("#chart-confusion").scroll_into_view_if_needed()
    expect(offline.locator(DRAWN).first).to_be_attached(timeout=SLOW_MS)
    with offline.expect_download():
        offline.get_by_role("button", name="Save and check results.json").click()
    expect(offline.get_by_text("✓ Its SHA-256 is the one above.")).to_be_visible()
    picture(offline, "share-offline")
    assert [url for url in asked if not url.startswith(("file:", "data:", "blob:"))] == []
    away.close()

    page.get_by_role("button", name="Withdraw").first.click()
    page.get_by_text("The link is withdrawn.").wait_for()
    assert httpx.get(address).status_code == 404
    owner.close()
