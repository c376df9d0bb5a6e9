"""How long the owner of each run has said nothing, by this process's own watch.

Clocks are set, by people and over the network, and those of two machines never agree. So no written time is held
against another: an owner's lease is a mark that changes with each sign of life, and the reaper counts for how long it
saw the same one. It counts only while it looks itself: after a standstill, of this process or of its machine,
every owner is heard anew.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping

LONGEST_GAP_S = 15.0  # between two looks: three rounds of a worker's upkeep


class Silence:
    """`ticks` never goes back, whatever becomes of the clock; see `time.monotonic`."""

    def __init__(self, ticks: Callable[[], float]) -> None:
        self._ticks = ticks
        self._since: dict[str, tuple[Hashable, float]] = {}
        self._last_look = float("-inf")

    def look(self, marks: Mapping[str, Hashable]) -> dict[str, float]:
        """Run -> seconds for which its present mark was seen; 0 for one that is new or has changed."""
        now = self._ticks()
        if now - self._last_look > LONGEST_GAP_S:
            self._since.clear()
        self._last_look = now
        kept = {}
        for run_id, mark in marks.items():
            known = self._since.get(run_id)
            kept[run_id] = known if known is not None and known[0] == mark else (mark, now)
        self._since = kept
        return {run_id: now - since for run_id, (_, since) in kept.items()}

    def forget(self) -> None:
        """Hear every owner anew, as after a time in which it could not write either."""
        self._since.clear()
