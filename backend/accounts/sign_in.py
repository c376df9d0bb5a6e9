"""Signing in by name and password, and out: a session in the database, which ends."""

from __future__ import annotations

import logging
from datetime import timedelta

from sqlalchemy import delete, func, select, update
from sqlalchemy.orm import Session

from backend.accounts import passwords, tries
from backend.store import audit_log, credentials
from backend.store.actors import Actor
from backend.store.db import Database, utc_now
from backend.store.models import AccountRow, SessionRow
from core.errors import NotFound, SignInFailed, TooManyTries
from core.schemas.accounts import PasswordChange, Role, SignedIn, SignIn

log = logging.getLogger("spikefront.accounts")

LIFETIME = timedelta(days=7)
DOOR = "door"  # of an entry of the audit log: whoever is not in yet
NOBODY = "(no such account)"  # what was typed may be a password


def any_account(database: Database) -> bool:
    with database.read() as session:
        return bool(session.scalar(select(func.count()).select_from(AccountRow)))


def has_password(database: Database, actor: Actor) -> bool:
    """Whether the account that asks signs in by one."""
    if actor.name is None:
        return False
    with database.read() as session:
        row = session.get(AccountRow, actor.name)
    return row is not None and row.password_hash is not None


def sign_in(database: Database, asked: SignIn, *, address: str | None) -> SignedIn:
    """A new session. Raises TooManyTries, or SignInFailed, which says nothing of whether there is such an account."""
    name = asked.name.strip().lower()
    account = _proved(database, name, asked.password, address=address)
    kept = account.password_hash
    renewed = passwords.hashed(asked.password) if kept is not None and passwords.is_old(kept) else None
    with database.write() as session:  # which waits for nothing that takes as long as a password
        if renewed is not None:
            session.execute(update(AccountRow).where(AccountRow.name == account.name).values(password_hash=renewed))
        return began(session, account, address=address)


def began(session: Session, account: AccountRow, *, address: str | None, **detail: str) -> SignedIn:
    """A session of somebody who has shown who they are."""
    value, digest = credentials.made(credentials.SESSION)
    now = utc_now()
    ends = now + LIFETIME
    session.execute(delete(SessionRow).where(SessionRow.expires_at <= now))
    session.add(SessionRow(token_hash=digest, account=account.name, created_at=now, expires_at=ends))
    audit_log.note_of(session, "sign-in", account.name, by=account.name, via="session", address=address, **detail)
    log.info("account.signed_in", extra={"account": account.name, **detail})
    return SignedIn(token=value, expires_at=ends, name=account.name, role=Role(account.role))


def sign_out(database: Database, actor: Actor) -> None:
    """Ends the session that asks; of another credential nothing ends."""
    if actor.session is None:
        return
    with database.write() as session:
        session.execute(delete(SessionRow).where(SessionRow.token_hash == actor.session))
        audit_log.note(session, actor, "sign-out", actor.name or "")


def change_password(database: Database, actor: Actor, change: PasswordChange, *, address: str | None) -> None:
    """The account's own password; its other sessions end. Raises SignInFailed, TooManyTries, NotFound without one."""
    if actor.name is None:
        raise NotFound(kind="account of this token", id="installation")
    _proved(database, actor.name, change.current, address=address)
    kept = passwords.hashed(change.new)
    with database.write() as session:
        session.execute(update(AccountRow).where(AccountRow.name == actor.name).values(password_hash=kept))
        end_sessions(session, actor.name, but=actor.session)
        audit_log.note(session, actor, "password.changed", actor.name)


def end_sessions(session: Session, name: str, *, but: str | None = None) -> None:
    ending = delete(SessionRow).where(SessionRow.account == name)
    session.execute(ending if but is None else ending.where(SessionRow.token_hash != but))


def _proved(database: Database, name: str, password: str, *, address: str | None) -> AccountRow:
    """The account whose password that is. Takes as long, and says the same, whatever is wrong."""
    counted = tries.keys(name, address)
    with database.read() as session:
        account = session.get(AccountRow, name)
    known = NOBODY if account is None else account.name
    noted_try(database, counted, known=known, address=address)
    usable = account is not None and not account.disabled
    right = passwords.fits(password, account.password_hash if account is not None and usable else None)
    with database.write() as session:
        if not right or account is None:
            audit_log.note_of(session, "sign-in.failed", known, by=None, via=DOOR, address=address)
        else:
            tries.take_back(session, counted)
    if not right or account is None:
        log.warning("account.sign_in_failed", extra={"account": known, "client": address})
        raise SignInFailed()
    return account


def noted_try(database: Database, counted: dict[str, int], *, known: str, address: str | None, **detail: str) -> None:
    """A try is counted before anything is looked at; raises TooManyTries."""
    with database.write() as session:
        wait_s, first = tries.begin(session, counted, now=utc_now())
        if first:  # the others are only counted: whoever goes on fills no log
            audit_log.note_of(session, "sign-in.blocked", known, by=None, via=DOOR, address=address, **detail)
    if wait_s:
        log.warning("account.sign_in_blocked", extra={"account": known, "client": address})
        raise TooManyTries(wait_s=wait_s)
