"""Alembic's entry: `backend.store.db.migrate` hands in an open connection, inside its own transaction."""

from alembic import context

from backend.store.models import Base

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=Base.metadata,
    render_as_batch=True,  # SQLite alters a table by copying it
)
context.run_migrations()
