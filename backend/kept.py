"""Answers kept in memory until what they show has changed (`backend.store.revision`).

Many people look at the same lists and plots, and their pages ask every few seconds. Of those who ask for the same thing
at the same time one works it out, and the others wait for it.
"""

from __future__ import annotations

import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Hashable
from dataclasses import dataclass, field
from typing import Any, TypeVar

LIMIT_BYTES = 64_000_000

LOOK_S = 1.0  # how long a look at what goes on is told again
LONG_S = 0.1  # one that takes more of a core than this is worked out so seldom that it takes a tenth of a core at most
SHARE = 0.1

Answer = TypeVar("Answer")


@dataclass
class _Place:
    """`answer` counts once there is a `revision`; `lock` is held by whoever works it out."""

    lock: threading.Lock = field(default_factory=threading.Lock)
    revision: int | None = None
    answer: Any = None
    size: int = 0


class Kept:
    """The newest answer of each question, as long as all together take `limit_bytes`; what nobody asked for goes first.
    Safe to call from many threads."""

    def __init__(self, *, limit_bytes: int = LIMIT_BYTES) -> None:
        self._limit = limit_bytes
        self._lock = threading.Lock()
        self._places: OrderedDict[Hashable, _Place] = OrderedDict()
        self._bytes = 0

    def answer(
        self, question: Hashable, revision: int, make: Callable[[], Answer], *, weigh: Callable[[Answer], int]
    ) -> Answer:
        """The answer as of `revision` or newer, of so many bytes; what `make` raises leaves nothing behind."""
        with self._lock:
            place = self._places.setdefault(question, _Place())
            self._places.move_to_end(question)
        with place.lock:
            if place.revision is not None and place.revision >= revision:
                kept: Answer = place.answer
                return kept
            made = make()
            self._put(question, place, revision, made, weigh(made))
            return made

    @property
    def bytes(self) -> int:
        return self._bytes

    def _put(self, question: Hashable, place: _Place, revision: int, made: object, size: int) -> None:
        with self._lock:
            if self._places.get(question) is not place:  # it went meanwhile
                return
            self._bytes += size - place.size
            place.revision, place.answer, place.size = revision, made, size
            while self._bytes > self._limit and self._places:
                _, gone = self._places.popitem(last=False)
                self._bytes -= gone.size


class Look:
    """The newest look at what goes on: for LOOK_S, or until `revision` rises, all are told the same.

    Where a look takes long, as with thousands of runs that wait, what changed meanwhile is told with the next one.
    Safe to call from many threads.
    """

    def __init__(self, *, clock: Callable[[], float] = time.monotonic, spent: Callable[[], float] = time.thread_time):
        self._clock, self._spent = clock, spent
        self._lock = threading.Lock()
        self._made_at, self._took, self._revision = 0.0, 0.0, -1
        self._answer = b""

    def answer(self, revision: int, make: Callable[[], bytes]) -> bytes:
        """`revision`: how new the answer should be; what `make` raises leaves the last one as it was."""
        with self._lock:
            age, rest = self._clock() - self._made_at, self._took / SHARE
            fresh = self._revision >= revision and age < max(LOOK_S, rest)
            if self._answer and (fresh or (self._took > LONG_S and age < rest)):
                return self._answer
            begun, first = self._spent(), not self._answer
            self._answer = make()
            took = 0.0 if first else self._spent() - begun  # the first of a process prepares its statements too
            self._made_at, self._took, self._revision = self._clock(), took, revision
            return self._answer
