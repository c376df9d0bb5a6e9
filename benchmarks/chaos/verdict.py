"""What must hold once all is over; each breach is a sentence, and there must be none."""

from __future__ import annotations

import os
import sqlite3
from collections import Counter
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.chaos.installation import Installation
from benchmarks.chaos.machine import processes_of
from benchmarks.chaos.plan import Order, Wish
from core.bundle import Bundle
from core.errors import SpikefrontError
from core.run_folder import HISTORY, LOG
from core.schemas.history import RunHistory
from core.schemas.run import TRANSITIONS, RunState

GIVEN_UP = 3  # losses after which a run is not tried again
OF_TIME = ("wall_s", "train_wall_s", "evaluate_wall_s", "train_images_per_s")
#: Beside a finished bundle's own files: the lock and the number of its owner, what the worker noted, the trainer's log.
BESIDE = {".lock", ".attempt", "manifest.json", HISTORY, LOG}
DOOMED_BY = {
    Wish.POISON: ("trainer-died", "worker-lost"),
    Wish.MEMORY: ("out-of-memory", "trainer-died", "worker-lost"),
}


class Verdict:
    """`undisturbed` holds a bundle of each config, by the order's name."""

    def __init__(self, made: Installation, asked: dict[str, Order], cancels: set[str], undisturbed: Path) -> None:
        self._made, self._asked, self._cancels, self._undisturbed = made, asked, cancels, undisturbed
        self.ends: Counter[str] = Counter()
        self.attempts = 0
        self.equal = 0  # succeeded with the result of the undisturbed one
        self.resumed = 0

    def breaches(self) -> list[str]:
        """Of a stopped installation."""
        found = [*self._leftovers(), *self._answers()]
        try:
            rows, states = self._made.rows(), self._made.events("state")
            epochs, started = self._made.events("epoch"), self._made.events("started")
        except Exception as error:  # noqa: BLE001  a database that cannot be read is the worst of them
            return [*found, f"the database cannot be read: {error}"]
        self.resumed = sum(told[-1].get("resumed_epoch") is not None for told in started.values())
        if len(rows) != len(self._asked) or {row.id for row in rows} != set(self._asked):
            found.append(f"{len(self._asked)} runs were asked for, and {len(rows)} are there")
        for row in rows:
            self.attempts += row.attempt
            order = self._asked.get(row.id)
            if order is not None:
                found += [
                    f"run {row.id} ({order.name}, {order.wish}): {why}" for why in self._run(row, order, states, epochs)
                ]
        if self._made.as_up:
            found += _integrity(self._made.home / "spikefront.db")
        return found

    def _run(self, row: Any, order: Order, states: dict[str, Any], epochs: dict[str, Any]) -> Iterator[str]:
        """Ended once, in one of the ways that it may, with nothing of it left over."""
        way = [RunState(told["state"]) for told in states.get(row.id, [])]
        ends = [state for state in way if state.is_final]
        if len(ends) != 1 or way[-1] != ends[0] or row.state != ends[0]:
            yield f"it did not end exactly once: {[str(state) for state in way]}, and its row says {row.state}"
        for before, after in pairwise(way):
            if after not in TRANSITIONS[before]:
                yield f"it went from {before} to {after}"
        if row.lease_until is not None:
            yield "a lease is left on it"
        if way.count(RunState.RUNNING) != row.attempt:
            yield f"it was claimed {way.count(RunState.RUNNING)} times in {row.attempt} attempts"
        complete = Bundle(self._made.home / "runs" / row.id).complete
        code = f" ({row.error['code']})" if row.error else ""
        self.ends[f"{row.state}{code}, wished {order.wish}"] += 1
        if row.state == RunState.SUCCEEDED and order.wish in (Wish.END, Wish.CANCEL):
            yield from self._result(row, order, epochs.get(row.id, []))
        elif row.state == RunState.CANCELLED and order.wish is Wish.CANCEL:
            if row.id not in self._cancels:
                yield "it was cancelled before anybody was answered that it is"
            if complete:
                yield "it is cancelled and has a finished bundle"
        elif row.state == RunState.FAILED and order.wish in DOOMED_BY and row.error["code"] in DOOMED_BY[order.wish]:
            if (
                row.error["code"] != "out-of-memory"
                and row.losses != GIVEN_UP
                and "exit_status" not in row.error["fields"]
            ):
                yield f"it was given up after {row.losses} losses: {row.error}"
            if complete:
                yield "it has failed and has a finished bundle"
        else:
            yield f"it ended as {row.state} after {row.losses} losses: {row.error}"

    def _result(self, row: Any, order: Order, epochs: list[dict[str, Any]]) -> Iterator[str]:
        bundle, calm = Bundle(self._made.home / "runs" / row.id), Bundle(self._undisturbed / order.name)
        try:
            bundle.verify()
            different = [*_differences(bundle, calm)]
        except (SpikefrontError, OSError) as error:
            yield f"its bundle is not sound: {error}"
            return
        yield from different
        if row.summary != bundle.summary().model_dump(mode="json"):
            yield "its row has another summary than its bundle"
        if sorted(told["epoch"] for told in epochs) != list(range(1, order.epochs + 1)):
            yield f"readers have the epochs {[told['epoch'] for told in epochs]}"
        metrics = bundle.metrics()
        for told in epochs:
            at = metrics.epoch.index(told["epoch"]) if told["epoch"] in metrics.epoch else None
            if at is None or told["train_loss"] != metrics.train_loss[at]:
                yield f"readers have another epoch {told['epoch']} than the bundle"
        yield from _steps(bundle.beside(HISTORY))
        names = {path.name for path in bundle.path.iterdir()} - BESIDE - {entry.name for entry in bundle.files()}
        if names:
            yield f"beside its bundle lie {sorted(names)}"
        self.equal += not different

    def _leftovers(self) -> Iterator[str]:
        for pid, command in processes_of(self._made.home).items():
            yield f"process {pid} is left: {command[:120]}"
        # torch makes one folder a user for its compiler, which stays empty
        if files := [
            name for name in sorted(os.listdir(os.environ["TMPDIR"])) if not name.startswith("torchinductor_")
        ]:
            yield f"in the folder for temporary files lie {files[:8]}"
        kept = {"runs", "logs", "broker", "data", "cache", "profiles"}
        for path in self._made.home.iterdir():
            if path.name.startswith((".new-", ".import-")) or path.suffix == ".tmp":
                yield f"in the data folder lies {path.name}"
            elif path.is_dir() and path.name not in kept and not path.name.startswith("."):
                yield f"in the data folder lies {path.name}/"

    def _answers(self) -> Iterator[str]:
        for status, n in self._made.answers.items():
            if status >= 500 and status not in (503, 507):
                yield f"the API answered {status} {n} times"
        for cause, n in tracebacks(self._made.all_logs()).items():
            yield f"a log has a traceback, {n} times: {cause}"


