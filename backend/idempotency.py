"""A request that is sent twice makes one thing: `Idempotency-Key` with the digest of what was asked."""

from __future__ import annotations

from datetime import datetime, timedelta

from sqlalchemy import delete
from sqlalchemy.orm import Session

from backend.store.models import IdempotencyKeyRow
from core.errors import BadValue, IdempotencyConflict
from core.schemas.base import digest

KEPT_FOR = timedelta(days=7)
MAX_LENGTH = 255
OWNED = "\n"  # between the account and its key, which holds no such sign


def check_key(key: str) -> None:
    """Raises BadValue for a key that is empty, too long or not plain ASCII."""
    if not (1 <= len(key) <= MAX_LENGTH and key.isascii() and key.isprintable()):
        raise BadValue(
            field="Idempotency-Key", value=key[:64], expected=f"1 to {MAX_LENGTH} printable ASCII characters"
        )


def owned(key: str | None, account: str | None) -> str | None:
    """The key as it is kept: of two accounts with one word each has its own. Nobody's by name stands as it is."""
    if key is None or account is None:
        return key
    kept = f"{account}{OWNED}{key}"
    return kept if len(kept) <= MAX_LENGTH else f"{account}{OWNED}{digest(key)}"


def find(session: Session, key: str, body_hash: str) -> IdempotencyKeyRow | None:
    """What this key made; raises IdempotencyConflict when it stood on another body, or made the other kind of thing."""
    row = session.get(IdempotencyKeyRow, key)
    if row is not None and row.body_hash != body_hash:
        raise IdempotencyConflict(key=key.rpartition(OWNED)[2])
    return row


def remember(
    session: Session, key: str, body_hash: str, *, run_id: str | None = None, sweep_id: str | None = None, now: datetime
) -> None:
    """Store the key; old keys go. A key that another request stored meanwhile is an IntegrityError at flush."""
    session.execute(delete(IdempotencyKeyRow).where(IdempotencyKeyRow.created_at < now - KEPT_FOR))
    session.add(IdempotencyKeyRow(key=key, body_hash=body_hash, run_id=run_id, sweep_id=sweep_id, created_at=now))
    session.flush()


def forget(session: Session, run_id: str) -> None:
    """Drop the keys of a run that was deleted: the same request then makes a new run, not a hidden one."""
    session.execute(delete(IdempotencyKeyRow).where(IdempotencyKeyRow.run_id == run_id))
