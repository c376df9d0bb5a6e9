"""Ways through the dashboard: the Back button, a finger on a phone, the tabs of a narrow window."""

from __future__ import annotations

import re

from browsing import settled, tab, wait_for
from playwright.sync_api import Browser, Page, expect


def test_back_leaves_a_page_at_one_press_whatever_was_chosen_on_it(desk: Page, laboratory) -> None:
    desk.goto(f"{laboratory.dashboard}/audit")
    settled(desk)
    desk.get_by_role("link", name="Runs", exact=True).first.click()
    for state in ("succeeded", "stopped"):
        desk.get_by_role("button", name=state, exact=True).or_(desk.get_by_text(state, exact=True)).first.click()
        expect(desk).to_have_url(re.compile(f"state={state}"))
    settled(desk)
    desk.get_by_role("link", name="Shares", exact=True).first.click()
    expect(desk.get_by_role("heading", name="Shares", level=1)).to_be_visible()
    desk.go_back()
    expect(desk).to_have_url(re.compile("/runs.*state=stopped"))
    expect(desk.get_by_role("heading", name="Runs", level=1)).to_be_visible()
    desk.go_back()
    expect(desk).to_have_url(re.compile("/audit"))
    desk.goto(f"{laboratory.dashboard}/runs?state=succeeded")  # for those who come after
    settled(desk)


def test_on_a_phone_a_swipe_over_a_chart_scrolls_and_the_open_section_is_in_sight(browser: Browser, laboratory) -> None:
    with tab(browser, laboratory, width=400, height=850, touch=True) as phone:
        phone.goto(f"{laboratory.dashboard}/run?run={laboratory.snn}&section=Files")
        settled(phone)
        box = phone.get_by_role("tab", name="Files").bounding_box()
        assert 0 <= box["x"] and box["x"] + box["width"] <= 400

        phone.goto(f"{laboratory.dashboard}/run?run={laboratory.snn}&section=Energy")
        chart = phone.locator(".js-plotly-plot").first
        expect(chart.locator(".barlayer")).to_be_attached()
        settled(phone)
        chart.scroll_into_view_if_needed()
        range_before, top_before = (phone.evaluate(what) for what in (RANGE, TOP))
        box = chart.bounding_box()
        swipe(phone, x=200, y=min(box["y"] + box["height"] / 2, 800), up=250)
        wait_for(phone, f"before => {TOP} > before + 100", arg=top_before)
        assert phone.evaluate(RANGE) == range_before


def test_the_bar_of_a_table_stands_on_no_words_where_nothing_hovers(browser: Browser, laboratory) -> None:
    """It shows itself under a mouse alone; on a touch screen it is always there."""
    with tab(browser, laboratory, "runs", width=800, height=1000, touch=True) as tablet:
        bar = tablet.get_by_test_id("stElementToolbar")
        expect(bar).to_be_visible()
        settled(tablet)
        words = tablet.get_by_text("Choose rows to act on them").bounding_box()
        assert bar.bounding_box()["y"] >= words["y"] + words["height"]


TOP = "document.querySelector('[data-testid=stMain]').scrollTop"
RANGE = "document.querySelector('.js-plotly-plot').layout.yaxis.range"


def swipe(page: Page, *, x: float, y: float, up: float) -> None:
    """One finger, moved over the screen in ten steps."""
    fingers = page.context.new_cdp_session(page)
    fingers.send("Input.dispatchTouchEvent", {"type": "touchStart", "touchPoints": [{"x": x, "y": y}]})
    for step in range(1, 11):
        place = {"x": x, "y": y - up * step / 10}
        fingers.send("Input.dispatchTouchEvent", {"type": "touchMove", "touchPoints": [place]})
    fingers.send("Input.dispatchTouchEvent", {"type": "touchEnd", "touchPoints": []})
