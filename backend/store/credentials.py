"""Tokens and sessions of accounts: random text of which the database holds the SHA-256, and whom one stands for."""

from __future__ import annotations

import hashlib
import hmac
import re
import secrets
from datetime import datetime, timedelta
from typing import TypeVar

from sqlalchemy import select, update

from backend.store.actors import Actor
from backend.store.db import Database, utc_now
from backend.store.models import AccessTokenRow, AccountRow, SessionRow
from core.errors import SpikefrontError
from core.schemas.accounts import Role, Scope

Kept = TypeVar("Kept", AccessTokenRow, SessionRow)
TOKEN, SESSION = "sft_", "sfs_"  # what each begins with; a scanner for leaked secrets finds them by it
BYTES = 32  # 256 bits
#: The form of both. Anything else is nobody's, which is known without asking the database.
FORM = re.compile(r"sf[ts]_[A-Za-z0-9_-]{43}")
USED_S = 60.0  # `last_used_at` is to the minute: not every request writes
PATIENCE_MS = 50  # for the turn to write that


def made(kind: str) -> tuple[str, str]:
    """A new value, and the hash of it that is kept."""
    value = f"{kind}{secrets.token_urlsafe(BYTES)}"
    return value, hashed(value)


def hashed(value: str) -> str:
    """256 random bits need no slow hash: they cannot be guessed from their digest."""
    return hashlib.sha256(value.encode("utf-8", "replace")).hexdigest()


def identify(database: Database, value: str, *, now: datetime | None = None) -> Actor | None:
    """Whom a credential stands for; None of one that is not there, has ended or was revoked, or of a disabled account.

    What a token may is the least of its scope and the account's role as it is now.
    """
    if not FORM.fullmatch(value):
        return None
    now, digest = now or utc_now(), hashed(value)
    return _by_token(database, digest, now) if value.startswith(TOKEN) else _by_session(database, digest, now)


def _kept(database: Database, table: type[Kept], digest: str) -> tuple[Kept, AccountRow] | None:
    """The row of that hash with its account, unless that one is disabled."""
    wanted = select(table, AccountRow).join(AccountRow, AccountRow.name == table.account)
    with database.read() as session:
        found = session.execute(wanted.where(table.token_hash == digest)).one_or_none()
    if found is None or not hmac.compare_digest(found[0].token_hash, digest) or found[1].disabled:
        return None
    return found[0], found[1]


def _by_token(database: Database, digest: str, now: datetime) -> Actor | None:
    found = _kept(database, AccessTokenRow, digest)
    if found is None:
        return None
    token, account = found
    if token.revoked_at is not None:
        return None
    if token.expires_at is not None and token.expires_at <= now:
        return None
    if token.last_used_at is None or token.last_used_at < now - timedelta(seconds=USED_S):
        _used(database, token.id, now)
    most = Role(account.role).scope
    scope = Scope(token.scope)
    return Actor(scope=scope if most.covers(scope) else most, via="token", name=account.name)


def _by_session(database: Database, digest: str, now: datetime) -> Actor | None:
    found = _kept(database, SessionRow, digest)
    if found is None:
        return None
    signed_in, account = found
    if signed_in.expires_at <= now:
        return None
    return Actor(scope=Role(account.role).scope, via="session", name=account.name, session=digest)


def _used(database: Database, token_id: str, now: datetime) -> None:
    """Whoever asks waits for nothing: what is not written now is written with a later request."""
    try:
        with database.write(patience_ms=PATIENCE_MS) as session:
            session.execute(update(AccessTokenRow).where(AccessTokenRow.id == token_id).values(last_used_at=now))
    except SpikefrontError:
        pass
