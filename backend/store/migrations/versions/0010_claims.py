"""Who asked for a run and how urgent it is, its place in its sweep, what it needs; what a worker can do; whose turn it was."""

import sqlalchemy as sa
from alembic import op

revision = "0010"
down_revision = "0009"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("runs", sa.Column("priority", sa.Integer(), server_default="0", nullable=False))
    op.add_column("runs", sa.Column("submitter", sa.String(length=255), nullable=True))
    op.add_column("runs", sa.Column("place", sa.Integer(), server_default="0", nullable=False))
    op.add_column("runs", sa.Column("wants_device", sa.String(length=8), nullable=True))
    # Null in older rows: nothing is asked of a worker's memory, as before.
    op.add_column("runs", sa.Column("memory_cpu", sa.BigInteger(), nullable=True))
    op.add_column("runs", sa.Column("memory_gpu", sa.BigInteger(), nullable=True))
    op.add_column("runs", sa.Column("not_before", sa.DateTime(timezone=True), nullable=True))
    op.add_column("workers", sa.Column("offer", sa.JSON(), nullable=True))
    op.create_table(
        "turns",
        sa.Column("submitter", sa.String(length=255), nullable=False),
        sa.Column("turn", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("submitter", name="pk_turns"),
    )
    waiting = sa.text("state = 'queued' AND deleted_at IS NULL")
    op.create_index(
        "ix_runs_waiting", "runs", ["priority", "created_at", "place"], sqlite_where=waiting, postgresql_where=waiting
    )
    # Runs of a sweep were made in one moment, and their ids are drawn by lot.
    op.execute(
        "UPDATE runs SET place = (SELECT MIN(position) FROM sweep_runs WHERE sweep_runs.run_id = runs.id) "
        "WHERE state = 'queued' AND id IN (SELECT run_id FROM sweep_runs)"
    )
