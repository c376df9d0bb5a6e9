"""Whole installations on ports of their own, and a browser to look at them."""

from __future__ import annotations

import re
from collections.abc import Generator, Iterator

import pytest
from browsing import Installation, Laboratory, installed, keep_sight, tab
from playwright.sync_api import Browser, Page, sync_playwright

from benchmarks import chromium


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """A test that fails leaves a sight of every tab that is open."""
    report = yield
    if report.failed and (browser := getattr(item, "funcargs", {}).get("browser")):
        for page in [page for context in browser.contexts for page in context.pages]:
            keep_sight(page, re.sub(r"\W+", "-", item.name))
    return report


@pytest.fixture(scope="session")
def house() -> Iterator[Installation]:
    """The one that all tests of a process use."""
    with installed() as found:
        yield found


@pytest.fixture(scope="session")
def trained(house: Installation) -> Laboratory:
    snn, cnn = house.train("snn", "cnn", epochs=2, images=128)
    laboratory = Laboratory(**vars(house), snn=snn, cnn=cnn)
    laboratory.put_away()
    return laboratory


@pytest.fixture(scope="module")
def installation(house: Installation) -> Iterator[Installation]:
    """An empty one, and emptied again at the end of the file."""
    yield house
    house.empty()


@pytest.fixture(scope="module")
def laboratory(trained: Laboratory) -> Iterator[Laboratory]:
    """One with trained twins and nothing else, for all tests that only look at them."""
    trained.fetch()
    yield trained
    trained.put_away()
    trained.empty()


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    """An installed Chromium; its absence is a failure, since a test not run proves nothing."""
    with sync_playwright() as playwright:
        try:
            launched = chromium.launch(playwright)
        except FileNotFoundError as error:
            pytest.fail(f"{error} `make test` installs it when it is root on Debian.")
        yield launched
        launched.close()


@pytest.fixture(scope="module")
def page(browser: Browser, installation: Installation) -> Iterator[Page]:
    """The owner's tab on the empty installation, kept from test to test as a person keeps theirs."""
    with tab(browser, installation) as opened:
        yield opened


@pytest.fixture(scope="module")
def desk(browser: Browser, laboratory: Laboratory) -> Iterator[Page]:
    """The owner's tab on the laboratory."""
    with tab(browser, laboratory) as opened:
        yield opened
