"""An installed Chromium, started the way an unattended machine needs it; the browser tests start theirs here too."""

from __future__ import annotations

import os
import shutil
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Playwright

FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-component-update",
         "--disable-sync", "--no-first-run", "--disable-quic"]  # fmt: skip
NAMES = ("chromium", "chromium-browser", "google-chrome")


def launch(playwright: Playwright) -> Browser:
    """A headless browser. Raises FileNotFoundError with what to do where none is installed."""
    for name in (os.environ.get("SPIKEFRONT_CHROMIUM", ""), *NAMES):
        if found := shutil.which(name):
            return playwright.chromium.launch(executable_path=found, args=FLAGS)
    raise FileNotFoundError(
        "No Chromium here: install it (Debian: apt-get install chromium), or set SPIKEFRONT_CHROMIUM to its path."
    )
