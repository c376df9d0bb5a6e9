"""The way of a researcher through the whole stack, in a real browser: launch, watch, see, share, refuse."""

from __future__ import annotations

import re
from collections.abc import Iterator

import httpx
import pytest
from browsing import SLOW_MS, choose, picture, settled, still, tab
from playwright.sync_api import Browser, Page, expect

DRAWN = ".js-plotly-plot :is(.scatterlayer .points path, .scatterlayer path.js-line, .barlayer .point path, .heatmaplayer image)"


@pytest.fixture(scope="module")
def page(browser: Browser, installation) -> Iterator[Page]:
    """The owner's tab, opened by the printed address; it is kept, as a person keeps theirs."""
    outside: list[str] = []
    with tab(browser, installation) as opened:
        opened.on("request", lambda asked: None if _inside(asked.url, installation) else outside.append(asked.url))
        opened.goto(installation.address)
        yield opened
    assert outside == [], "the dashboard asked another site"


def _inside(url: str, installation) -> bool:
    return url.startswith((installation.dashboard, installation.api, "data:", "blob:", "about:"))


def go(page: Page, name: str) -> None:
    page.get_by_role("link", name=name, exact=True).first.click()
    expect(page.get_by_role("heading", name=name, level=1)).to_be_visible()


def mark(page: Page, *, at_least: int) -> None:
    """The charts on the page are not blank: so many marks, lines, bars or images are drawn."""
    expect(page.locator(DRAWN).nth(at_least - 1)).to_be_attached()


def choose_tiny(page: Page, *, epochs: int, images: int) -> None:
    """F9 alone, by clicking modules; few epochs and images, by overriding the recipe."""
    for block in ("F4", "F6", "F8"):
        page.locator(f".st-key-launch_block_{block} label").click()
        expect(page.locator(f".st-key-launch_block_{block} input")).not_to_be_checked()
        settled(page)
    page.get_by_text("Override the recipe").click()
    for label, value in (("Epochs, at most", epochs), ("Training images, at most", images)):
        field = page.get_by_label(label, exact=True)
        field.fill(str(value))
        field.press("Enter")
        settled(page)


def test_the_dashboard_lets_nobody_in_without_the_key(browser, installation):
    context = still(browser.new_context())
    page = context.new_page()
    answer = page.goto(f"{installation.dashboard}/run?run=1")
    assert answer.status == 401
    picture(page, "door")
    page.get_by_label("Key").fill("wrong")
    page.get_by_role("button", name="Open").click()
    expect(page.get_by_role("alert")).to_have_text("That key does not fit.")
    page.get_by_label("Key").fill((installation.home / "token").read_text().strip())
    page.get_by_role("button", name="Open").click()
    expect(page.get_by_role("heading", level=1)).to_be_visible()
    assert page.url == f"{installation.dashboard}/run?run=1", "the key leads where the visitor wanted to go"
    assert all(cookie["httpOnly"] for cookie in context.cookies() if cookie["name"].startswith("spikefront"))
    context.close()


