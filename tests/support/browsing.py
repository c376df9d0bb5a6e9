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
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Literal

import httpx
from playwright.sync_api import Browser, BrowserContext, Error, Locator, Page, expect
from playwright.sync_api import TimeoutError as TimedOut

#: Screenshots of what the browser tests saw; git ignores the folder.
ARTIFACTS = Path(__file__).parents[2] / "test-artifacts"
#: Whether `picture` makes any: a third of what a page costs goes into drawing it as tall as it is and back.
PICTURES = bool(os.environ.get("PICTURES"))
SLOW_MS = 90_000  # of a loaded machine with two cores
TALLEST = 6_000  # pixels of a screenshot
expect.set_options(timeout=SLOW_MS)
#: Not 0: whoever waits for the end of a motion is told of it.
STILL = (
    "*, *::before, *::after { transition-duration: .01ms !important; animation-duration: .01ms !important; "
    "animation-iteration-count: 1 !important; }"
)


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

    def empty(self) -> None:
        """Take every run out for good, but for what lies in the bin, and all sweeps, links and views."""
        running = [run["id"] for run in self._all("/runs") if not run["finished_at"]]
        self._bulk("cancel", running, but_for="state-conflict")  # of one that has ended by now
        end = time.monotonic() + 60
        while not all(run["finished_at"] for run in self._all("/runs")):
            assert time.monotonic() < end, "a cancelled run does not end"
            time.sleep(0.2)
        runs = [run["id"] for run in self._all("/runs")]
        for action in ("delete", "purge"):
            self._bulk(action, runs)
        with self.client() as client:
            for many in ("/sweeps", "/shares", "/views"):
                for one in self._all(many):
                    client.delete(f"{many}/{one['id']}").raise_for_status()

    def _all(self, many: str) -> list[dict[str, Any]]:
        with self.client() as client:
            found = client.get(many).raise_for_status().json()
        assert not found.get("next_cursor"), f"more {many} than one page holds"
        return found["items"]

    def _bulk(self, action: str, runs: list[str], *, but_for: str | None = None) -> None:
        if not runs:
            return
        with self.client() as client:
            answers = client.post("/runs/bulk", json={"action": action, "ids": runs}).raise_for_status().json()["items"]
        assert all(answer["ok"] or answer["problem"]["code"] == but_for for answer in answers), answers


@dataclass(frozen=True, kw_only=True)
class Laboratory(Installation):
    """An installation with a trained spiking network and its CNN twin. Tests leave its runs as they are."""

    snn: str
    cnn: str

    def put_away(self) -> None:
        """Into the bin, where no page but that one's shows them."""
        self._bulk("delete", [self.snn, self.cnn])

    def fetch(self) -> None:
        self._bulk("restore", [self.snn, self.cnn])


