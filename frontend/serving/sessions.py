"""Who has shown the key: random ids with an end, kept in this process alone.

A cookie is sent to every server on its host name, whatever the port, so another user's local page may see ours. Its value
therefore follows from nothing (not from the key, which opens the API too), and ends with its time or with this process.
"""

from __future__ import annotations

import hashlib
import secrets
import time
from collections.abc import Callable, Iterable, Iterator

DAYS = 7
MOST = 256  # browsers at once; the oldest makes room


class Sessions:
    """Ids given out, by their hash: what is looked up says nothing about one that is there."""

    def __init__(self, *, lifetime_s: float = DAYS * 86400, clock: Callable[[], float] = time.time) -> None:
        self.lifetime_s = lifetime_s
        self._clock = clock
        self._ends: dict[bytes, float] = {}  # in the order of their beginning, which is that of their end

    def begin(self) -> str:
        """A new id, good until its end."""
        now = self._clock()
        self._ends = {known: end for known, end in self._ends.items() if end > now}
        while len(self._ends) >= MOST:
            del self._ends[next(iter(self._ends))]
        value = secrets.token_urlsafe(32)
        self._ends[_hash(value)] = now + self.lifetime_s
        return value

    def left_s(self, values: Iterable[str]) -> float:
        """Seconds until the end of the longest session among `values`; 0 where none is one."""
        now = self._clock()
        return max((self._ends.get(_hash(value), now) - now for value in values), default=0.0)


def cookie_values(header: str, name: str) -> Iterator[str]:
    """Every value of a cookie, in a header that other servers of the same host name fill too.

    Read by hand: `http.cookies` drops all that follows a cookie that it cannot read.
    """
    for pair in header.split(";"):
        found, _, value = pair.partition("=")
        if found.strip() == name:
            yield value.strip()


def _hash(value: str) -> bytes:
    return hashlib.sha256(value.encode("utf-8", "surrogateescape")).digest()