def test_from_launch_to_results_to_a_share_that_opens_alone(page, browser, installation):
    assert "key=" not in page.url
    expect(page.get_by_text("No run of yours has finished")).to_be_visible()
    mark(page, at_least=10)  # the printed points
    picture(page, "explore-first")

    go(page, "Launch")
    expect(page.get_by_text("549,114").first).to_be_visible()  # SqueezeNet-P, by arithmetic
    mark(page, at_least=14)  # a bar a layer
    picture(page, "launch")
    choose_tiny(page, epochs=2, images=96)
    launch = page.get_by_role("button", name="Launch 2 runs")
    expect(launch).to_be_enabled()
    launch.dblclick()  # twice on purpose

    expect(page).to_have_url(re.compile(r"/run\?run=\w+"))
    expect(page.get_by_role("heading", name=re.compile("SNN-SqueezeNet"), level=1)).to_be_visible()
    run_url = page.url
    picture(page, "run-live")
    expect(page.locator(".sf-state", has_text="succeeded")).to_be_visible(timeout=2 * SLOW_MS)
    expect(page.get_by_text("Confusion examples")).to_be_visible()
    mark(page, at_least=4)  # the curves of loss and accuracy

    go(page, "Runs")
    page.get_by_text("Cards", exact=True).click()
    expect(page.get_by_text("2 runs, newest first")).to_be_visible()  # two, though the button was clicked twice
    expect(page.locator(".sf-state", has_text="succeeded")).to_have_count(2, timeout=2 * SLOW_MS)
    picture(page, "runs")

    page.goto(run_url)  # a reload keeps the run
    expect(page.get_by_text("CNN twin: succeeded")).to_be_visible()
    expect(page.locator(".sf-answer .net", has_text="CNN").first).to_be_visible()
    expect(page.get_by_test_id("stMetricValue").first).to_contain_text("%")
    energy = page.get_by_test_id("stMetric").filter(has_text="Energy").get_by_test_id("stMetricValue")
    before = energy.inner_text()
    choose(page, "Accounting mode", page.get_by_role("option").filter(has_not_text="Exact").first)
    expect(energy).not_to_have_text(before)  # re-priced, nothing trained again
    settled(page)
    picture(page, "run")

    page.get_by_test_id("stPopover").get_by_role("button", name="Share").click()
    page.get_by_role("button", name="Make a link").click()
    link = page.get_by_test_id("stCode").filter(has_text="/s/").first
    expect(link).to_be_visible()
    share_url = link.inner_text().strip()

    go(page, "Explore")
    settled(page)
    own = page.locator(".scatterlayer .trace .points path").first
    expect(own).to_be_visible()
    picture(page, "explore")
    table = page.get_by_test_id("stDataFrame")
    expect(table).to_be_visible()
    own.scroll_into_view_if_needed()
    box = own.bounding_box()
    page.mouse.click(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
    chosen = page.locator(".st-key-explore_chosen")  # a click gathers runs for Compare, and the newest can be opened
    expect(chosen.get_by_text("1 run chosen")).to_be_visible()
    chosen.get_by_role("link").first.click()
    expect(page).to_have_url(re.compile(r"/run\?run=\w+"))

    stranger(browser, installation, share_url)

    go(page, "Shares")
    expect(page.get_by_text(re.compile(r"opened [1-9]\d* time")).first).to_be_visible()
    page.get_by_role("button", name="Withdraw").first.click()
    page.get_by_role("button", name="Withdraw for good").click()
    expect(page.get_by_text("The link is withdrawn.")).to_be_visible()
    assert httpx.get(share_url).status_code in (404, 410)


def stranger(browser: Browser, installation, share_url: str) -> None:
    """A fresh profile with the link alone: an interactive page, and nothing else within reach."""
    context = browser.new_context(viewport={"width": 400, "height": 850}, color_scheme="dark")
    context.set_default_timeout(SLOW_MS)
    page = context.new_page()
    outside: list[str] = []
    ours = (installation.api, "data:", "blob:")
    page.on("request", lambda request: None if request.url.startswith(ours) else outside.append(request.url))
    assert page.goto(share_url).status == 200
    charts = page.locator(".plot[data-chart]")
    for place in range(charts.count()):  # they are drawn when they come near the screen
        charts.nth(place).scroll_into_view_if_needed()
        expect(charts.nth(place).locator("svg").first).to_be_attached()
    mark(page, at_least=10)
    picture(page, "share-phone")
    assert page.evaluate("document.documentElement.scrollWidth") <= 400, "it fits a phone"
    assert outside == []
    assert context.cookies() == []
    token = share_url.rsplit("/", 1)[1]
    for path in ("/api/v1/runs", "/api/v1/shares", "/api/v1/catalog"):
        assert page.request.get(installation.api + path, headers={"Authorization": f"Bearer {token}"}).status == 401
    assert page.request.get(f"{installation.dashboard}/").status == 401
    context.close()


def test_a_running_run_is_stopped_from_its_page(page, installation):
    page.goto(f"{installation.dashboard}/launch")
    expect(page.get_by_text("549,114").first).to_be_visible()
    page.get_by_test_id("stButtonGroup").get_by_text("SNN", exact=True).click()
    settled(page)
    page.get_by_text("Override the recipe").click()
    epochs = page.get_by_label("Epochs, at most", exact=True)
    epochs.fill("40")  # long enough not to end by itself, short enough to be asked about nothing on a busy machine
    epochs.press("Enter")
    settled(page)
    page.get_by_role("button", name="Launch", exact=True).click()
    expect(page).to_have_url(re.compile(r"/run\?run=\w+"))
    expect(page.get_by_text(re.compile("Epoch 1 of at most 40"))).to_be_visible()
    picture(page, "run-training")
    page.get_by_role("button", name="Cancel").click()
    expect(page.get_by_text("The run was stopped").first).to_be_visible()
    expect(page.locator(".sf-state")).to_contain_text("stopped")
    picture(page, "run-stopped")


def test_a_module_answers_to_the_keyboard(page, installation):
    page.goto(f"{installation.dashboard}/launch")
    box = page.locator(".st-key-launch_block_F5 input")
    expect(box).to_be_attached()
    settled(page)
    was = box.is_checked()
    box.focus()
    page.keyboard.press("Space")
    expect(box).to_be_checked(checked=not was)
