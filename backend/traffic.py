"""How many requests each route was asked, how they ended, and how long they took until their answer began."""

from __future__ import annotations

import threading
from bisect import bisect_left
from collections import Counter
from dataclasses import dataclass

#: Upper bounds in seconds of a histogram's buckets; what took longer is counted beyond the last one.
BOUNDS_S = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
METHODS = frozenset({"GET", "HEAD", "POST", "PATCH", "PUT", "DELETE", "OPTIONS"})
OTHER = "other"  # whoever asks chooses the method, and no label is anybody's text


@dataclass(frozen=True, kw_only=True)
class Latency:
    """Of one method and route: `counts` has an entry a bound and one beyond, none cumulated."""

    counts: tuple[int, ...]
    total_s: float


class Traffic:
    """Of this process since its start. Safe to use from any thread."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._ended: Counter[tuple[str, str, int]] = Counter()
        self._counts: dict[tuple[str, str], list[int]] = {}
        self._total_s: dict[tuple[str, str], float] = {}

    def count(self, method: str, route: str, status: int, seconds: float) -> None:
        """`route`: the pattern, never an address."""
        method = method if method in METHODS else OTHER
        with self._lock:
            self._ended[method, route, status] += 1
            counts = self._counts.setdefault((method, route), [0] * (len(BOUNDS_S) + 1))
            counts[bisect_left(BOUNDS_S, seconds)] += 1
            self._total_s[method, route] = self._total_s.get((method, route), 0.0) + seconds

    def ended(self) -> dict[tuple[str, str, int], int]:
        """(method, route, status) -> how many."""
        with self._lock:
            return dict(self._ended)

    def latencies(self) -> dict[tuple[str, str], Latency]:
        """By (method, route)."""
        with self._lock:
            return {
                key: Latency(counts=tuple(counts), total_s=self._total_s[key]) for key, counts in self._counts.items()
            }
