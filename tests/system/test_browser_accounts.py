"""Several people in a browser: who signs in sees their own, may what their role may, and is out when they say so."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import httpx
import pytest
from browsing import SLOW_MS, Installation, installed, picture
from people import PASSWORD
from playwright.sync_api import Browser, Page, expect
from providers import Lab, named, provider


@pytest.fixture(scope="module")
def login() -> Iterator[Lab]:
    """A sign-in provider, on another site than the dashboard."""
    with provider("localhost") as running:
        yield running


@pytest.fixture(scope="module")
def lab(login: Lab, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Installation]:
    """One with accounts: from the first one on its dashboard asks for a name."""
    with installed(**named(login, tmp_path_factory.mktemp("provider"))) as found:
        token = (found.home / "token").read_text().strip()
        with httpx.Client(base_url=found.api, headers={"Authorization": f"Bearer {token}"}, timeout=60) as api:
            for name, role in (("ada", "admin"), ("vic", "viewer")):
                made = api.post("/api/v1/accounts", json={"name": name, "role": role, "password": PASSWORD})
                assert made.status_code == 201, made.text
        yield found


@contextmanager
def at_the_door(browser: Browser, lab: Installation, path: str) -> Iterator[Page]:
    context = browser.new_context()
    context.set_default_timeout(SLOW_MS)
    page = context.new_page()
    assert page.goto(lab.dashboard + path).status == 401
    yield page
    context.close()


def sign_in(page: Page, name: str, password: str) -> None:
    page.get_by_label("Name").fill(name)
    page.get_by_label("Password").fill(password)
    page.get_by_role("button", name="Sign in").click()


def test_who_signs_in_sees_their_own_account_and_is_out_when_they_say_so(browser: Browser, lab: Installation) -> None:
    with at_the_door(browser, lab, "/settings") as page:
        sign_in(page, "vic", "not the password")
        expect(page.get_by_role("alert")).to_have_text("There is no account with this name and this password.")
        picture(page, "door-accounts")
        sign_in(page, "vic", PASSWORD)
        page.get_by_role("tab", name="Account").click()
        expect(page.get_by_text("Signed in as vic, viewer")).to_be_visible()
        expect(page.get_by_text("Who did what")).not_to_be_attached()
        other = page.context.new_page()  # the same person's second tab
        other.goto(lab.dashboard + "/settings")
        other.get_by_role("tab", name="Account").click()
        expect(other.get_by_text("Signed in as vic, viewer")).to_be_visible()
        page.get_by_role("link", name="Sign out").click()
        expect(page.get_by_label("Password")).to_be_visible()
        assert page.goto(lab.dashboard + "/runs").status == 401
        other.reload()  # what was open has ended with it
        expect(other.get_by_label("Password")).to_be_visible()


def test_a_viewer_cannot_launch_and_an_administrator_reads_that_they_were_here(
    browser: Browser, lab: Installation
) -> None:
    with at_the_door(browser, lab, "/launch") as page:
        sign_in(page, "vic", PASSWORD)
        page.get_by_role("button", name="Launch").last.click()
        expect(page.get_by_text("This needs the scope 'submit'").first).to_be_visible()
    with at_the_door(browser, lab, "/settings") as page:
        sign_in(page, "ada", PASSWORD)
        page.get_by_role("tab", name="Account").click()
        expect(page.get_by_text("Signed in as ada, admin")).to_be_visible()
        expect(page.get_by_role("row", name="vic sign-in vic").first).to_be_visible()
        picture(page, "settings-account")


def test_who_signs_in_through_the_provider_comes_back_to_the_page_that_was_asked_for(
    browser: Browser, lab: Installation, login: Lab
) -> None:
    with at_the_door(browser, lab, "/settings") as page:
        login.denies = True
        page.get_by_role("link", name="Sign in with your organisation").click()
        expect(page.get_by_role("alert")).to_have_text("The provider did not let you in.")
        picture(page, "door-provider")
        login.denies = False
        page.get_by_role("link", name="Sign in with your organisation").click()
        page.get_by_role("tab", name="Account").click()
        expect(page.get_by_text("Signed in as ann, viewer")).to_be_visible()
        expect(page.get_by_text("Change the password")).not_to_be_attached()  # it has none
        expect(page).to_have_url(f"{lab.dashboard}/settings")
        page.go_back()
        assert "code=" not in page.url  # the address with the provider's code is in no history
        page.goto(f"{lab.dashboard}/settings")
        page.get_by_role("tab", name="Account").click()
        page.get_by_role("link", name="Sign out").click()
        expect(page.get_by_label("Password")).to_be_visible()
