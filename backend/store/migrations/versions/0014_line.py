"""The index by which the head of each person's line is found (`backend.store.turns`)."""

import sqlalchemy as sa
from alembic import op

revision = "0014"
down_revision = "0013"
branch_labels = None
depends_on = None


def upgrade() -> None:
    waiting = sa.text("state = 'queued' AND deleted_at IS NULL")
    op.drop_index("ix_runs_waiting", table_name="runs")
    op.create_index(
        "ix_runs_line", "runs", ["priority", "submitter", "created_at", "place", "id"],
        sqlite_where=waiting, postgresql_where=waiting,
    )  # fmt: skip
