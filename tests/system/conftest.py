"""Whole installations on ports of their own, and a browser to look at them."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from browsing import Installation, Laboratory, installed, tab
from playwright.sync_api import Browser, Page, sync_playwright

from benchmarks import chromium


@pytest.fixture(scope="module")
def installation() -> Iterator[Installation]:
    """An empty one."""
    with installed() as found:
        yield found


@pytest.fixture(scope="session")
def laboratory() -> Iterator[Laboratory]:
    """One with trained twins, for all tests that only look at them."""
    with installed() as found:
        snn, cnn = found.train("snn", "cnn", epochs=2)
        yield Laboratory(**vars(found), snn=snn, cnn=cnn)


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
