"""Launch in a real browser: a network drawn and changed by keyboard, a printed row by address, a sweep to its runs."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect

pytestmark = pytest.mark.journey

ARTIFACTS = Path(__file__).parents[2] / "test-artifacts"
SLOW_MS = 90_000  # of a loaded machine with two cores
expect.set_options(timeout=SLOW_MS)


@pytest.fixture(scope="module")
def page(browser: Browser, installation) -> Iterator[Page]:
    context = browser.new_context(viewport={"width": 1440, "height": 1000})
    context.set_default_timeout(SLOW_MS)
    opened = context.new_page()
    opened.goto(installation.address)
    yield opened
    context.close()


def settled(page: Page) -> None:
    expect(page.get_by_test_id("stApp")).to_have_attribute("data-test-script-state", "notRunning")


def picture(page: Page, name: str) -> None:
    ARTIFACTS.mkdir(exist_ok=True)
    page.screenshot(path=ARTIFACTS / f"{name}.png", full_page=True)


def test_the_mask_of_another_backbone_is_drawn_and_changed_by_keyboard(page, installation):
    page.goto(f"{installation.dashboard}/launch")
    page.get_by_role("combobox", name="Backbone").click()
    page.get_by_role("option", name="ShuffleNetV2").click()
    first = page.locator(".st-key-launch_block_S2-1 input")
    expect(first).to_be_checked()
    settled(page)
    first.focus()
    page.keyboard.press("Space")
    expect(page.get_by_text("This mask gives no network.")).to_be_visible()
    expect(page.get_by_text("which needs 116 channels")).to_be_visible()
    expect(page.get_by_role("button", name="Launch")).to_be_disabled()
    settled(page)
    picture(page, "launch-impossible")
    expect(first).to_be_focused()
    page.keyboard.press("Space")
    expect(page.get_by_text("This mask gives no network.")).to_have_count(0)
    expect(first).to_be_checked()


def test_a_printed_row_opens_by_address(page, installation):
    page.goto(f"{installation.dashboard}/launch?row=table1/cifar10/SqueezeNet-P")
    expect(page.get_by_text("Printed: accuracy")).to_be_visible()
    expect(page.get_by_text("549,114").first).to_be_visible()
    expect(page.locator(".st-key-launch_block_F9 input")).to_be_checked()
    expect(page.locator(".st-key-launch_block_F2 input")).not_to_be_checked()
    settled(page)
    picture(page, "launch-row")


def test_a_sweep_says_what_it_is_before_the_click_and_leads_to_its_runs(page, installation):
    page.goto(f"{installation.dashboard}/launch")
    seeds = page.get_by_role("textbox", name="Seeds")
    expect(seeds).to_be_visible()
    settled(page)
    seeds.fill("0-1")
    seeds.press("Enter")
    expect(page.get_by_role("button", name="Launch 4 runs")).to_be_enabled()
    page.get_by_text("Override the recipe").click()
    for label, value in (("Epochs, at most", "1"), ("Training images, at most", "32")):
        field = page.get_by_role("textbox", name=label)
        field.fill(value)
        field.press("Enter")
        settled(page)
    expect(page.get_by_text("if one follows the other")).to_be_visible()
    picture(page, "launch-sweep")
    page.get_by_role("button", name="Launch 4 runs").click()
    expect(page).to_have_url(re.compile(r"/runs\?.*sweep=\w+"))
    expect(page.get_by_role("heading", name="Runs", level=1)).to_be_visible()
    settled(page)
    picture(page, "launch-sweep-runs")


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_the_longest_network_fits_a_phone(browser, installation, scheme):
    context = browser.new_context(viewport={"width": 400, "height": 850}, color_scheme=scheme)
    context.set_default_timeout(SLOW_MS)
    page = context.new_page()
    page.goto(installation.address)
    page.goto(f"{installation.dashboard}/launch?row=table1/cifar10/MixNet")
    expect(page.locator(".st-key-launch_block_X6-3 input")).to_be_attached()
    settled(page)
    picture(page, f"phone-launch-mixnet-{scheme}")
    assert page.evaluate("document.querySelector('[data-testid=stMain]').scrollWidth") <= 400
    context.close()
