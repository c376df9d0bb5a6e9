"""`spikefront up` itself: real processes on ports of its own, stopped and killed in every way."""

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
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest

from benchmarks.chaos.machine import processes_of
from core.gallery.catalog import gallery
from core.settings import Settings, read_token

pytestmark = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="looks for processes in /proc")

API_PORT, DASHBOARD_PORT = 18580, 18581


def until(what: str, true: Callable[[], object], *, timeout_s: float) -> object:
    deadline = time.monotonic() + timeout_s
    while time.monotonic() < deadline:
        if value := true():
            return value
        time.sleep(0.1)
    raise AssertionError(f"not within {timeout_s} s: {what}")


class Up:
    """One `spikefront up`, its output in a file."""

    def __init__(self, home: Path, *args: str, **env: str) -> None:
        self.home = home
        self.output = home.with_name(home.name + f"-{time.monotonic_ns()}.out")
        clean = {name: value for name, value in os.environ.items() if not name.startswith("SPIKEFRONT_")}
        with open(self.output, "wb") as file:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "core.cli", "up", *args],
                stdout=file,
                stderr=subprocess.STDOUT,
                env={
                    **clean,
                    "SPIKEFRONT_HOME": str(home),
                    "SPIKEFRONT_API_PORT": str(API_PORT),
                    "SPIKEFRONT_DASHBOARD_PORT": str(DASHBOARD_PORT),
                    "OMP_NUM_THREADS": "1",
                    **env,
                },
                start_new_session=True,
            )

    def text(self) -> str:
        return self.output.read_text()

    def wait_address(self) -> str:
        """The address it prints once all is healthy."""
        until(
            "the address is printed",
            lambda: "The dashboard is at" in self.text() or self.process.poll() is not None,
            timeout_s=120,
        )
        found = re.search(r"The dashboard is at\s+(\S+)", self.text())
        assert found, self.text()
        return found[1]

    def refused(self) -> str:
        """The sentence of one that does not start."""
        assert self.process.wait(timeout=60) == 1
        text = self.text()
        assert "Traceback" not in text
        return text

    def stop(self, number: signal.Signals, *, within_s: float) -> None:
        self.process.send_signal(number)
        assert self.process.wait(timeout=within_s) == 0, self.text()

    def service(self, module: str) -> int | None:
        """The process id of one of its services, while it runs."""
        return next((pid for pid, command in processes_of(self.home).items() if f"-m {module}" in command), None)


@contextmanager
def empty_home() -> Iterator[Path]:
    folder = Path(tempfile.mkdtemp(prefix="sf-up-"))
    try:
        yield folder / "home"
    finally:
        for pid in processes_of(folder / "home"):  # of a test that failed
            os.kill(pid, signal.SIGKILL)
        shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture
def home() -> Iterator[Path]:
    with empty_home() as folder:
        yield folder


@pytest.fixture(scope="module")
def first_start() -> Iterator[Up]:
    """In an empty folder, with demo and gallery."""
    with empty_home() as folder:
        up = Up(folder)
        up.wait_address()
        yield up


@pytest.fixture(scope="module")
def second_start(first_start: Up) -> Iterator[Up]:
    """In the same folder, after the broker's files were damaged."""
    if first_start.process.poll() is None:  # the test that stops it failed, or was left out
        first_start.stop(signal.SIGINT, within_s=20)
    (first_start.home / "broker" / "appendonlydir" / "appendonly.aof.manifest").write_text("nonsense\n")
    up = Up(first_start.home)
    up.wait_address()
    yield up


