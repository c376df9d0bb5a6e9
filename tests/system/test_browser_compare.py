"""Compare and Audit in a real browser: the twins by one click, another base, a printed row to the launch form, a CSV."""

from __future__ import annotations

import re
from contextlib import suppress

from browsing import choose, picture, settled
from playwright.sync_api import Page, expect

TABLE = b"model,ac_k,mac_k,energy_mj\nNet-A,16610,4470,0.0355\nNet-B,16610,4470,0.0455\n"


def test_twins_are_compared_by_one_click_and_the_base_can_be_changed(desk: Page, laboratory) -> None:
    page, snn, cnn = desk, laboratory.snn, laboratory.cnn
    page.get_by_role("link", name="Compare", exact=True).first.click()
    page.get_by_role("button", name="Compare the newest twins").click()
    expect(page).to_have_url(re.compile(rf"/compare\?runs={cnn}(,|%2C){snn}"))
    table = page.get_by_role("region", name="Figures of the compared runs")
    expect(table.get_by_role("row").nth(1)).to_contain_text("A · CNN-SqueezeNet")
    expect(page.locator(".js-plotly-plot .scatterlayer .points path").nth(8)).to_be_attached()
    expect(page.get_by_role("heading", name="Images gained and lost")).to_be_visible()
    settled(page)
    picture(page, "compare")
    twins = page.get_by_role("region", name="Spiking networks and their CNN twins")
    starts = "cells => cells.map(cell => getComputedStyle(cell).textAlign)"  # a title stands over its column
    assert set(twins.locator("th, td").evaluate_all(starts)) == {"left"}

    choose(page, "Held against (A)", page.get_by_role("option").filter(has_text="SNN-SqueezeNet"))
    expect(page).to_have_url(re.compile(rf"/compare\?runs={snn}(,|%2C){cnn}"))
    expect(table.get_by_role("row").nth(1)).to_contain_text("A · SNN-SqueezeNet")
    page.get_by_text("For a paper: LaTeX and CSV").click()
    expect(page.get_by_test_id("stCode").filter(has_text=r"\begin{tabular}")).to_be_visible()
    page.reload()  # the address keeps the comparison
    expect(table.get_by_role("row").nth(1)).to_contain_text("A · SNN-SqueezeNet")


def test_a_contradiction_shows_its_arithmetic_by_the_keyboard_and_leads_to_the_launch_form(desk: Page) -> None:
    page = desk
    page.get_by_role("link", name="Audit", exact=True).first.click()
    page.get_by_test_id("stButtonGroup").get_by_text("contradicted").click()
    card = page.get_by_role("region", name="Figures of SqueezeNet-P, table1/cifar10/SqueezeNet-P", exact=True)
    verdict = card.get_by_role("row").filter(has_text="Parameters").locator("summary")
    expect(verdict).to_contain_text("contradicted")
    settled(page)
    words = card.get_by_text("549,114, which does not round to 599,100")
    expect(words).to_be_hidden()
    for _ in range(3):  # a redraw that comes late closes what was opened
        verdict.focus()
        page.keyboard.press("Enter")
        with suppress(AssertionError):
            expect(words).to_be_visible(timeout=5_000)
            break
    expect(words).to_be_visible()
    picture(page, "audit")
    page.get_by_role("link", name="Reproduce this row").first.click()
    expect(page).to_have_url(re.compile(r"/launch\?row=table1%2Fcifar10%2F"))
    expect(page.get_by_role("heading", name="Launch", level=1)).to_be_visible()


def test_a_table_of_another_paper_is_brought(desk: Page) -> None:
    page = desk
    page.get_by_role("link", name="Audit", exact=True).first.click()
    page.get_by_text("A table of yours").click()
    chooser = page.get_by_test_id("stFileUploaderDropzoneInput")
    chooser.set_input_files({"name": "other.csv", "mimeType": "text/csv", "buffer": TABLE})
    card = page.get_by_role("region", name=re.compile("Figures of Net-B"))
    expect(card.locator("summary")).to_contain_text("contradicted")
    settled(page)
    picture(page, "audit-own")
