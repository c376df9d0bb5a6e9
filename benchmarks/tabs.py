"""What open tabs of the page Runs cost the API and the dashboard while nobody touches them.

Goal on two cores: 20 tabs take less than half a core of both together.

A real API and a real dashboard over drawn rows (`benchmarks.explore_load`: a load for timing, no results), and tabs in a
headless Chromium. First nothing is under way; then two runs train and others wait behind them. Their trainers only keep
the protocol (`benchmarks.crowd`): they tell of their progress as often as real ones do, and never end. What is measured
is the CPU time of the two servers with all their children, so other work on the machine does not count; the browser's
own is not in it.

    python -m benchmarks.tabs [--small] [--json] [--tabs N] [--seconds S] [--runs N] [--waiting N] [--as table|cards]
"""

from __future__ import annotations

import argparse
import json
import logging
import multiprocessing
import os
import signal
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import httpx

from backend.runs.new_runs import Wish, queued_row
from backend.store.db import opened, utc_now
from backend.store.lifecycle import Lifecycle
from benchmarks import chromium
from benchmarks.crowd import LEASE_S, Protocol
from benchmarks.explore_load import draw, fill
from benchmarks.explore_places import free_port, served, until
from benchmarks.harness import machine
from core.host.usage import children_of, cpu_s
from core.recipes.build import build_config
from core.schemas.request import RunRequest
from core.schemas.results import Event, Progress, Started
from core.settings import Settings, read_token
from worker.options import Options
from worker.standby import Standby
from worker.supervisor import Supervisor

TRAINED = 2
TOLD_S = 0.25  # a trainer tells of its progress at most so often
SETTLE_S = 12.0  # longer than the slowest poll of a page
SLOW_MS = 120_000
EPOCHS, STEPS = 1000, 1000
DRAWN = ".st-key-runs_queue"


class Endless(Protocol):
    """Trains until it is stopped."""

    def __init__(self) -> None:
        super().__init__()
        self._moments = [
            Started(device="cpu", n_train=1, n_validation=1, n_test=1, steps_per_epoch=STEPS, max_epochs=EPOCHS)
        ]
        self._step = 0

    def next_event(self, *, timeout_s: float) -> Event | None:
        if self._moments:
            return self._moments.pop()
        time.sleep(min(timeout_s, TOLD_S))
        self._step += 1
        return Progress(
            epoch=1 + self._step // STEPS, max_epochs=EPOCHS, phase="training", step=self._step % STEPS, steps=STEPS
        )


def _train(home: Path, end: Any) -> None:
    """A process of its own: one worker with two slots, until `end`."""
    logging.disable(logging.CRITICAL)
    settings = Settings(home=home)
    lifecycle, stopping = Lifecycle(settings), threading.Event()
    worker = Supervisor(
        lifecycle,
        name="tabs",
        options=Options(queue="cpu", threads=1, devices=(None,) * TRAINED, lease_s=LEASE_S, standby=False),
        standby=Standby(lambda _: Endless(), devices=()),  # type: ignore[arg-type, return-value]
        data=settings.data,
        stopping=stopping,
    )
    worker.start()
    while not end.wait(1.0):
        lifecycle.worker_seen("tabs", queue="cpu", slots=TRAINED, busy=TRAINED, offer=worker.ability.offer())
        worker.wake()
    stopping.set()
    worker.join()


@contextmanager
def _training(settings: Settings, n: int) -> Iterator[None]:
    """Runs that wait, of which two are soon trained."""
    config, store = build_config(RunRequest(mask=["F9"], dataset="digits", recipe="smoke")), opened(settings)
    with store.write() as session:
        now = utc_now()
        for place in range(n):
            session.add(queued_row(config.model_copy(update={"seed": place}), Wish(), now=now, place=place))
    store.close()
    context = multiprocessing.get_context("spawn")
    end = context.Event()
    process = context.Process(target=_train, args=(settings.home, end))
    process.start()
    try:
        yield
    finally:
        end.set()
        process.join(60)


