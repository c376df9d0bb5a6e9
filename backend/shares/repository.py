"""Queries over shares."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import or_, select, update
from sqlalchemy.orm import Session

from backend.models import RunRow, ShareRow


class ShareRepository:
    """Reads and writes within one session."""

    def __init__(self, session: Session) -> None:
        self._session = session

    def add(self, share: ShareRow) -> None:
        self._session.add(share)
        self._session.flush()

    def all(self) -> list[tuple[ShareRow, RunRow]]:
        """Every share with its run, newest first."""
        rows = self._session.execute(
            select(ShareRow, RunRow)
            .join(RunRow, RunRow.id == ShareRow.run_id)
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

    def view(self, token_hash: str, *, now: datetime) -> ShareRow | None:
        """The living share with this hash, with one more view counted; None for any other."""
        seen = self._session.execute(
            update(ShareRow)
            .where(
                ShareRow.token_hash == token_hash,
                ShareRow.revoked_at.is_(None),
                or_(ShareRow.expires_at.is_(None), ShareRow.expires_at > now),
            )
            .values(views=ShareRow.views + 1, last_viewed_at=now)
        )
        if seen.rowcount != 1:
            return None
        return self._session.scalars(select(ShareRow).where(ShareRow.token_hash == token_hash)).one()