def test_from_an_empty_folder_to_two_measured_points_and_to_nothing_left(first_start):
    up, home = first_start, first_start.home
    token = read_token(Settings(home=home))
    address = up.wait_address()
    assert address == f"http://127.0.0.1:{DASHBOARD_PORT}/?key={token}"
    assert httpx.get(f"http://127.0.0.1:{DASHBOARD_PORT}/_stcore/health").status_code == 200
    assert home.stat().st_mode & 0o077 == 0
    assert (home / "token").stat().st_mode & 0o177 == 0

    second = Up(home)
    assert address in second.refused()

    with httpx.Client(
        base_url=f"http://127.0.0.1:{API_PORT}/api/v1", headers={"Authorization": f"Bearer {token}"}
    ) as api:

        def runs() -> list[dict]:
            return [run for run in api.get("/runs").json()["items"] if "gallery" not in run["tags"]]

        until("the gallery is here", lambda: "of the gallery are here" in up.text(), timeout_s=60)
        brought = [run for run in api.get("/runs").json()["items"] if "gallery" in run["tags"]]
        assert {run["config_hash"] for run in brought} == {run.config_hash for run in gallery().whole}
        assert {run["state"] for run in brought} == {"succeeded"}

        assert sorted(run["config"]["kind"] for run in runs()) == ["cnn", "snn"]
        until(
            "the demo pair has ended",
            lambda: all(run["state"] in ("succeeded", "failed") for run in runs()),
            timeout_s=180,
        )
        assert [run["state"] for run in runs()] == ["succeeded"] * 2, [run["error"] for run in runs()]
        pareto = api.get("/pareto", params={"dataset": "digits"}).json()
        assert len(pareto["points"]) == 2
    up.stop(signal.SIGINT, within_s=20)
    assert processes_of(home) == {}


def test_demo_and_gallery_are_for_the_first_start(second_start):
    assert "First start" not in second_start.text()


def test_a_damaged_broker_file_is_set_aside(second_start):
    assert "set aside" in second_start.text()


def test_a_worker_that_keeps_ending_takes_nothing_down_and_the_page_is_told_why(second_start):
    up = second_start
    ready = f"http://127.0.0.1:{API_PORT}/api/v1/health/ready"
    for _ in range(6):
        worker = until("a worker is there", lambda: up.service("worker"), timeout_s=40)
        os.kill(worker, signal.SIGKILL)
        until("it is gone", lambda pid=worker: up.service("worker") != pid, timeout_s=10)
    assert "The worker ended with signal SIGKILL" in up.text()
    until("readers are told", lambda: "keeps ending" in httpx.get(ready).json()["training"], timeout_s=20)
    assert up.process.poll() is None
    assert httpx.get(f"http://127.0.0.1:{DASHBOARD_PORT}/_stcore/health").status_code == 200
    until("it is mended", lambda: httpx.get(ready).json()["training"] == "ok", timeout_s=90)
    assert up.service("worker")


def test_a_killed_launcher_leaves_no_process(second_start):
    assert len(processes_of(second_start.home)) >= 5
    second_start.process.send_signal(signal.SIGKILL)
    second_start.process.wait()
    until("all services have ended", lambda: not processes_of(second_start.home), timeout_s=20)


def test_a_signal_during_the_start_stops_it(home):
    up = Up(home)
    until("the first service is there", lambda: "broker" in up.text(), timeout_s=30)
    up.stop(signal.SIGTERM, within_s=20)
    assert processes_of(home) == {}


@pytest.mark.parametrize("after_s", [0.6, 1.2])
def test_ctrl_c_soon_after_the_start_leaves_no_traceback_and_no_process(home, after_s):
    up = Up(home)
    time.sleep(after_s)
    up.process.send_signal(signal.SIGINT)
    assert up.process.wait(timeout=20) in (0, 130, -signal.SIGINT)
    assert "Traceback" not in up.text()
    assert processes_of(home) == {}


@pytest.mark.parametrize(
    ("port", "setting"), [(API_PORT, "SPIKEFRONT_API_PORT"), (DASHBOARD_PORT, "SPIKEFRONT_DASHBOARD_PORT")]
)
def test_a_taken_port_names_its_setting(home, port, setting):
    with socket.create_server(("127.0.0.1", port)):
        text = Up(home).refused()
    assert str(port) in text
    assert setting in text
    assert processes_of(home) == {}


def test_a_home_that_is_a_file_is_refused_in_a_sentence(home):
    home.write_text("not a folder")
    assert str(home) in Up(home).refused()


def test_a_broken_database_is_refused_in_a_sentence(home):
    home.mkdir()
    (home / "spikefront.db").write_bytes(b"this is no database at all, only some text" * 100)
    text = Up(home).refused()
    assert "database" in text
    assert processes_of(home) == {}


def test_a_wrong_setting_is_named(home):
    assert "SPIKEFRONT_API_PORT" in Up(home, SPIKEFRONT_API_PORT="eighty").refused()
    assert "SPIKEFRONT_HOST" in Up(home, SPIKEFRONT_HOST="203.0.113.7").refused()
