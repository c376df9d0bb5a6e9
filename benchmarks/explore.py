"""How long until 10,000 runs are a picture, and, in Spikefront, until another price has redrawn them.

The same drawn rows (a load for timing, no results: `benchmarks.explore_load`) lie in Spikefront, optuna-dashboard and
MLflow, each on its own server with SQLite. One browser visits them in turn, alternately forwards and backwards. Only the
server that is visited runs, started anew for each visit: at 10,000 trials optuna-dashboard's goes on computing after its
page is drawn, and would slow down the others. What is timed, by the page's own clock, until the frame after the marks are
in the document:

    cold       from the start of the navigation, in a fresh browser profile, to a server that has just started to answer
    warm       the same page again in that profile
    re-price   from the key or click that asks for another price of energy, until all marks have moved

The others hold energies and no counts. optuna-dashboard gets two energies with each row, and the choice of the second is
timed against a price that moves; MLflow opens on a table, which has nothing like it.

    python -m benchmarks.explore [--small] [--json] [--runs N] [--rounds N] [--minutes M] [--others PYTHON] [--alone]
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import AbstractContextManager, ExitStack
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import Any

from benchmarks import chromium
from benchmarks.explore_places import (
    PINNED,
    SPIKEFRONT,
    Place,
    fill_other,
    fill_spikefront,
    install_others,
    mlflow,
    optuna_dashboard,
    spikefront,
)
from benchmarks.harness import machine

SLOW_MS = 120_000
SETTLE_S = 3  # a server that answers may still be busy with its start

#: Runs before any script of a page. `sfWatch` gives the time of the second frame after a condition holds.
WATCH = """
window.sfWatch = (holds) => new Promise((done) => {
  const look = () => {
    let found = false;
    try { found = holds(); } catch (error) { found = false; }
    requestAnimationFrame(found ? () => requestAnimationFrame(() => done(performance.now())) : look);
  };
  look();
});
for (const kind of ['keydown', 'click'])
  window.addEventListener(kind, (event) => { window.sfAct = event.timeStamp; }, true);
window.sfPainted = window.sfWatch(() => (DRAWN));
"""


def visit(browser: Any, place: Place) -> dict[str, float]:
    """Seconds of each measure in one fresh browser profile."""
    context = browser.new_context(viewport={"width": 1440, "height": 1000}, color_scheme="light")
    try:
        context.set_default_timeout(SLOW_MS)
        context.add_init_script(WATCH.replace("DRAWN", place.drawn))
        if place.enter:
            context.request.get(place.enter)  # the key becomes a cookie; no page is opened
        page = context.new_page()
        seconds = {}
        for name in ("cold", "warm"):
            page.goto("about:blank")
            page.goto(place.address, wait_until="commit")
            seconds[name] = page.evaluate("window.sfPainted") / 1e3
        if place.prepare is None:
            return seconds
        page.wait_for_timeout(2000)  # whatever still loads shall not be charged to the next act
        act = place.prepare(page)
        page.evaluate(f"window.sfBefore = ({place.signature})")
        moved = f"({place.drawn}) && ({place.signature}) !== window.sfBefore"
        page.evaluate(f"void (window.sfMoved = window.sfWatch(() => {moved}))")
        act()
        seconds["reprice"] = page.evaluate("window.sfMoved.then((end) => end - window.sfAct)") / 1e3
        return seconds
    finally:
        context.close()


def measure(*, runs: int, rounds: int, minutes: float, others: Path | None, alone: bool) -> dict[str, Any]:
    """All places in turn, `rounds` times or until the minutes are over; raises if Spikefront cannot be measured."""
    from playwright.sync_api import sync_playwright

    from benchmarks.explore_load import draw, plain

    start, load = time.monotonic(), os.getloadavg()[0]
    seconds: dict[str, dict[str, list[float]]] = {}
    shows: dict[str, str] = {}
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="sf-bench-", ignore_cleanup_errors=True)))
        rows = draw(runs)
        (folder / "rows.json").write_text(json.dumps(plain(rows)))
        python, why_not = (None, "as asked") if alone else (others, None) if others else install_others(folder)
        fill_spikefront(folder, rows)
        serve: list[Callable[[], AbstractContextManager[Place]]] = [partial(spikefront, folder)]
        if python:
            for name, place in (("optuna", optuna_dashboard), ("mlflow", mlflow)):
                fill_other(name, folder, python)
                serve.append(partial(place, folder, python))
        playwright = stack.enter_context(sync_playwright())
        browser = chromium.launch(playwright)
        stack.callback(browser.close)
        set_up_s, done = time.monotonic() - start, 0
        for number in range(rounds):
            for begin in serve if number % 2 == 0 else serve[::-1]:
                with begin() as place:
                    time.sleep(SETTLE_S)
                    found = visit(browser, place)
                shows[place.name] = place.shows
                for name, value in found.items():
                    seconds.setdefault(place.name, {}).setdefault(name, []).append(value)
                print(f"round {number + 1} of {rounds}: {place.name} {found}", file=sys.stderr, flush=True)
            done += 1
            if time.monotonic() - start > 60 * minutes:
                break
        return {
            "runs": runs,
            "rounds": done,
            "machine": machine(),
            "load_before": round(load, 2),
            "browser": f"Chromium {browser.version}",
            "versions": {name: version(name) for name in ("streamlit", "plotly")} | (dict(PINNED) if python else {}),
            "left_out": why_not,
            "shows": shows,
            "set_up_s": round(set_up_s, 1),
            "seconds": seconds,
        }


def summary(seconds: dict[str, dict[str, list[float]]]) -> list[dict[str, Any]]:
    """A row a place and measure: median and quartiles of the seconds, and of the ratio to Spikefront's, round by round."""
    base = seconds[SPIKEFRONT]
    rows = []
    for name, measured in seconds.items():
        for what, values in measured.items():
            ratios = [value / ours for value, ours in zip(values, base[what], strict=True)]
            rows.append({"place": name, "measure": what, "s": _quartiles(values), "ratio": _quartiles(ratios)})
    return rows


