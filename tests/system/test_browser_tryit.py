"""Try it in a real browser: a test image, its steps by button and keyboard, and a picture of one's own."""

from __future__ import annotations

import io
import re

from browsing import SLOW_MS, picture, wait_for
from PIL import Image, ImageDraw
from playwright.sync_api import expect

#: Maps that the browser has decoded.
DECODED = "[...document.querySelectorAll('.sf-map img')].filter(i => i.complete && i.naturalWidth)"


def zero() -> bytes:
    """A dark ring on light paper, wider than high."""
    image = Image.new("RGB", (900, 600), "#e8e0d0")
    ImageDraw.Draw(image).ellipse((330, 80, 570, 520), outline="black", width=60)
    buffer = io.BytesIO()
    image.save(buffer, format="JPEG")
    return buffer.getvalue()


def test_an_image_travels_step_by_step_beside_the_twins_answer(desk):
    page = desk
    page.get_by_role("link", name="Try it", exact=True).first.click()
    expect(page.get_by_role("heading", name="Try it", level=1)).to_be_visible()
    expect(page.locator(".sf-map")).to_have_count(4, timeout=2 * SLOW_MS)  # stem, squeeze, two expands
    expect(page.locator(".sf-says tbody tr")).to_have_count(2)
    expect(page.locator(".js-plotly-plot")).to_have_count(3)
    expect(page.locator(".js-plotly-plot .heatmaplayer image")).to_be_attached()
    when = page.locator(".sf-says .sf-dim").first
    expect(when).to_have_text("after step 4 of 4")
    wait_for(page, f"({DECODED}).length === 4")
    picture(page, "tryit")

    slider = page.get_by_role("slider", name="Time step")
    slider.focus()
    page.keyboard.press("ArrowLeft")
    expect(when).to_have_text("after step 3 of 4")
    page.keyboard.press("End")
    expect(when).to_have_text("after step 4 of 4")

    page.get_by_role("button", name="Play").click()
    expect(when).to_have_text(re.compile("after step [123] of 4"))
    expect(when).to_have_text("after step 4 of 4")
    expect(page.get_by_role("button", name="Play")).to_be_visible()


def test_a_picture_from_the_disk_goes_through_the_same_networks(desk):
    page = desk
    page.get_by_text("Your picture", exact=True).click()
    files = page.locator("input[type=file]")
    files.set_input_files({"name": "zero.jpg", "mimeType": "image/jpeg", "buffer": zero()})
    expect(page.get_by_text("900×600, of which 600×600 go in")).to_be_visible()
    expect(page.locator(".sf-map")).to_have_count(4)
    seen = page.locator(".sf-seen img.small")
    before = seen.get_attribute("src")
    page.get_by_text("Take the negative").click()
    expect(seen).not_to_have_attribute("src", before)
    picture(page, "tryit-own")
    files.set_input_files({"name": "bad.png", "mimeType": "image/png", "buffer": b"\x89PNG\r\n\x1a\nnothing"})
    expect(page.get_by_text("PNG, JPEG or WebP file")).to_be_visible()
