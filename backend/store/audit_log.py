"""Who did what to which, and when: written in the transaction of the act itself, never changed, and kept for long."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime

from sqlalchemy import delete, func, select
from sqlalchemy.orm import Session

from backend.store.actors import COMMAND, Actor
from backend.store.db import rows_changed, utc_now
from backend.store.models import AuditEntryRow
from core.schemas.accounts import AuditEntry, AuditLog

#: What is noted. The first part is what it is about.
ACTIONS = (
    "sign-in",
    "sign-in.failed",
    "sign-in.blocked",
    "sign-out",
    "account.made",
    "account.disabled",
    "account.enabled",
    "account.linked",
    "account.unlinked",
    "role.changed",
    "password.changed",
    "token.made",
    "token.revoked",
    "run.deleted",
    "run.purged",
    "share.made",
    "share.removed",
    "dataset.added",
    "dataset.replaced",
    "audit-log.pruned",
)
SUBJECT, ADDRESS = 255, 64  # signs


def note(session: Session, actor: Actor, action: str, subject: str = "", **detail: str | float | bool | None) -> None:
    """One entry. `subject`: a name or an id; no secret, and no text that somebody typed into another field."""
    note_of(session, action, subject, by=actor.name, via=actor.via, address=None, **detail)


def note_of(
    session: Session,
    action: str,
    subject: str,
    *,
    by: str | None,
    via: str,
    address: str | None = None,
    **detail: str | float | bool | None,
) -> None:
    """The same of whoever has no credential yet."""
    assert action in ACTIONS, action
    entry = AuditEntryRow(
        at=utc_now(),
        actor=by,
        via=via,
        address=address and address[:ADDRESS],
        action=action,
        subject=subject[:SUBJECT],
        detail=dict(detail),
    )
    session.add(entry)


def old_entries(session: Session, before: datetime) -> int:
    """How many are from before then."""
    return session.scalar(select(func.count()).select_from(AuditEntryRow).where(AuditEntryRow.at < before)) or 0


def prune(session: Session, before: datetime) -> None:
    """Take those out, and note that."""
    removed = rows_changed(session, delete(AuditEntryRow).where(AuditEntryRow.at < before))
    if removed:
        note(session, COMMAND, "audit-log.pruned", f"before {before:%Y-%m-%d}", entries=removed)


def page(session: Session, *, before: int | None, limit: int, actor: str | None, actions: Iterable[str]) -> AuditLog:
    """Newest first; entries older than the one with the id `before`."""
    wanted = select(AuditEntryRow).order_by(AuditEntryRow.id.desc()).limit(limit + 1)
    if before is not None:
        wanted = wanted.where(AuditEntryRow.id < before)
    if actor is not None:
        wanted = wanted.where(AuditEntryRow.actor == actor)
    if chosen := list(actions):
        wanted = wanted.where(AuditEntryRow.action.in_(chosen))
    rows = list(session.scalars(wanted))
    shown = rows[:limit]
    return AuditLog(
        items=[
            AuditEntry(
                id=row.id,
                at=row.at,
                actor=row.actor,
                via=row.via,
                address=row.address,
                action=row.action,
                subject=row.subject,
                detail=row.detail,
            )
            for row in shown
        ],
        next_cursor=str(shown[-1].id) if len(rows) > limit else None,
    )
