"""A number that rises with every change that lists and plots of runs show, so that what was made of it can be kept.

Triggers of the database count, so no program and no statement goes by: rows of runs, but for columns that a training
changes all the time, their tags, operations, steps and sweeps. Whoever reads the number first and the rows after it, in
one transaction, knows how new they are at least. The triggers are taken away before every change of the schema and put
anew after it: PostgreSQL lets no column go that one names, and SQLite loses those of a table that a migration makes again.

On PostgreSQL a transaction counts once, at its end: two that count wait for each other only while they commit, and
never in a circle.
"""

from __future__ import annotations

from sqlalchemy import Connection, inspect, select, text
from sqlalchemy.orm import Session

from backend.store.models import Base, RevisionRow, RunRow, RunStepRow, RunTagRow, RunTallyRow, SweepRunRow

RUNS = "runs"
#: Changed by every sign of life of a trainer; who shows them asks for them.
RESTLESS = frozenset({"progress", "lease_until", "lease_s", "sent_at"})
ACTS = ("insert", "delete", "update")
WATCHED: tuple[type[Base], ...] = (RunRow, RunTagRow, RunTallyRow, RunStepRow, SweepRunRow)

_NOW = select(RevisionRow.n).where(RevisionRow.name == RUNS)
_COUNT = "INSERT INTO revisions (name, n) VALUES ('runs', 1) ON CONFLICT (name) DO UPDATE SET n = revisions.n + 1"
_FUNCTION = f"""
CREATE OR REPLACE FUNCTION spikefront_count() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  IF current_setting('spikefront.counted', true) IS DISTINCT FROM txid_current()::text THEN
    PERFORM set_config('spikefront.counted', txid_current()::text, true);
    {_COUNT};
  END IF;
  RETURN NULL;
END $$
"""


def revision_of_runs(session: Session) -> int:
    """0 before the first change."""
    return session.scalar(_NOW) or 0


def watch(connection: Connection) -> None:
    """Have the database count, from now on, by the columns that there are now."""
    unwatch(connection)
    server = connection.dialect.name == "postgresql"
    if server:
        connection.execute(text(_FUNCTION))
    for model in WATCHED:
        table = model.__tablename__
        columns = ", ".join(column.name for column in model.__table__.columns if column.name not in RESTLESS)
        for act, when in zip(ACTS, ("INSERT", "DELETE", f"UPDATE OF {columns}"), strict=True):
            name = f"spikefront_{table}_{act}"
            if server:
                made = f"CREATE CONSTRAINT TRIGGER {name} AFTER {when} ON {table} DEFERRABLE INITIALLY DEFERRED"
                connection.execute(text(f"{made} FOR EACH ROW EXECUTE FUNCTION spikefront_count()"))
            else:
                connection.exec_driver_sql(f"CREATE TRIGGER {name} AFTER {when} ON {table} BEGIN {_COUNT}; END")


def unwatch(connection: Connection) -> None:
    """Before the schema changes."""
    there = set(inspect(connection).get_table_names())
    for model in WATCHED:
        table = model.__tablename__
        for act in ACTS if table in there else ():
            of = f" ON {table}" if connection.dialect.name == "postgresql" else ""
            connection.execute(text(f"DROP TRIGGER IF EXISTS spikefront_{table}_{act}{of}"))
