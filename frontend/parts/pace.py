"""When a page that looks for changes all the time is drawn anew."""

from __future__ import annotations

import time

POLL_S = 2.0
IDLE_S = 8.0  # so that what began elsewhere is seen within ten seconds
OLD_S = 60.0  # a page says how long ago things were, by the minute
SHARE = 0.1  # of a core that drawing a page anew takes at most, while something changes all the time


class Pace:
    """Of one drawing of a page."""

    def __init__(self) -> None:
        self._begun = self._drawn = time.monotonic()

    def begin(self) -> None:
        """What costs time is drawn from now on."""
        self._begun = time.monotonic()

    def drawn(self) -> None:
        """So much of it is there."""
        self._drawn = time.monotonic()

    def due(self, *, changed: bool) -> bool:
        """Whether it shall be drawn again: at a change, but not all the time, and when its words are old."""
        now, took = time.monotonic(), self._drawn - self._begun
        rest = min(took / SHARE, IDLE_S - POLL_S)
        return now - self._drawn > (rest if changed else OLD_S)
