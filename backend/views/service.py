"""Views that were kept: an installation's own, in its database."""

from __future__ import annotations

import secrets

from sqlalchemy import delete, func, select
from sqlalchemy.exc import IntegrityError

from backend.context import Context
from backend.store.db import rows_changed, utc_now
from backend.store.models import SavedViewRow
from core.errors import BadValue, NotFound
from core.schemas.saved_view import MOST_VIEWS, NewView, SavedView


def listed(context: Context) -> list[SavedView]:
    """Sorted here: each database sorts words by a language of its own."""
    with context.database.read() as session:
        rows = list(session.scalars(select(SavedViewRow)))
    return [_shown(row) for row in sorted(rows, key=lambda row: (row.name.casefold(), row.id))]


def save(context: Context, view: NewView) -> SavedView:
    """Raises BadValue where there are too many."""
    try:
        return _save(context, view)
    except IntegrityError:  # another request made one of this name at the same time: it is changed
        return _save(context, view)


def _save(context: Context, view: NewView) -> SavedView:
    with context.database.write() as session:
        row = session.scalars(select(SavedViewRow).where(SavedViewRow.name == view.name)).first()
        if row is None:
            if (session.scalar(select(func.count()).select_from(SavedViewRow)) or 0) >= MOST_VIEWS:
                raise BadValue(
                    field="name", value=view.name, expected=f"one of the {MOST_VIEWS} that there are already"
                )
            row = SavedViewRow(id=secrets.token_hex(8), name=view.name, parts=dict(view.parts), created_at=utc_now())
            session.add(row)
        row.parts = dict(view.parts)
        return _shown(row)


def forget(context: Context, view_id: str) -> None:
    """Raises NotFound."""
    with context.database.write() as session:
        if not rows_changed(session, delete(SavedViewRow).where(SavedViewRow.id == view_id)):
            raise NotFound(kind="view", id=view_id)


def _shown(row: SavedViewRow) -> SavedView:
    return SavedView(id=row.id, name=row.name, parts=row.parts, created_at=row.created_at)