def _quartiles(values: list[float]) -> tuple[float, float, float]:
    """(lower quartile, median, upper quartile)."""
    if len(values) < 2:
        return (values[0],) * 3
    low, middle, high = statistics.quantiles(values, n=4, method="inclusive")
    return low, middle, high


def report(result: dict[str, Any]) -> None:
    versions = ", ".join(f"{name} {value}" for name, value in result["versions"].items())
    print(f"{result['runs']:,} drawn rows (a load for timing, not results), n = {result['rounds']} rounds")
    print(f"  {result['machine']}; {result['browser']}; {versions}")
    if result["load_before"] > 0.5:
        print(f"  the machine was busy before the start (load {result['load_before']:.1f}): do not quote this run")
    if result["left_out"]:
        print(f"  optuna-dashboard and MLflow are left out: {result['left_out']}")
    for name, words in result["shows"].items():
        print(f"  {name}: {words}")
    print(f"  {'':<18}{'':<10}{'median s':>9}  {'quartiles':<16}{'times Spikefront':>17}  quartiles")
    for row in summary(result["seconds"]):
        (low, middle, high), (under, ratio, over) = row["s"], row["ratio"]
        print(
            f"  {row['place']:<18}{row['measure']:<10}{middle:>9.2f}  {f'{low:.2f} to {high:.2f}':<16}"
            f"{ratio:>17.2f}  {under:.2f} to {over:.2f}"
        )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--small", action="store_true", help="1,000 rows, two rounds")
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--runs", type=int)
    parser.add_argument("--rounds", type=int)
    parser.add_argument("--minutes", type=float, default=7.0, help="no further round is begun after so many")
    parser.add_argument("--alone", action="store_true", help="Spikefront without the two others")
    parser.add_argument("--others", type=Path, help="a Python that has the two others, instead of installing them")
    arguments = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that every server is stopped
    result = measure(
        runs=arguments.runs or (1_000 if arguments.small else 10_000),
        rounds=arguments.rounds or (2 if arguments.small else 7),
        minutes=arguments.minutes,
        others=arguments.others,
        alone=arguments.alone,
    )
    if arguments.json:
        print(json.dumps({**result, "summary": summary(result["seconds"])}, indent=1))
    else:
        report(result)


if __name__ == "__main__":
    main()
