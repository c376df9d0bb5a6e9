"""What this process does to data sets: one thing at a time to each, with its progress, and fetches in the background."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Literal

from backend.problems import describe, internal_problem
from core.datasets.spec import Progress
from core.errors import BadValue, NotFound, SpikefrontError
from core.schemas.datasets import DataWork

log = logging.getLogger("spikefront.datasets")

KEPT = 64  # works remembered after their end
JOIN_S = 2.0


class _Cancelled(Exception):
    """Raised out of a progress report; what is under way cleans up as after any error."""


class _Job:
    def __init__(self) -> None:
        self.cancelled = threading.Event()
        self.thread: threading.Thread | None = None


class DataWorks:
    """Safe to call from any thread. A work is cancelled at its next report of progress."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._works: dict[str, DataWork] = {}
        self._jobs: dict[str, _Job] = {}

    def of(self, name: str) -> DataWork:
        """Raises NotFound where nothing was done to that data set since this process started."""
        with self._lock:
            if (found := self._works.get(name)) is None:
                raise NotFound(kind="work on a data set", id=name)
            return found

    @contextmanager
    def doing(self, name: str, kind: Literal["add", "fetch"]) -> Iterator[Progress]:
        """Count the block as the work on `name`. Raises BadValue where another one is under way."""
        job = self._begin(name, kind)
        with self._ended(name):
            yield self._reporter(name, job)

    def start(self, name: str, work: Callable[[Progress], Any]) -> DataWork:
        """Do `work` in the background; its failure is told by `of`. One that is under way goes on."""
        with self._lock:
            known = self._works.get(name)
        if known is not None and known.running and known.kind == "fetch":
            return known
        job = self._begin(name, "fetch")

        def run() -> None:
            try:
                with self._ended(name):
                    work(self._reporter(name, job))
            except (SpikefrontError, _Cancelled):  # told already
                pass
            except Exception:
                log.exception("datasets.work_failed", extra={"dataset": name})

        job.thread = threading.Thread(target=run, name=f"data-{name}", daemon=True)
        job.thread.start()
        return self.of(name)

    def cancel(self, name: str) -> DataWork:
        """Ask a fetch to stop; what has ended stays as it is, and who sends an archive ends it himself. Raises NotFound."""
        found = self.of(name)
        with self._lock:
            if found.kind == "fetch" and (job := self._jobs.get(name)) is not None:
                job.cancelled.set()
        return found

    def close(self) -> None:
        """Stop what is under way. A fetch keeps what came, and goes on from there when it is asked for again."""
        with self._lock:
            jobs = list(self._jobs.values())
        for job in jobs:
            job.cancelled.set()
        for job in jobs:
            if job.thread is not None:
                job.thread.join(JOIN_S)  # one that waits for the network is a daemon and holds nobody up

    def _begin(self, name: str, kind: Literal["add", "fetch"]) -> _Job:
        with self._lock:
            if name in self._jobs:
                expected = "a data set that nothing is being added to; this one is under way: wait until it has ended"
                raise BadValue(field="name", value=name, expected=expected)
            self._works.pop(name, None)
            while len(self._works) >= KEPT:  # the oldest that has ended
                ended = next((known for known in self._works if known not in self._jobs), None)
                if ended is None:
                    break
                del self._works[ended]
            job = self._jobs[name] = _Job()
            self._works[name] = DataWork(name=name, kind=kind, state="running", what="waiting", done=0, total=0)
            return job

    @contextmanager
    def _ended(self, name: str) -> Iterator[None]:
        """Say how the block ended, whatever happened in it."""
        end: dict[str, Any] = {"state": "failed", "problem": internal_problem()}
        try:
            yield
            end = {"state": "done"}
        except _Cancelled:
            end = {"state": "cancelled"}
            raise
        except SpikefrontError as error:
            end = {"state": "failed", "problem": describe(error)}
            raise
        finally:
            with self._lock:
                del self._jobs[name]
                self._works[name] = self._works[name].model_copy(update=end)

    def _reporter(self, name: str, job: _Job) -> Progress:
        def report(what: str, done: int, total: int) -> None:
            if job.cancelled.is_set():
                raise _Cancelled
            with self._lock:
                self._works[name] = self._works[name].model_copy(update={"what": what, "done": done, "total": total})

        return report
