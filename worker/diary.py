"""What is noted of a run in its folder while it trains: the loss of steps, the machine's use, the trainer's log.

All of it is bounded, however long a run is, and none of it is worth a run: what cannot be written is left out.
"""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from core.host.usage import ProcessUsage
from core.run_folder import HISTORY, LOG
from core.schemas.history import RunHistory, StepHistory, UsageHistory
from core.schemas.results import Event, Progress, Started
from worker.ending import scrub

log = logging.getLogger("spikefront.diary")

MOST = 2_000  # moments, and samples; beyond it every second one goes, and of the later ones as many
WRITE_EVERY_S = 2.0
SAMPLE_EVERY_S = 5.0
LOG_LIMIT = 256 * 1024  # bytes; beyond it the older half goes


class Thinned:
    """Rows at even distances: once there are MOST, every second one goes, and of the coming ones every second is taken."""

    def __init__(self, rows: list[tuple[Any, ...]], *, every: int = 1, most: int = MOST) -> None:
        self.rows, self.every, self._most, self._seen = rows, every, most, 0

    def add(self, row: tuple[Any, ...]) -> bool:
        """Whether it was kept."""
        self._seen += 1
        if self._seen % self.every:
            return False
        self.rows.append(row)
        if len(self.rows) > self._most:
            self.rows, self.every, self._seen = self.rows[::2], 2 * self.every, 0
        return True


class Diary:
    """Of one attempt on one run; goes on with what an earlier attempt has noted."""

    def __init__(self, folder: Path, *, usage: ProcessUsage, clock: Callable[[], float] = time.monotonic) -> None:
        self._file, self._usage, self._clock = folder / HISTORY, usage, clock
        known = read(self._file)
        self._steps = Thinned(_rows(known.steps), every=known.steps.every)
        self._samples = Thinned(_rows(known.usage), every=known.usage.every)
        self._changed = False
        self._next_write, self._next_sample = clock(), clock() + SAMPLE_EVERY_S

    def hear(self, event: Event) -> None:
        """Note a moment of training; one that starts again forgets what it will train anew."""
        if isinstance(event, Started):
            from_here = (event.resumed_epoch or 1, event.resumed_step or 0)
            self._steps.rows = [row for row in self._steps.rows if row[0] != event.part or row[1:3] <= from_here]
            if event.resumed_epoch is None:
                self._steps.rows = [row for row in self._steps.rows if row[0] != event.part]
            self._changed = True
        elif isinstance(event, Progress) and event.phase == "training" and event.loss is not None and event.step:
            self._changed |= self._steps.add((event.part, event.epoch, event.step, event.steps, event.loss))

    def look(self) -> None:
        """Sample and write what is due; called whenever the supervisor looks."""
        now = self._clock()
        if now >= self._next_sample:
            self._next_sample = now + SAMPLE_EVERY_S
            found = self._usage.sample()
            self._changed |= self._samples.add(tuple(getattr(found, name) for name in _columns(UsageHistory)))
        if self._changed and now >= self._next_write:
            self.write()

    def write(self) -> None:
        self._next_write, self._changed = self._clock() + WRITE_EVERY_S, False
        noted = RunHistory(steps=_of(StepHistory, self._steps), usage=_of(UsageHistory, self._samples))
        beside = self._file.with_name(f".{self._file.name}.tmp")
        try:  # the folder is never made anew here: a run whose folder is gone has to notice
            beside.write_text(noted.model_dump_json())
            beside.replace(self._file)
        except OSError as error:
            log.warning("history.unwritten", extra={"run_id": self._file.parent.name, "why": error.strerror})

    def close(self) -> None:
        self._usage.close()
        if self._changed:
            self.write()


class RunLog:
    """The log of a run's trainer in the run's folder, of its newest lines if it grows long."""

    def __init__(self, folder: Path, *, limit: int = LOG_LIMIT) -> None:
        self._file, self._limit = folder / LOG, limit

    def write(self, line: str) -> None:
        """Add a line, as everybody may read it."""
        try:
            with self._file.open("a", encoding="utf-8", errors="replace") as file:
                file.write(f"{scrub(line)}\n")
                size = file.tell()
            if size > self._limit:
                kept = self._file.read_bytes()[-self._limit // 2 :].partition(b"\n")[2]
                beside = self._file.with_name(f".{self._file.name}.tmp")
                beside.write_bytes(kept)
                os.replace(beside, self._file)
        except OSError as error:
            log.debug("log.unwritten", extra={"run_id": self._file.parent.name, "why": error.strerror})


def read(file: Path) -> RunHistory:
    """What is noted; empty columns where nothing is, or nothing that can be read."""
    try:
        return RunHistory.model_validate_json(file.read_bytes())
    except (OSError, ValidationError):
        return RunHistory()


def _columns(model: type[StepHistory | UsageHistory]) -> list[str]:
    return [name for name in model.model_fields if name != "every"]


def _rows(noted: StepHistory | UsageHistory) -> list[tuple[Any, ...]]:
    columns = [getattr(noted, name) for name in _columns(type(noted))]
    return list(zip(*columns, strict=False))


def _of(model: type[Any], thinned: Thinned) -> Any:
    names = _columns(model)
    columns = zip(*thinned.rows, strict=True) if thinned.rows else [()] * len(names)
    return model.model_construct(
        **{name: list(column) for name, column in zip(names, columns, strict=True)}, every=thinned.every
    )
