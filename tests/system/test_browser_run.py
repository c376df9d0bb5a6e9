"""A finished run's page in a real browser: every section has its charts, a click on a cell opens its images."""

from __future__ import annotations

import io
import re
import time
import zipfile
from pathlib import Path

import httpx
import pytest
from playwright.sync_api import Browser, Page, expect

from core.bundle import FILES, MANIFEST

pytestmark = pytest.mark.journey

ARTIFACTS = Path(__file__).parents[2] / "test-artifacts"
SLOW_MS = 90_000  # of a loaded machine with two cores
#: Section -> titles of its charts.
SECTIONS = {
    "Summary": ["Training curves"],
    "Classes": ["Confusion matrix"],
    "Images": ["Confidence and energy of this image", "Spikes of this image"],
    "Energy": ["Energy per layer", "Energy flow"],
    "Time steps": ["Accuracy and energy against time steps", "Early exit by confidence", "Calibration"],
    "Neurons": ["Gradient at the spikes, layer by epoch", "Dead and saturated neurons", "Firing rate per layer"],
    "Files": ["Training curves"],
}
#: A chart that is drawn has one of these in it.
MARKS = ":is(.points path, path.js-line, .point path, .heatmaplayer image, .sankey-link)"


@pytest.fixture(scope="module")
def run_id(installation) -> str:
    """A spiking network, trained by the installation's own worker."""
    headers = {"Authorization": f"Bearer {(installation.home / 'token').read_text().strip()}"}
    api = httpx.Client(base_url=f"{installation.api}/api/v1", headers=headers, timeout=30)
    overrides = {"training.max_epochs": 1, "training.train_limit": 64}
    made = api.post(
        "/runs", json={"mask": ["F9"], "dataset": "digits", "recipe": "smoke", "overrides": overrides}
    ).json()
    end = time.monotonic() + 240
    while (run := api.get(f"/runs/{made['id']}").json())["state"] != "succeeded":
        assert run["state"] != "failed" and time.monotonic() < end, run
        time.sleep(0.5)
    return made["id"]


def opened(browser: Browser, installation, run_id: str, *, width: int, scheme: str) -> Page:
    context = browser.new_context(viewport={"width": width, "height": 1000}, color_scheme=scheme)
    context.set_default_timeout(SLOW_MS)
    page = context.new_page()
    page.goto(installation.address)
    page.goto(f"{installation.dashboard}/run?run={run_id}")
    return page


def settled(page: Page) -> None:
    expect(page.get_by_test_id("stApp")).to_have_attribute("data-test-script-state", "notRunning", timeout=SLOW_MS)


@pytest.mark.parametrize(("width", "scheme"), [(1440, "light"), (400, "dark")])
def test_every_section_is_drawn_and_fits(browser, installation, run_id, width, scheme):
    page = opened(browser, installation, run_id, width=width, scheme=scheme)
    for section, titles in SECTIONS.items():
        page.get_by_role("tab", name=section, exact=True).click()
        for title in titles:
            chart = page.locator(".js-plotly-plot").filter(has=page.locator(".gtitle", has_text=title)).first
            expect(chart.locator(MARKS).first).to_be_attached(timeout=SLOW_MS)
        settled(page)
        ARTIFACTS.mkdir(exist_ok=True)
        page.screenshot(
            path=ARTIFACTS / f"run-{section.lower().replace(' ', '-')}-{width}-{scheme}.png", full_page=True
        )
        assert page.get_by_test_id("stException").count() == 0, section
        assert page.evaluate("document.querySelector('[data-testid=stMain]').scrollWidth") <= width, section
    page.context.close()


def test_a_click_on_a_cell_opens_its_images_and_the_section_survives_a_reload(browser, installation, run_id):
    page = opened(browser, installation, run_id, width=1440, scheme="light")
    page.get_by_role("tab", name="Classes", exact=True).click()
    expect(page).to_have_url(re.compile("section=Classes"))
    expect(page.locator(".sf-examples img").first).to_be_visible(timeout=SLOW_MS)
    settled(page)
    headers = {"Authorization": f"Bearer {(installation.home / 'token').read_text().strip()}"}
    matrix = httpx.get(f"{installation.api}/api/v1/runs/{run_id}/confusion", headers=headers).json()["matrix"]
    # a cell with images whose truth is not the one that is shown at first
    shown = page.locator(".sf-examples img").first.get_attribute("alt")
    truth, answer = next((i, j) for i in range(10) for j in range(10) if matrix[i][j] and not shown.endswith(f"a {i}"))
    box = page.locator(".scatterlayer .trace").last.locator(".points path").nth(10 * truth + answer).bounding_box()
    page.mouse.click(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
    expect(page.locator(".sf-examples img").first).to_have_attribute("alt", re.compile(f"a {truth}$"), timeout=SLOW_MS)
    expect(page.locator(".sf-answer").first).to_have_attribute("aria-label", re.compile(f": {answer}$"))
    page.reload()
    expect(page.get_by_role("tab", name="Classes", exact=True)).to_have_attribute(
        "aria-selected", "true", timeout=SLOW_MS
    )
    page.context.close()


def test_the_bundle_link_gives_the_whole_bundle(browser, installation, run_id):
    page = opened(browser, installation, run_id, width=1440, scheme="light")
    page.get_by_role("tab", name="Files", exact=True).click()
    link = page.get_by_role("link", name="Bundle (zip)")
    expect(link).to_be_visible(timeout=SLOW_MS)
    answer = httpx.get(link.get_attribute("href"))
    with zipfile.ZipFile(io.BytesIO(answer.content)) as archive:
        assert set(archive.namelist()) >= {*FILES, MANIFEST}
    page.context.close()
