"""Accounts and their tokens, made, listed, changed, revoked: for the API, `spikefront user` and `spikefront token`."""

from __future__ import annotations

import logging
import secrets
from datetime import timedelta

from sqlalchemy import select
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from backend.accounts import passwords
from backend.accounts.sign_in import end_sessions
from backend.store import audit_log, credentials
from backend.store.actors import Actor
from backend.store.db import Database, utc_now
from backend.store.models import AccessTokenRow, AccountRow
from core.errors import BadValue, Forbidden, NotFound, NotYours
from core.schemas.accounts import Account, AccountChange, NewAccount, NewToken, Role, Scope, Token, TokenRequest

log = logging.getLogger("spikefront.accounts")


class AccountService:
    """Stateless. Who may ask for accounts is said by the gate; whose a token is, here."""

    def __init__(self, database: Database, actor: Actor, *, issuer: str | None = None) -> None:
        """`issuer`: the provider that people sign in through here; None without one."""
        self._database = database
        self._actor = actor
        self._issuer = issuer

    def all(self) -> list[Account]:
        """By name."""
        with self._database.read() as session:
            return [_shown(row) for row in sorted(session.scalars(select(AccountRow)), key=lambda row: row.name)]

    def add(self, new: NewAccount) -> Account:
        """Raises BadValue for a name that is taken."""
        kept = None if new.password is None else passwords.hashed(_fit(new.name, new.password))
        row = AccountRow(name=new.name, role=new.role, password_hash=kept, disabled=False, created_at=utc_now())
        try:
            with self._database.write() as session:
                session.add(row)
                session.flush()
                audit_log.note(session, self._actor, "account.made", new.name, role=new.role.value)
        except IntegrityError:
            raise BadValue(field="name", value=new.name, expected="a name that no account has") from None
        log.info("account.made", extra={"account": new.name})
        return _shown(row)

    def change(self, name: str, change: AccountChange) -> Account:
        """Raises NotFound or BadValue. A new password, another subject and a disabled account end every page that is
        signed in."""
        kept = None if change.password is None else passwords.hashed(_fit(name, change.password))
        try:
            return self._changed(name, change, kept)
        except IntegrityError:
            raise BadValue(field="subject", value=change.subject, expected="that of no other account") from None

    def _changed(self, name: str, change: AccountChange, kept: str | None) -> Account:
        with self._database.write() as session:
            row = _require(session, name, to_change=True)
            if change.role is not None and change.role != row.role:
                audit_log.note(session, self._actor, "role.changed", name, before=row.role, now=change.role.value)
                row.role = change.role
            if change.disabled is not None and change.disabled != row.disabled:
                act = "account.disabled" if change.disabled else "account.enabled"
                audit_log.note(session, self._actor, act, name)
                row.disabled = change.disabled
            if kept is not None:
                audit_log.note(session, self._actor, "password.changed", name)
                row.password_hash = kept
            linked = change.subject is not None and self._link(session, row, change.subject)
            if kept is not None or change.disabled or linked:
                end_sessions(session, name)
            session.flush()
        return _shown(row)

    def _link(self, session: Session, row: AccountRow, subject: str) -> bool:
        """Whether the account is another person's at the provider from now on, or nobody's."""
        if subject and self._issuer is None:
            expected = "left out where SPIKEFRONT_OIDC_ISSUER names no provider"
            raise BadValue(field="subject", value=subject, expected=expected)
        now = (self._issuer, subject) if subject else (None, None)
        if (row.issuer, row.subject) == now:
            return False
        row.issuer, row.subject = now
        audit_log.note(session, self._actor, "account.linked" if subject else "account.unlinked", row.name)
        return True

    def tokens(self) -> list[Token]:
        """One's own; of every account for whoever administers. Newest first."""
        wanted = select(AccessTokenRow).order_by(AccessTokenRow.created_at.desc(), AccessTokenRow.id)
        if not self._administers:
            wanted = wanted.where(AccessTokenRow.account == self._actor.name)
        with self._database.read() as session:
            return [_token(row) for row in session.scalars(wanted)]

    def add_token(self, asked: TokenRequest) -> NewToken:
        """Its value is in this answer alone.

        Raises NotFound, BadValue for a scope above the account's role, NotYours for another's account, or Forbidden for
        a token that would make another one: what leaks shall not live on in its children.
        """
        if self._actor.via == "token" and not self._administers:
            raise Forbidden(needed=Scope.ADMIN.value, given=self._actor.scope.value)
        owner = asked.account or self._actor.name
        if owner is None:
            expected = "the name of an account, since this token is no person's"
            raise BadValue(field="account", value=None, expected=expected)
        if owner != self._actor.name and not self._administers:
            raise NotYours(what="account", owner=owner)
        value, digest = credentials.made(credentials.TOKEN)
        now = utc_now()
        with self._database.write() as session:
            account = _require(session, owner)
            most = Role(account.role).scope
            if not most.covers(asked.scope):
                raise BadValue(
                    field="scope",
                    value=asked.scope.value,
                    expected=f"{most.value} or less: {owner} is a {account.role}",
                )
            row = AccessTokenRow(
                id=secrets.token_hex(8),
                account=owner,
                name=asked.name,
                token_hash=digest,
                scope=asked.scope,
                created_at=now,
                expires_at=None if asked.expires_in_days is None else now + timedelta(days=asked.expires_in_days),
            )
            session.add(row)
            audit_log.note(
                session, self._actor, "token.made", row.id, account=owner, scope=asked.scope.value, name=asked.name
            )
        return NewToken(**dict(_token(row)), token=value)

    def revoke_token(self, token_id: str) -> None:
        """For good; doing it twice changes nothing. Raises NotFound, for another's too."""
        with self._database.write() as session:
            row = session.get(AccessTokenRow, token_id)
            if row is None or not (self._administers or row.account == self._actor.name):
                raise NotFound(kind="token", id=token_id)
            if row.revoked_at is None:
                row.revoked_at = utc_now()
                audit_log.note(session, self._actor, "token.revoked", token_id, account=row.account)

    @property
    def _administers(self) -> bool:
        return self._actor.scope.covers(Scope.ADMIN)


def _require(session: Session, name: str, *, to_change: bool = False) -> AccountRow:
    row = session.get(AccountRow, name, with_for_update=to_change or None)
    if row is None:
        raise NotFound(kind="account", id=name)
    return row


def _fit(name: str, password: str) -> str:
    if password.strip().lower() == name:
        raise BadValue(field="password", value="(not shown)", expected="another word than the account's name")
    return password


def _shown(row: AccountRow) -> Account:
    return Account(
        name=row.name,
        role=Role(row.role),
        disabled=row.disabled,
        has_password=row.password_hash is not None,
        subject=row.subject,
        created_at=row.created_at,
    )


def _token(row: AccessTokenRow) -> Token:
    return Token(
        id=row.id,
        account=row.account,
        name=row.name,
        scope=Scope(row.scope),
        created_at=row.created_at,
        expires_at=row.expires_at,
        revoked_at=row.revoked_at,
        last_used_at=row.last_used_at,
    )
