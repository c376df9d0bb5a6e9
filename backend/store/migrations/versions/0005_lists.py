"""Indexes in the order of the lists of runs, so that a page does not read every run."""

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None

LIVE, GONE = sa.text("deleted_at IS NULL"), sa.text("deleted_at IS NOT NULL")


def upgrade() -> None:
    for name in ("ix_runs_newest", "ix_runs_deleted_at", "ix_runs_dataset_state"):
        op.drop_index(name, table_name="runs")
    for name, columns, where in (
        ("ix_runs_newest", ["created_at", "id"], LIVE),
        ("ix_runs_state", ["state", "created_at", "id"], LIVE),
        ("ix_runs_dataset", ["dataset", "state", "created_at", "id"], LIVE),
        ("ix_runs_bin", ["deleted_at"], GONE),
    ):
        op.create_index(name, "runs", columns, sqlite_where=where, postgresql_where=where)
