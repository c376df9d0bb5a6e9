"""What the tests of the whole stack share: an installation of its own, runs trained in it, tabs and screenshots."""

from __future__ import annotations

import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import httpx
from playwright.sync_api import Browser, Page, expect

#: Screenshots of what the browser tests saw; git ignores the folder.
ARTIFACTS = Path(__file__).parents[2] / "test-artifacts"
SLOW_MS = 90_000  # of a loaded machine with two cores
TALLEST = 6_000  # pixels of a screenshot
expect.set_options(timeout=SLOW_MS)


@dataclass(frozen=True, kw_only=True)
class Installation:
    """`address` is what `spikefront up` printed, key and all."""

    address: str
    dashboard: str
    api: str
    home: Path

    def client(self) -> httpx.Client:
        """The owner's way to the API."""
        token = (self.home / "token").read_text().strip()
        headers = {"Authorization": f"Bearer {token}"}
        return httpx.Client(base_url=f"{self.api}/api/v1", headers=headers, timeout=60)

    def train(self, *kinds: str, epochs: int = 1, images: int = 96) -> list[str]:
        """Ids of F9 alone on digits, one run a kind, trained by the installation's own worker."""
        overrides = {"training.max_epochs": epochs, "training.train_limit": images}
        tiny = {"mask": ["F9"], "dataset": "digits", "recipe": "smoke", "overrides": overrides}
        with self.client() as client:
            made = [client.post("/runs", json={**tiny, "kind": kind}).raise_for_status() for kind in kinds]
            runs = [answer.json()["id"] for answer in made]
            end = time.monotonic() + 360
            while states := {client.get(f"/runs/{run}").json()["state"] for run in runs} - {"succeeded"}:
                assert "failed" not in states and time.monotonic() < end, states
                time.sleep(0.5)
        return runs


@dataclass(frozen=True, kw_only=True)
class Laboratory(Installation):
    """An installation with a trained spiking network and its CNN twin. Tests leave its runs as they are."""

    snn: str
    cnn: str


@contextmanager
def installed() -> Iterator[Installation]:
    """`spikefront up --no-demo` in an empty folder and on free ports, stopped as by Ctrl-C."""
    folder = Path(tempfile.mkdtemp(prefix="sf-browser-"))  # short: the broker's socket lies below it
    home, output = folder / "home", folder / "output"
    api_port, dashboard_port = _free_ports(2)
    clean = {name: value for name, value in os.environ.items() if not name.startswith(("SPIKEFRONT_", "STREAMLIT_"))}
    ports = {"SPIKEFRONT_API_PORT": str(api_port), "SPIKEFRONT_DASHBOARD_PORT": str(dashboard_port)}
    with output.open("wb") as file:
        process = subprocess.Popen(
            [sys.executable, "-m", "core.cli", "up", "--no-demo"],
            stdout=file,
            stderr=file,
            start_new_session=True,
            env={**clean, **ports, "SPIKEFRONT_HOME": str(home), "OMP_NUM_THREADS": "1"},
        )
    try:
        end = time.monotonic() + 120
        while not (found := re.search(r"The dashboard is at\s+(\S+)", output.read_text())):
            assert process.poll() is None and time.monotonic() < end, output.read_text()
            time.sleep(0.2)
        yield Installation(
            address=found[1],
            dashboard=f"http://127.0.0.1:{dashboard_port}",
            api=f"http://127.0.0.1:{api_port}",
            home=home,
        )
    finally:
        process.send_signal(signal.SIGINT)
        try:
            assert process.wait(timeout=30) == 0, output.read_text()
        finally:
            logs = ARTIFACTS / "logs"
            shutil.rmtree(logs, ignore_errors=True)
            shutil.copytree(home / "logs", logs, dirs_exist_ok=True)
            shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def tab(
    browser: Browser,
    installation: Installation,
    path: str = "",
    *,
    width: int = 1440,
    height: int = 1000,
    scheme: Literal["light", "dark"] = "light",
) -> Iterator[Page]:
    """A fresh profile that the owner's address has let in, at a page of the dashboard."""
    size = {"width": width, "height": height}
    context = browser.new_context(viewport=size, color_scheme=scheme)
    try:
        context.set_default_timeout(SLOW_MS)
        page = context.new_page()
        page.goto(installation.address)
        if path:
            page.goto(f"{installation.dashboard}/{path}")
        yield page
    finally:
        context.close()


def picture(page: Page, name: str) -> None:
    """A screenshot of the whole page in ARTIFACTS. Streamlit scrolls inside the window, so the window grows first."""
    ARTIFACTS.mkdir(exist_ok=True)
    size = page.viewport_size
    tall = page.evaluate("document.querySelector('[data-testid=stMain]')?.scrollHeight ?? 0")
    page.set_viewport_size({**size, "height": min(max(size["height"], tall), TALLEST)})
    page.wait_for_timeout(200)  # charts follow their boxes a moment later
    page.screenshot(path=ARTIFACTS / f"{name}.png", full_page=True)
    page.set_viewport_size(size)


def settled(page: Page) -> None:
    """Streamlit has run its script to the end."""
    expect(page.get_by_test_id("stApp")).to_have_attribute("data-test-script-state", "notRunning")


def width_of(page: Page) -> int:
    """Of the page's content: more than the window's where something sticks out."""
    return page.evaluate("document.querySelector('[data-testid=stMain]').scrollWidth")


def _free_ports(count: int) -> list[int]:
    listeners = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    try:
        return [listener.getsockname()[1] for listener in listeners]
    finally:
        for listener in listeners:
            listener.close()
