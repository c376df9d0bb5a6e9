"""From a trainer's events to the database: every epoch, and of progress at most four a second."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable

from backend.store.lifecycle import Claim, Lifecycle
from core.errors import DatabaseDown, StorageFull
from core.schemas.results import EpochDone, Event, Progress, Started

log = logging.getLogger("spikefront.reporter")

PROGRESS_INTERVAL_S = 0.25
KEPT_LIMIT = 10_000
FLUSH_LIMIT_S = 0.5
TOLD_EVERY_S = 60.0  # of an outage


class Reporter:
    """Writes for one claim. While the database is away epochs are kept in order; of progress only the newest.

    LeaseLost passes through.
    """

    def __init__(self, lifecycle: Lifecycle, claim: Claim, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._lifecycle = lifecycle
        self._claim = claim
        self._clock = clock
        self._kept: list[Event] = []
        self._progress: Progress | None = None
        self._next_progress = 0.0
        self._next_told = float("-inf")

    def report(self, event: Event) -> None:
        """Take an event; it is written now or at a later `flush`."""
        if isinstance(event, Progress):
            self._progress = event
        elif isinstance(event, Started | EpochDone):
            if self._progress is not None and isinstance(event, EpochDone):
                self._next_progress = 0.0  # an epoch's last step belongs before its end
                self.flush()
            self._kept.append(event)
            del self._kept[:-KEPT_LIMIT]
        self.flush()

    def flush(self) -> None:
        """Write what is due, within FLUSH_LIMIT_S; called whenever the supervisor looks."""
        until = self._clock() + FLUSH_LIMIT_S
        try:
            while self._kept:
                if self._clock() > until:  # many at once, as after a resume: the lease must be kept meanwhile
                    return
                self._lifecycle.record(self._claim, self._kept[0])
                self._kept.pop(0)
            if self._progress is not None and self._clock() >= self._next_progress:
                self._next_progress = self._clock() + PROGRESS_INTERVAL_S
                self._lifecycle.record(self._claim, self._progress)
                self._progress = None
        except (DatabaseDown, StorageFull) as error:
            if self._clock() >= self._next_told:
                self._next_told = self._clock() + TOLD_EVERY_S
                log.warning("report.delayed", extra={"run_id": self._claim.run_id, "why": error.code})
