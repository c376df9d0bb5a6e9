"""Faults against a whole installation that trains, and whether anything was lost: `python -m benchmarks.chaos --faults 1000`.

SQLite: `spikefront up` and a second worker. `--store postgresql://...`: API and two workers, each a process, as Compose starts
them, on a database of their own on that server. Linux; root for a disk that is full, a C compiler for a clock that is set:
what cannot be done here is left out, and said.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from benchmarks.chaos.hits import Hits
from benchmarks.chaos.installation import Installation, Seen, installation
from benchmarks.chaos.plan import SEEDS, distinct, faults, orders
from benchmarks.chaos.report import told, words
from benchmarks.chaos.storm import Storm
from benchmarks.chaos.verdict import Verdict
from benchmarks.harness import machine
from core.bundle import Bundle
from core.host.machine import cores
from core.schemas.run import RunState


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--faults", type=int, default=100)
    parser.add_argument("--seed", type=int, default=0, help="of the faults and the runs")
    parser.add_argument("--store", default="sqlite", help="sqlite, or the address of a PostgreSQL server")
    parser.add_argument(
        "--broker", default="own", help="own, or the address of a Redis or Valkey server, then not killed"
    )
    parser.add_argument("--minutes", type=float, help="no fault comes after that many, however many are left")
    parser.add_argument("--every", type=float, default=3.0, help="seconds between two faults, on average")
    parser.add_argument("--side", type=int, default=cores() + 2, help="runs that wait or train at any moment")
    parser.add_argument("--lease", type=float, default=6.0, help="SPIKEFRONT_LEASE_S")
    parser.add_argument("--keep", type=Path, help="a folder for the logs")
    parser.add_argument(
        "--undisturbed", type=Path, help="a folder of the bundles to compare with; made where it lacks them"
    )
    parser.add_argument("--json", action="store_true")
    asked = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that nothing is left behind
    if sys.platform != "linux":
        sys.exit("a storm needs Linux: it looks for processes and locks in /proc")
    calm = asked.undisturbed or Path(tempfile.mkdtemp(prefix="sf-calm-"))
    try:
        sys.exit(weather(asked, calm))
    finally:
        if asked.undisturbed is None:
            shutil.rmtree(calm, ignore_errors=True)


def weather(asked: argparse.Namespace, calm: Path) -> int:
    """The exit code: 0 where nothing was lost."""
    with installation(store=asked.store, broker_at=asked.broker, lease_s=asked.lease, slots=cores()) as made:
        train_undisturbed(calm, made.settings.data)
        possible, without = Hits(made, lambda _: False).possible()
        planned = faults(asked.faults, seed=asked.seed, hits=possible, every_s=asked.every, lease_s=asked.lease)
        until = time.monotonic() + 60 * asked.minutes if asked.minutes else float("inf")
        with Progress(
            TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn(),
            TextColumn("{task.fields[state]}"), disable=asked.json,
        ) as bar:  # fmt: skip
            task = bar.add_task("faults", total=len(planned), state="starting")

            def tell(done: int, runs: dict[str, Seen]) -> None:
                ended = sum(RunState(run.state).is_final for run in runs.values())
                bar.update(task, completed=done, state=f"{ended} of {len(runs)} runs have ended")

            storm = Storm(made, faults=planned, orders=orders(asked.seed), side=asked.side, until=until, tell=tell)
            try:
                storm.run()
            finally:
                if asked.keep is not None:
                    keep_logs(made, asked.keep)
        made.stop()
        if asked.keep is not None:
            keep_logs(made, asked.keep)
        verdict = Verdict(made, storm.asked, storm.cancels, calm)
        found = told(storm, verdict, without=without, machine=machine(), load=os.getloadavg()[0], seed=asked.seed)
    print(json.dumps(found, indent=1) if asked.json else words(found))
    return 1 if found["breaches"] else 0


def train_undisturbed(folder: Path, data: Path, *, seeds: Mapping[int, int] = SEEDS) -> None:
    """In a process of its own; what is there is left."""
    if all(Bundle(folder / order.name).complete for order in distinct(seeds)):
        return
    folder.mkdir(parents=True, exist_ok=True)
    command = [sys.executable, "-m", "benchmarks.chaos.undisturbed", str(folder), str(data)]
    command += [f"{seed}:{epochs}" for seed, epochs in seeds.items()]
    subprocess.run(command, check=True)


def keep_logs(made: Installation, folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for file in [*made.logs.glob("*"), *(made.home / "logs").glob("*")]:
        with suppress(OSError):
            shutil.copy(file, folder / file.name)


if __name__ == "__main__":
    main()
