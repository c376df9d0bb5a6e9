"""Which runs repeat each other, and what each run is after its first steps."""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    # `repeat_hash` is empty until the API starts, which can read a config.
    op.add_column("runs", sa.Column("repeat_hash", sa.String(length=64), nullable=False, server_default=""))
    op.create_table(
        "run_steps",
        sa.Column("run_id", sa.String(length=32), nullable=False),
        sa.Column("steps", sa.Integer(), nullable=False),
        sa.Column("accuracy", sa.Double(), nullable=False),
        sa.Column("f1_macro", sa.Double(), nullable=False),
        sa.Column("firing_rate", sa.Double(), nullable=True),
        sa.Column("tallies", sa.JSON(), nullable=False),
        sa.ForeignKeyConstraint(["run_id"], ["runs.id"], name="fk_run_steps_run_id", ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("run_id", "steps", name="pk_run_steps"),
    )
