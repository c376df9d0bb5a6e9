"""Shares of comparisons, sweeps and views, live or frozen: what was asked for, and a share need not belong to one run."""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    # Nothing refers to `shares`, so that the copy that SQLite needs for a column that may be null loses nothing.
    with op.batch_alter_table("shares") as shares:
        shares.alter_column("run_id", existing_type=sa.String(length=32), nullable=True)
        shares.add_column(sa.Column("request", sa.JSON(none_as_null=True), nullable=True))
        shares.add_column(sa.Column("label", sa.String(length=640), nullable=False, server_default=""))
        shares.add_column(sa.Column("frozen", sa.Boolean(), nullable=False, server_default=sa.false()))
