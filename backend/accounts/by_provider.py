"""Signing in through the provider: whose account it is, who gets one, and which role it has.

An account is whoever's subject it has been given, by an administrator or by the sign-in that made it; a name that is the
same links nothing, since the provider's people may choose theirs.
"""

from __future__ import annotations

import hashlib
import logging
from dataclasses import dataclass
from datetime import datetime

from pydantic import TypeAdapter, ValidationError
from sqlalchemy import delete, select
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from backend.accounts import tries
from backend.accounts.sign_in import DOOR, NOBODY, began, noted_try
from backend.provider.oidc import Person, Provider
from backend.provider.refusals import TOO_LATE, refused
from backend.store import audit_log
from backend.store.db import Database, utc_now
from backend.store.models import AccountRow, SpentTicketRow
from core.errors import ProviderDown, SignInRefused
from core.schemas.accounts import AccountName, ProviderAnswer, Role, SignedIn
from core.settings import Settings

log = logging.getLogger("spikefront.accounts")

WAY = "provider"  # in an entry of the audit log
NAME: TypeAdapter[str] = TypeAdapter(AccountName)


@dataclass(frozen=True, kw_only=True)
class Refusal:
    """`why` is for the audit log, `sentence` for the person, who has shown the provider who they are."""

    why: str
    sentence: str


DISABLED = Refusal(why="disabled", sentence="Your account is disabled.")
NO_ACCOUNT = Refusal(
    why="no account", sentence="The provider knows you, and you have no account here. Ask an administrator for one."
)
NO_ROLE = Refusal(why="no role", sentence="The provider knows you, and none of your groups has a role here.")
NO_NAME = Refusal(
    why="no name",
    sentence="The provider tells no name of yours that an account can have. Ask an administrator for an account.",
)
NAME_TAKEN = Refusal(
    why="name taken",
    sentence="There is an account of your name that is not linked to you at the provider. An administrator can do that.",
)


def sign_in(
    database: Database, settings: Settings, provider: Provider, answer: ProviderAnswer, *, address: str | None
) -> SignedIn:
    """A new session, as by password. Raises TooManyTries, SignInRefused or ProviderDown."""
    counted = tries.keys(None, address)
    noted_try(database, counted, known=NOBODY, address=address, way=WAY)
    try:
        _spend(database, answer.ticket, provider.ends_at(answer))
        person = provider.person(answer)
    except ProviderDown:
        with database.write() as session:  # nobody's failure
            tries.take_back(session, counted)
        raise
    except SignInRefused:
        with database.write() as session:
            audit_log.note_of(session, "sign-in.failed", NOBODY, by=None, via=DOOR, address=address, way=WAY)
        raise
    try:
        with database.write() as session:
            found = account_of(session, settings, person)
            if isinstance(found, AccountRow):
                tries.take_back(session, counted)
                return began(session, found, address=address, way=WAY)
            known = _theirs(session, provider.issuer, person)
            audit_log.note_of(
                session,
                "sign-in.failed",
                NOBODY if known is None else known.name,
                by=None,
                via=DOOR,
                address=address,
                way=WAY,
                why=found.why,
                provider_subject=person.subject,  # what an administrator links an account by
            )
    except IntegrityError:  # the same person's first sign-in, twice at once
        raise refused("made twice", TOO_LATE) from None
    raise refused(found.why, found.sentence)


def account_of(session: Session, settings: Settings, person: Person) -> AccountRow | Refusal:
    """Their account with the role that it now has, made where the settings say so; or why there is none."""
    assert settings.oidc_issuer is not None
    given = role_of(settings, person)
    row = _theirs(session, settings.oidc_issuer, person)
    if row is not None and row.disabled:
        return DISABLED
    if row is None:
        return _made(session, settings, person, given)
    if settings.oidc_roles:  # then the provider says who may what
        if given is None:
            return NO_ROLE
        if row.role != given:
            audit_log.note_of(
                session, "role.changed", row.name, by=row.name, via=DOOR, before=row.role, now=given.value, way=WAY
            )
            row.role = given
    return row


def role_of(settings: Settings, person: Person) -> Role | None:
    """The highest that a group of theirs gives; where everybody gets an account, a viewer's at least."""
    ranks = list(Role)
    given = [role for group, role in settings.oidc_roles if group in person.groups]
    given += [Role.VIEWER] if settings.oidc_accounts == "viewer" else []
    return max(given, key=ranks.index, default=None)


def _made(session: Session, settings: Settings, person: Person, given: Role | None) -> AccountRow | Refusal:
    """An account of a name that nobody has."""
    if settings.oidc_accounts == "off":
        return NO_ACCOUNT
    if given is None:
        return NO_ROLE
    try:
        name = NAME.validate_python(person.name)
    except ValidationError:
        return NO_NAME
    if session.get(AccountRow, name) is not None:
        return NAME_TAKEN
    row = AccountRow(
        name=name,
        role=given,
        password_hash=None,
        disabled=False,
        created_at=utc_now(),
        issuer=settings.oidc_issuer,
        subject=person.subject,
    )
    session.add(row)
    session.flush()
    audit_log.note_of(session, "account.made", name, by=name, via=DOOR, role=given.value, way=WAY)
    log.info("account.made", extra={"account": name})
    return row


def _theirs(session: Session, issuer: str, person: Person) -> AccountRow | None:
    wanted = select(AccountRow).where(AccountRow.issuer == issuer, AccountRow.subject == person.subject)
    return session.scalar(wanted.with_for_update())


def _spend(database: Database, ticket: str, ends_at: datetime) -> None:
    """A ticket is good for one answer, whichever copy of the API is asked; raises SignInRefused."""
    row = SpentTicketRow(ticket_hash=hashlib.sha256(ticket.encode()).hexdigest(), ends_at=ends_at)
    try:
        with database.write() as session:
            session.execute(delete(SpentTicketRow).where(SpentTicketRow.ends_at <= utc_now()))
            session.add(row)
            session.flush()
    except IntegrityError:
        raise refused("spent", TOO_LATE) from None
