"""How often each link was opened. Whoever opens one never waits for the database's turn to write."""

from __future__ import annotations

import logging
import threading
from collections.abc import Mapping
from datetime import datetime

from sqlalchemy import update
from sqlalchemy.orm import Session

from backend.store.db import Database
from backend.store.models import ShareRow
from core.errors import SpikefrontError

log = logging.getLogger("spikefront.shares")

PATIENCE_MS = 50  # for the turn to write; what is not written now is written with the next view


class ViewCounts:
    """Views that are not written yet: link -> how many, and when the last one was. Safe to use from any thread."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._lock = threading.Lock()
        self._writing = threading.Lock()
        self._waiting: dict[str, tuple[int, datetime]] = {}

    def add(self, share_id: str, *, now: datetime) -> None:
        """Count a view, and write what waits, if it is quickly done."""
        self._put(share_id, 1, now)
        self.write()

    def waiting(self, share_id: str) -> tuple[int, datetime | None]:
        with self._lock:
            return self._waiting.get(share_id, (0, None))

    def write(self) -> None:
        """One thread at a time; another one's views are taken along the next time."""
        if not self._writing.acquire(blocking=False):
            return
        try:
            with self._lock:
                taken, self._waiting = self._waiting, {}
            if taken:
                self._store(taken)
        finally:
            self._writing.release()

    def _store(self, taken: Mapping[str, tuple[int, datetime]]) -> None:
        try:
            with self._database.write(patience_ms=PATIENCE_MS) as session:
                for share_id, (count, at) in taken.items():
                    _count(session, share_id, count, now=at)
        except SpikefrontError as error:
            log.info("share.views_wait", extra={"why": error.code, "shares": len(taken)})
            for share_id, (count, at) in taken.items():
                self._put(share_id, count, at)

    def _put(self, share_id: str, count: int, at: datetime) -> None:
        with self._lock:
            known, last = self._waiting.get(share_id, (0, at))
            self._waiting[share_id] = (known + count, max(last, at))


def _count(session: Session, share_id: str, count: int, *, now: datetime) -> None:
    """Count views of a share, the last one at `now`."""
    seen = update(ShareRow).where(ShareRow.id == share_id)
    session.execute(seen.values(views=ShareRow.views + count, last_viewed_at=now))
