"""Try it in a real browser: a test image, its steps by button and keyboard, and a picture of one's own."""

from __future__ import annotations

import io
import re
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from PIL import Image, ImageDraw
from playwright.sync_api import Browser, Page, expect

pytestmark = pytest.mark.journey

ARTIFACTS = Path(__file__).parents[2] / "test-artifacts"
SLOW_MS = 90_000  # of a loaded machine with two cores
#: Maps that the browser has decoded.
DECODED = "[...document.querySelectorAll('.sf-map img')].filter(i => i.complete && i.naturalWidth)"
TINY = {
    "mask": "F9", "dataset": "digits", "recipe": "smoke",
    "overrides": {"training.max_epochs": 1, "training.train_limit": 32},
}  # fmt: skip


@pytest.fixture(scope="module")
def trained(installation) -> None:
    """A spiking run and its twin, queued through the API and trained by the worker."""
    token = (installation.home / "token").read_text().strip()
    with httpx.Client(
        base_url=f"{installation.api}/api/v1", headers={"Authorization": f"Bearer {token}"}, timeout=60
    ) as client:
        runs = [client.post("/runs", json={**TINY, "kind": kind}).json()["id"] for kind in ("snn", "cnn")]
        end = time.monotonic() + 240
        while states := {client.get(f"/runs/{run}").json()["state"] for run in runs} - {"succeeded"}:
            assert "failed" not in states and time.monotonic() < end
            time.sleep(0.5)


@pytest.fixture(scope="module")
def page(browser: Browser, installation, trained) -> Iterator[Page]:
    context = browser.new_context(viewport={"width": 1440, "height": 1000})
    context.set_default_timeout(SLOW_MS)
    opened = context.new_page()
    opened.goto(installation.address)
    yield opened
    context.close()


def picture(page: Page, name: str) -> None:
    ARTIFACTS.mkdir(exist_ok=True)
    page.screenshot(path=ARTIFACTS / f"{name}.png", full_page=True)


def zero() -> bytes:
    """A dark ring on light paper, wider than high."""
    image = Image.new("RGB", (900, 600), "#e8e0d0")
    ImageDraw.Draw(image).ellipse((330, 80, 570, 520), outline="black", width=60)
    buffer = io.BytesIO()
    image.save(buffer, format="JPEG")
    return buffer.getvalue()


def test_an_image_travels_step_by_step_beside_the_twins_answer(page, installation):
    page.get_by_role("link", name="Try it", exact=True).first.click()
    expect(page.get_by_role("heading", name="Try it", level=1)).to_be_visible()
    expect(page.locator(".sf-map")).to_have_count(4, timeout=2 * SLOW_MS)  # stem, squeeze, two expands
    expect(page.locator(".sf-says tbody tr")).to_have_count(2, timeout=SLOW_MS)
    expect(page.locator(".js-plotly-plot")).to_have_count(3, timeout=SLOW_MS)
    expect(page.locator(".js-plotly-plot .heatmaplayer image")).to_be_attached(timeout=SLOW_MS)
    when = page.locator(".sf-says .sf-dim").first
    expect(when).to_have_text("after step 4 of 4", timeout=SLOW_MS)
    page.wait_for_function(f"({DECODED}).length === 4")
    picture(page, "tryit")

    slider = page.get_by_role("slider", name="Time step")
    slider.focus()
    page.keyboard.press("ArrowLeft")
    expect(when).to_have_text("after step 3 of 4", timeout=SLOW_MS)
    page.keyboard.press("End")
    expect(when).to_have_text("after step 4 of 4", timeout=SLOW_MS)

    page.get_by_role("button", name="Play").click()
    expect(when).to_have_text(re.compile("after step [123] of 4"), timeout=SLOW_MS)
    expect(when).to_have_text("after step 4 of 4", timeout=SLOW_MS)
    expect(page.get_by_role("button", name="Play")).to_be_visible(timeout=SLOW_MS)


def test_a_picture_from_the_disk_goes_through_the_same_networks(page):
    page.get_by_text("Your picture", exact=True).click()
    files = page.locator("input[type=file]")
    files.set_input_files({"name": "zero.jpg", "mimeType": "image/jpeg", "buffer": zero()})
    expect(page.get_by_text("900 x 600, of which 600 x 600 go in")).to_be_visible(timeout=SLOW_MS)
    expect(page.locator(".sf-map")).to_have_count(4, timeout=SLOW_MS)
    seen = page.locator(".sf-seen img.small")
    before = seen.get_attribute("src")
    page.get_by_text("Take the negative").click()
    expect(seen).not_to_have_attribute("src", before, timeout=SLOW_MS)
    picture(page, "tryit-own")
    files.set_input_files({"name": "bad.png", "mimeType": "image/png", "buffer": b"\x89PNG\r\n\x1a\nnothing"})
    expect(page.get_by_text("PNG, JPEG or WebP file")).to_be_visible(timeout=SLOW_MS)


def test_it_fits_a_phone_in_the_dark(browser, installation, trained):
    context = browser.new_context(viewport={"width": 400, "height": 850}, color_scheme="dark")
    context.set_default_timeout(SLOW_MS)
    page = context.new_page()
    page.goto(installation.address)
    page.goto(f"{installation.dashboard}/tryit")
    expect(page.locator(".sf-map")).to_have_count(4, timeout=SLOW_MS)
    expect(page.locator(".js-plotly-plot")).to_have_count(3, timeout=SLOW_MS)
    picture(page, "phone-tryit-dark")
    assert page.evaluate("document.querySelector('[data-testid=stMain]').scrollWidth") <= 400
    context.close()
