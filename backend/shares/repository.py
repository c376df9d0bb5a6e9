"""Queries over shares."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import ColumnElement, and_, or_, select
from sqlalchemy.orm import Session

from backend.store.models import RunRow, ShareRow


class ShareRepository:
    """Reads and writes within one session."""

    def __init__(self, session: Session) -> None:
        self._session = session

    def add(self, share: ShareRow) -> None:
        self._session.add(share)
        self._session.flush()

    def all(self) -> list[tuple[ShareRow, RunRow | None]]:
        """Every share with the run it hangs on, newest first; those that hang on a deleted run are not shown."""
        rows = self._session.execute(
            select(ShareRow, RunRow)
            .outerjoin(RunRow, RunRow.id == ShareRow.run_id)
            .where(RunRow.deleted_at.is_(None))
            .order_by(ShareRow.created_at.desc(), ShareRow.id.desc())
        )
        return [(share, run) for share, run in rows]

    def revoke(self, share_id: str, *, now: datetime) -> bool:
        """Mark a share as withdrawn; one that is already keeps its time. False when there is no such share."""
        share = self._session.get(ShareRow, share_id)
        if share is None:
            return False
        share.revoked_at = share.revoked_at or now
        return True

    def living(self, token_hash: str, *, now: datetime) -> ShareRow | None:
        """The share with this hash that is neither withdrawn nor over; None for any other."""
        return self._session.scalars(select(ShareRow).where(ShareRow.token_hash == token_hash, _living(now))).first()

    def frozen_and_over(self, *, now: datetime) -> list[str]:
        """Frozen shares whose time is over."""
        return list(self._session.scalars(select(ShareRow.id).where(ShareRow.frozen, ShareRow.expires_at <= now)))


def _living(now: datetime) -> ColumnElement[bool]:
    return and_(ShareRow.revoked_at.is_(None), or_(ShareRow.expires_at.is_(None), ShareRow.expires_at > now))
