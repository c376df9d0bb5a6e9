"""The way through the page Runs in a real browser: a sweep, many at once, the way back, marks, cancel."""

from __future__ import annotations

import re
from collections.abc import Iterator

import httpx
import pytest
from browsing import SLOW_MS, picture, settled, tab, width_of
from playwright.sync_api import Page, expect


@pytest.fixture(scope="module")
def client(installation) -> Iterator[httpx.Client]:
    with installation.client() as opened:
        yield opened


def row(page: Page, run_id: str):
    return page.locator(f".st-key-run_row_{run_id}")


def test_from_a_sweep_to_its_groups_and_from_deletion_back(page, client, installation):
    base = {
        "dataset": "digits",
        "recipe": "smoke",
        "mask": ["F9"],
        "overrides": {"training.max_epochs": 1, "training.train_limit": 32},
    }
    made = client.post("/sweeps", json={"name": "two seeds", "base": base, "axes": {"seed": [0, 1]}})
    assert made.status_code == 201
    page.goto(f"{installation.dashboard}/runs?show=sweeps&as=cards")
    expect(page.get_by_text("two seeds")).to_be_visible()
    page.get_by_role("button", name="Open", exact=True).click()
    groups = page.get_by_role("region", name="Groups of the sweep")
    expect(groups).to_contain_text("2 of 2", timeout=2 * SLOW_MS)  # trained, and drawn without a click
    expect(groups).to_contain_text("±")
    expect(page).to_have_url(re.compile(r"/runs\?sweep=\w+&as=cards$"))
    picture(page, "runs-sweep")

    first, second = (run["id"] for run in client.get("/runs").json()["items"])
    for count, run_id in enumerate((first, second), start=1):
        row(page, run_id).get_by_test_id("stCheckbox").locator("label").click()
        expect(page.get_by_text(f"{count} chosen")).to_be_visible()
    page.get_by_role("button", name="Delete", exact=True).click()
    expect(page.get_by_text("2 runs deleted.")).to_be_visible()
    expect(row(page, first)).to_have_count(0)
    picture(page, "runs-deleted")
    page.get_by_role("button", name="Undo").click()
    expect(page.get_by_text("2 runs back.")).to_be_visible()
    expect(row(page, first)).to_be_visible()

    row(page, first).get_by_role("button", name="More").click()
    dialog = page.get_by_role("dialog")
    note = dialog.get_by_role("textbox", name="Note")
    note.fill("the better of the two")
    dialog.get_by_role("button", name="Save").click()
    expect(dialog).to_have_count(0)
    expect(row(page, first)).to_contain_text("the better of the two")
    page.reload()  # the address keeps what is shown
    expect(page.get_by_text("2 runs, newest first")).to_be_visible()


def test_a_run_says_asked_to_stop_and_then_stopped_in_both_of_two_tabs(page, client, installation):
    long = {"dataset": "digits", "recipe": "smoke", "mask": ["F9"], "overrides": {"training.max_epochs": 1000}}
    run_id = client.post("/runs", json=long).json()["id"]
    other = page.context.new_page()
    for view in (page, other):
        view.goto(f"{installation.dashboard}/runs?as=cards")
        expect(row(view, run_id)).to_contain_text("running")
    expect(page.locator(".st-key-runs_queue")).to_contain_text(re.compile(r"Epoch \d+ of at most 1000"))
    picture(page, "runs-queue")
    name = other.locator(f".st-key-run_row_{run_id}").get_by_test_id("stCaptionContainer").first
    name.evaluate("element => { element.dataset.mine = 'yes' }")
    for _ in range(2):  # its bar moves, and the row around it is not drawn again
        said = row(other, run_id).get_by_test_id("stProgress").inner_text()
        # sooner than the list is drawn again for its age, which would move the bar as well
        expect(row(other, run_id).get_by_test_id("stProgress")).not_to_have_text(said, timeout=20_000)
    expect(name).to_have_attribute("data-mine", "yes")
    row(page, run_id).get_by_role("button", name="Cancel").click()
    for view in (page, other):
        expect(row(view, run_id)).to_contain_text("stopped")
    expect(page.locator(".st-key-runs_queue")).to_contain_text("nothing waits")
    other.close()


def test_runs_and_settings_fit_a_phone(browser, installation, page):
    with tab(browser, installation, width=400, height=850, scheme="dark") as phone:
        for name, address in (("runs", "runs"), ("sweeps", "runs?show=sweeps"), ("bin", "runs?show=bin")):
            phone.goto(f"{installation.dashboard}/{address}")
            expect(phone.get_by_role("radio", checked=True).first).to_be_visible()
            settled(phone)
            picture(phone, f"phone-{name}")
            assert width_of(phone) <= 400, name
        phone.goto(f"{installation.dashboard}/settings")
        for name in ("Energy", "Data sets", "This installation", "API"):
            phone.get_by_role("tab", name=name).click()
            settled(phone)
            assert width_of(phone) <= 400, name
            picture(phone, f"phone-settings-{name.split()[-1].lower()}")