@contextmanager
def installed(**settings: str) -> Iterator[Installation]:
    """`spikefront up --no-demo --no-gallery` in an empty folder and on free ports, stopped as by `kill`. `settings` are
    variables beside those."""
    folder = Path(tempfile.mkdtemp(prefix="sf-browser-"))  # short: the broker's socket lies below it
    home, output = folder / "home", folder / "output"
    api_port, dashboard_port = _free_ports(2)
    clean = {name: value for name, value in os.environ.items() if not name.startswith(("SPIKEFRONT_", "STREAMLIT_"))}
    ports = {"SPIKEFRONT_API_PORT": str(api_port), "SPIKEFRONT_DASHBOARD_PORT": str(dashboard_port)}
    with output.open("wb") as file:
        process = subprocess.Popen(
            [sys.executable, "-m", "core.cli", "up", "--no-demo", "--no-gallery"],
            stdout=file,
            stderr=file,
            start_new_session=True,
            env={
                **clean,
                **ports,
                "SPIKEFRONT_HOME": str(home),
                "OMP_NUM_THREADS": "1",
                "SPIKEFRONT_MEASURE": "off",
                "SPIKEFRONT_RECOUNT": "off",
                **settings,
            },
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
        process.send_signal(signal.SIGTERM)
        try:
            assert process.wait(timeout=30) == 0, output.read_text()
        finally:
            logs = ARTIFACTS / "logs"
            shutil.rmtree(logs, ignore_errors=True)
            shutil.copytree(home / "logs", logs, dirs_exist_ok=True)
            shutil.rmtree(folder, ignore_errors=True)


@cache
def _profile(browser: Browser) -> BrowserContext:
    """The owner's, for all tabs of a test process: its cache holds the dashboard's scripts, as read and compiled."""
    return still(browser.new_context())


def still(context: BrowserContext) -> BrowserContext:
    """Its pages move nothing: to draw the pulse of placeholders sixty times a second costs more than the pages do."""
    context.add_init_script(f"""document.addEventListener('DOMContentLoaded', () => {{
        const style = document.createElement('style');
        style.textContent = {STILL!r};
        document.head.append(style);
    }})""")
    return context


@contextmanager
def tab(
    browser: Browser,
    installation: Installation,
    path: str = "",
    *,
    width: int = 1440,
    height: int = 1000,
    scheme: Literal["light", "dark"] = "light",
    touch: bool = False,
) -> Iterator[Page]:
    """A tab at a page of the dashboard, in a profile that the owner's address has let in. A screen that is touched
    has a profile of its own."""
    size = {"width": width, "height": height}
    if touch:
        context = still(browser.new_context(viewport=size, has_touch=True, is_mobile=True))
    else:
        context = _profile(browser)
    context.set_default_timeout(SLOW_MS)
    page = context.new_page()
    try:
        page.set_viewport_size(size)
        page.emulate_media(color_scheme=scheme)
        # Whoever acts while the script still runs may hit a box that its end puts anew, and such a click is lost.
        page.add_locator_handler(page.locator("[data-test-script-state=running]"), lambda _: None)
        context.request.get(installation.address)  # takes the cookie, and draws nothing
        page.goto(f"{installation.dashboard}/{path}")
        yield page
    except Exception:
        keep_sight(page, "tab")
        raise
    finally:
        context.close() if touch else page.close()


def picture(page: Page, name: str) -> None:
    """Where PICTURES are wanted, a screenshot of the whole page in ARTIFACTS. Streamlit scrolls inside the window, so
    the window grows first."""
    if not PICTURES:
        return
    ARTIFACTS.mkdir(exist_ok=True)
    size = page.viewport_size
    tall = page.evaluate("document.querySelector('[data-testid=stMain]')?.scrollHeight ?? 0")
    page.set_viewport_size({**size, "height": min(max(size["height"], tall), TALLEST)})
    page.wait_for_timeout(200)  # charts follow their boxes a moment later
    page.screenshot(path=ARTIFACTS / f"{name}.png", full_page=True)
    page.set_viewport_size(size)


def keep_sight(page: Page, name: str) -> None:
    """What was in the window when a test failed, in ARTIFACTS."""
    ARTIFACTS.mkdir(exist_ok=True)
    with suppress(Error):  # of a page that hangs, or is gone
        page.screenshot(path=ARTIFACTS / f"failed-{name}-{time.time_ns()}.png", timeout=10_000)


def wait_for(page: Page, true: str, arg: object = None) -> None:
    """Until this JavaScript holds, asked five times a second. By itself Playwright asks at every frame, which has
    every frame drawn."""
    page.wait_for_function(true, arg=arg, polling=200)


def settled(page: Page) -> None:
    """Streamlit has run its script to the end."""
    expect(page.get_by_test_id("stApp")).to_have_attribute("data-test-script-state", "notRunning")


def choose(page: Page, box: str, option: Locator) -> None:
    """Take an option of a select box; a list that opens while the page is still being drawn may be shut by that."""
    end = time.monotonic() + SLOW_MS / 1000
    while True:
        settled(page)
        page.get_by_role("combobox", name=box).click()
        try:
            option.click(timeout=SLOW_MS / 9)
            return
        except TimedOut:
            assert time.monotonic() < end, f"{box} does not open"
            page.keyboard.press("Escape")


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
