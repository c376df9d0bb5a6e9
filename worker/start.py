"""Whether a trainer that has said nothing yet is still on its way, or hangs.

On a machine that has more to do than it can, loading the engine takes minutes of which the trainer computes in seconds. The next
one would start no quicker, so it is no fault of the run: what counts is whether it gets on, and not how long it takes.
"""

from __future__ import annotations

import time
from collections.abc import Callable

STILL_S = 300.0  # without computing: it waits for something that does not come
MOST_CPU_S = 300.0  # of computing without a word: loading takes a few
LEAST_CPU_S = 0.05  # that it must have computed to be called alive; the system counts in hundredths


class Start:
    """`cpu_s` tells what the trainer has computed; where the system does not tell it, only the time that passes counts."""

    def __init__(self, *, cpu_s: Callable[[], float | None], clock: Callable[[], float] = time.monotonic) -> None:
        self._cpu_s, self._clock = cpu_s, clock
        self._moved_at, self._moved_cpu_s = clock(), cpu_s() or 0.0

    def hung(self) -> str | None:
        """Why it is given up, in a sentence; None while it is on its way."""
        now, cpu_s = self._clock(), self._cpu_s()
        if cpu_s is not None and cpu_s > MOST_CPU_S:
            return f"The trainer computed for {cpu_s:.0f} s and did not start."
        if cpu_s is not None and cpu_s >= self._moved_cpu_s + LEAST_CPU_S:
            self._moved_at, self._moved_cpu_s = now, cpu_s
        if now - self._moved_at > STILL_S:
            return f"The trainer did not start, and for {STILL_S:.0f} s it did nothing."
        return None