def tracebacks(logs: str) -> Counter[str]:
    """Of errors that nobody caught, and of those that a log line of ours holds: last line -> how often.

    Celery and kombu log one when a broker refuses or is gone; they then try again, so that is no fault.
    """
    found: Counter[str] = Counter()
    lines = iter(logs.splitlines())
    for line in lines:
        if line.startswith("Traceback (most recent call last)"):
            found[next((rest for rest in lines if rest[:1].strip()), "")[:200]] += 1
        elif 'traceback="' in line and "celery/worker/loops.py" not in line and "will retry" not in line:
            found[line.rpartition("\\n")[2][:200]] += 1
    return found


def _differences(bundle: Bundle, calm: Bundle) -> Iterator[str]:
    """Weights and what is counted byte by byte, numbers and answers to the last bit; not how long anything took."""
    for name in ("config", "metrics", "gradients", "summary"):
        told, expected = (_timeless(getattr(one, name)().model_dump()) for one in (bundle, calm))
        if told != expected:
            yield f"{name} differ from the undisturbed run's in {[key for key in told if told[key] != expected.get(key)]}"
    hashes, calm_hashes = ({entry.name: entry.sha256 for entry in one.files()} for one in (bundle, calm))
    for name in ("weights.safetensors", "counts.json", "diagnostics.json"):
        if hashes.get(name) != calm_hashes.get(name):
            yield f"{name} differs from the undisturbed run's"
    said, expected = bundle.predictions(), calm.predictions()
    if not (np.array_equal(said.index, expected.index) and np.array_equal(said.outputs, expected.outputs)):
        yield "its answers to the test images differ from the undisturbed run's"


def _timeless(content: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in content.items() if name not in OF_TIME}


def _steps(history: Path) -> Iterator[str]:
    """No moment of training is noted twice."""
    if history.exists():
        noted = RunHistory.model_validate_json(history.read_bytes()).steps
        moments = Counter(zip(noted.part, noted.epoch, noted.step, strict=True))
        if twice := [moment for moment, n in moments.items() if n > 1]:
            yield f"steps are noted twice: {twice[:5]}"


def _integrity(file: Path) -> Iterator[str]:
    with sqlite3.connect(file) as connection:
        (said,) = connection.execute("PRAGMA integrity_check").fetchone()
        if said != "ok":
            yield f"the database is damaged: {said}"
