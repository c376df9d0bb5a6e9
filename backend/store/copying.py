"""Everything of one database into another, empty one: from SQLite to PostgreSQL when an installation grows."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Connection, Table, func, insert, select

from backend.store.db import HEAD, Database, schema_version
from backend.store.models import AuditEntryRow, Base, RevisionRow, RunEventRow
from core.errors import CopyFailed

AT_ONCE = 1_000
NO_SIGN = "\ufffd"  # in the place of NUL, which SQLite took in earlier versions


def copy(source: Database, target: Database) -> dict[str, int]:
    """All rows, in one transaction at either end; how many of each table. Both are at `HEAD`.

    Raises CopyFailed: a schema of another version, a target with rows, or other counts at the end.
    """
    with source.read(whole=True) as reading, target.write(limited=False) as writing:
        ours, theirs = reading.connection(), writing.connection()
        for connection, name in ((ours, "source"), (theirs, "target")):
            if (found := schema_version(connection)) != HEAD:
                raise CopyFailed(why=f"the {name} has schema {found}, this version needs {HEAD}.")
        if occupied := [table.name for table in tables() if _count(theirs, table)]:
            raise CopyFailed(why=f"the target is not empty: it has rows in {', '.join(occupied)}.")
        counts = {table.name: _copy(ours, theirs, table) for table in tables()}
        for table in tables():
            there, here = _count(theirs, table), _count(ours, table)
            if not there == here == counts[table.name]:
                raise CopyFailed(why=f"of {here} rows of {table.name} {there} arrived.")
        if target.engine.dialect.name == "postgresql":  # rows that bring their ids with them do not move it
            counted: tuple[type[RunEventRow | AuditEntryRow], ...] = (RunEventRow, AuditEntryRow)
            for rows in counted:
                following = select(func.coalesce(func.max(rows.id), 0) + 1).scalar_subquery()
                sequence = func.pg_get_serial_sequence(rows.__tablename__, "id")
                theirs.execute(select(func.setval(sequence, following, False)))
    return counts


def tables() -> list[Table]:
    """In an order in which each finds what it refers to. Every database counts its own changes."""
    return [table for table in Base.metadata.sorted_tables if table is not RevisionRow.__table__]


def _count(connection: Connection, table: Table) -> int:
    return connection.scalar(select(func.count()).select_from(table)) or 0


def _copy(source: Connection, target: Connection, table: Table) -> int:
    n = 0
    found = source.execution_options(yield_per=AT_ONCE).execute(select(table)).mappings()
    for rows in found.partitions():
        target.execute(insert(table), [{name: _holdable(value) for name, value in row.items()} for row in rows])
        n += len(rows)
    return n


def _holdable(value: Any) -> Any:
    return value.replace("\0", NO_SIGN) if isinstance(value, str) else value
