"""Cursors of lists that show the newest first: the time and id of the last row that was seen."""

from __future__ import annotations

import base64
import binascii
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, and_, or_

from core.errors import BadValue

Cursor = tuple[datetime, str]


def write_cursor(created_at: datetime, id: str) -> str:
    return base64.urlsafe_b64encode(f"{created_at.isoformat()} {id}".encode()).decode().rstrip("=")


def read_cursor(cursor: str) -> Cursor:
    """The inverse of write_cursor; raises BadValue."""
    try:
        text = base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4)).decode()
        when, id = text.split(" ")
        created_at = datetime.fromisoformat(when)
        if created_at.tzinfo is None:
            raise ValueError(when)
        return created_at, id
    except (ValueError, OverflowError, binascii.Error):
        raise BadValue(field="cursor", value=cursor[:64], expected="the next_cursor of an earlier page") from None


def older_than(table: Any, after: Cursor) -> ColumnElement[bool]:
    """Rows of `table` (with created_at and id) that come after the cursor's in a list of the newest first."""
    created_at, id = after
    return or_(table.created_at < created_at, and_(table.created_at == created_at, table.id < id))
