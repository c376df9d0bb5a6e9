"""A whole installation on ports of its own, and a browser to look at it."""

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
from dataclasses import dataclass
from pathlib import Path

import pytest
from playwright.sync_api import Browser, sync_playwright

#: Screenshots of what the browser tests saw; git ignores the folder.
ARTIFACTS = Path(__file__).parents[2] / "test-artifacts"
FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-component-update",
         "--disable-sync", "--no-first-run", "--disable-quic"]  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class Installation:
    """`address` is what `spikefront up` printed, key and all."""

    address: str
    dashboard: str
    api: str
    home: Path


@pytest.fixture(scope="module")
def installation() -> Iterator[Installation]:
    """`spikefront up --no-demo` in an empty folder, stopped as by Ctrl-C."""
    folder = Path(tempfile.mkdtemp(prefix="sf-browser-"))  # short: the broker's socket lies below it
    home, output = folder / "home", folder / "output"
    api_port, dashboard_port = _free_ports(2)
    clean = {name: value for name, value in os.environ.items() if not name.startswith(("SPIKEFRONT_", "STREAMLIT_"))}
    ports = {"SPIKEFRONT_API_PORT": str(api_port), "SPIKEFRONT_DASHBOARD_PORT": str(dashboard_port)}
    with output.open("wb") as file:
        process = subprocess.Popen(
            [sys.executable, "-m", "core.cli", "up", "--no-demo"], stdout=file, stderr=file, start_new_session=True,
            env={**clean, **ports, "SPIKEFRONT_HOME": str(home), "OMP_NUM_THREADS": "1"},
        )  # fmt: skip
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


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    """An installed Chromium; its absence is a failure, since a test not run proves nothing."""
    found = next(
        (
            path
            for name in (os.environ.get("SPIKEFRONT_CHROMIUM", ""), "chromium", "chromium-browser", "google-chrome")
            if (path := shutil.which(name))
        ),
        None,
    )
    if found is None:
        pytest.fail("No Chromium here: install it (Debian: apt-get install chromium), or run `make test` as root.")
    with sync_playwright() as playwright:
        launched = playwright.chromium.launch(executable_path=found, args=FLAGS)
        yield launched
        launched.close()


def _free_ports(count: int) -> list[int]:
    listeners = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    try:
        return [listener.getsockname()[1] for listener in listeners]
    finally:
        for listener in listeners:
            listener.close()
