"""Who has shown the key or signed in: random ids with an end, in this process alone, and what each asks the API with.

A cookie is sent to every server on its host name, whatever the port, so another user's local page may see ours. Its value
therefore follows from nothing (not from the key, which opens the API too), and ends with its time or with this process.
"""

from __future__ import annotations

import hashlib
import secrets
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

DAYS = 7
MOST = 256  # browsers at once; the oldest makes room


@dataclass(frozen=True, kw_only=True)
class Session:
    """`credential` is what its pages show the API; `id` is the hash that the session is kept under."""

    id: bytes
    ends: float
    credential: str


class Sessions:
    """Ids given out, by their hash: what is looked up says nothing about one that is there."""

    def __init__(self, *, lifetime_s: float = DAYS * 86400, clock: Callable[[], float] = time.time) -> None:
        self.lifetime_s = lifetime_s
        self._clock = clock
        self._known: dict[bytes, Session] = {}  # in the order of their beginning, which is that of their end

    def begin(self, credential: str) -> str:
        """A new id, good until its end."""
        now = self._clock()
        self._known = {id: one for id, one in self._known.items() if one.ends > now}
        while len(self._known) >= MOST:
            del self._known[next(iter(self._known))]
        value = secrets.token_urlsafe(32)
        id = _hash(value)
        self._known[id] = Session(id=id, ends=now + self.lifetime_s, credential=credential)
        return value

    def of(self, values: Iterable[str]) -> Session | None:
        """The session among `values` that ends last; None where none is one that has not ended."""
        found = [one for value in values if (one := self._known.get(_hash(value))) is not None and self.left_s(one) > 0]
        return max(found, key=lambda one: one.ends, default=None)

    def left_s(self, one: Session) -> float:
        return one.ends - self._clock()

    def end(self, one: Session) -> None:
        self._known.pop(one.id, None)


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