@contextmanager
def _server(module: str, settings: Settings, folder: Path, alive: str) -> Iterator[int]:
    clean = {name: value for name, value in os.environ.items() if not name.startswith(("SPIKEFRONT_", "STREAMLIT_"))}
    own = {
        "SPIKEFRONT_HOME": str(settings.home),
        "SPIKEFRONT_API_PORT": str(settings.api_port),
        "SPIKEFRONT_DASHBOARD_PORT": str(settings.dashboard_port),
    }
    output = folder / f"{module}.log"
    with served([sys.executable, "-m", module], output=output, environment=clean | own) as process:

        def answers() -> bool:
            try:
                return httpx.get(alive, timeout=5).is_success
            except httpx.TransportError:
                return False

        until(answers, process=process, output=output)
        yield process.pid


def _spent(pid: int) -> float:
    """CPU seconds of a process and all below it."""
    return (cpu_s(pid) or 0.0) + sum(_spent(child) for child in children_of(pid))


def _watched(what: str, servers: dict[str, int], tabs: int, seconds: float) -> dict[str, Any]:
    """`cores` of each server over so many seconds, and the milliseconds of one tab in a second of both together."""
    before, start = {name: _spent(pid) for name, pid in servers.items()}, time.perf_counter()
    time.sleep(seconds)
    passed = time.perf_counter() - start
    cores = {name: (_spent(pid) - before[name]) / passed for name, pid in servers.items()}
    return {"state": what, "tabs": tabs, **cores, "both": sum(cores.values()),
            "ms_per_tab_and_s": 1e3 * sum(cores.values()) / max(tabs, 1)}  # fmt: skip


def measure(*, runs: int, tabs: int, waiting: int, seconds: float, form: str) -> list[dict[str, Any]]:
    from playwright.sync_api import sync_playwright

    found = []
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="sf-bench-", ignore_cleanup_errors=True)))
        settings = Settings(home=folder / "home", api_port=free_port(), dashboard_port=free_port())
        fill(settings, draw(runs))
        board = f"http://127.0.0.1:{settings.dashboard_port}"
        servers = {
            "api": stack.enter_context(_server("backend", settings, folder, f"{settings.api_url}/api/v1/health/live")),
            "dashboard": stack.enter_context(_server("frontend", settings, folder, f"{board}/_stcore/health")),
        }
        browser = chromium.launch(stack.enter_context(sync_playwright()))
        stack.callback(browser.close)
        context = browser.new_context(viewport={"width": 1440, "height": 1000})
        context.set_default_timeout(SLOW_MS)
        context.request.get(f"{board}/?key={read_token(settings)}")  # the key becomes a cookie
        for _ in range(tabs):
            page = context.new_page()
            page.goto(f"{board}/runs?as={form}", wait_until="commit")
            page.wait_for_selector(DRAWN)
            print(".", end="", file=sys.stderr, flush=True)
        time.sleep(SETTLE_S)
        found.append(_watched("idle", servers, tabs, seconds))
        with _training(settings, TRAINED + waiting):
            page.get_by_text(f"{TRAINED} of {TRAINED} slots busy").first.wait_for()
            time.sleep(SETTLE_S)
            found.append(_watched(f"{TRAINED} train, {waiting} wait", servers, tabs, seconds))
        print(file=sys.stderr)
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--small", action="store_true", help="3 tabs, 200 runs, 10 seconds of each state")
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--tabs", type=int)
    parser.add_argument("--runs", type=int)
    parser.add_argument("--waiting", type=int, default=20, help="runs behind the two that train")
    parser.add_argument("--seconds", type=float, help="of each state")
    parser.add_argument("--as", dest="form", choices=("table", "cards"), default="table", help="how the list is shown")
    arguments = parser.parse_args()
    load = os.getloadavg()[0]
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that every server is stopped
    found = measure(
        runs=arguments.runs or (200 if arguments.small else 1_000),
        tabs=arguments.tabs or (3 if arguments.small else 20),
        waiting=arguments.waiting,
        seconds=arguments.seconds or (10 if arguments.small else 30),
        form=arguments.form,
    )
    if arguments.json:
        print(json.dumps({"machine": machine(), "load_before": load, "form": arguments.form, "states": found}))
        return
    print(f"{machine()}; the list as {arguments.form}; load before {load:.1f}")
    print(f"{'state':<20}{'tabs':>6}{'API':>8}{'board':>8}{'both':>8} cores{'ms of CPU per tab and second':>32}")
    for one in found:
        print(
            f"{one['state']:<20}{one['tabs']:>6}{one['api']:>8.3f}{one['dashboard']:>8.3f}{one['both']:>8.3f}"
            f"{one['ms_per_tab_and_s']:>38.1f}"
        )


if __name__ == "__main__":
    main()
