"""Launch in a real browser: a network drawn and changed by keyboard, a printed row by address, a sweep to its runs."""

from __future__ import annotations

import re

from browsing import choose, picture, settled, tab, width_of
from playwright.sync_api import expect


def test_the_mask_of_another_backbone_is_drawn_and_changed_by_keyboard(page, installation):
    page.goto(f"{installation.dashboard}/launch")
    choose(page, "Backbone", page.get_by_role("option", name="ShuffleNetV2"))
    first = page.locator(".st-key-launch_block_S2-1 input")
    expect(first).to_be_checked()
    settled(page)
    first.focus()
    page.keyboard.press("Space")
    expect(page.get_by_text("This mask gives no network.", exact=True)).to_be_visible()
    expect(page.get_by_text("which needs 116 channels")).to_be_visible()
    expect(page.get_by_role("button", name="Launch")).to_be_disabled()
    settled(page)
    picture(page, "launch-impossible")
    expect(first).to_be_focused()
    page.keyboard.press("Space")
    expect(page.get_by_text("This mask gives no network.", exact=True)).to_have_count(0)
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


def test_a_bad_seed_does_not_close_the_form_of_a_sweep(page, installation):
    page.goto(f"{installation.dashboard}/launch")
    page.get_by_text("Sweep over more").click()
    name = page.get_by_text("Name of the sweep")
    expect(name).to_be_visible()
    seeds = page.get_by_role("textbox", name="Seeds")
    for text, errors in (("0-x", 1), ("0-2", 0)):
        seeds.fill(text)
        seeds.press("Enter")
        expect(page.get_by_text("Seeds must be whole numbers")).to_have_count(errors)
        settled(page)
        expect(name).to_be_visible()


def test_the_longest_network_fits_a_phone(browser, installation):
    with tab(browser, installation, "launch?row=table1/cifar10/MixNet", width=400, height=850, scheme="dark") as page:
        expect(page.locator(".st-key-launch_block_X6-3 input")).to_be_attached()
        settled(page)
        picture(page, "phone-launch-mixnet")
        assert width_of(page) <= 400
