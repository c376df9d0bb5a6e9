"""Sweeps, tags, notes, operations beside ACs and MACs, runs in the bin, imported runs; an idempotency key may stand for a sweep."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

TIME = sa.DateTime(timezone=True)


def upgrade() -> None:
    # Columns are added in place: on SQLite a copy of `runs` would drop it first, and with it, by cascade, its events.
    # `label` is empty until the API starts, which knows the names of masks.
    op.add_column("runs", sa.Column("label", sa.String(length=640), nullable=False, server_default=""))
    op.add_column("runs", sa.Column("note", sa.Text(), nullable=False, server_default=""))
    op.add_column("runs", sa.Column("deleted_at", TIME, nullable=True))
    op.add_column("runs", sa.Column("import_digest", sa.String(length=64), nullable=True))
    op.add_column("run_tallies", sa.Column("other", sa.JSON(none_as_null=True), nullable=True))
    op.create_index("ix_runs_deleted_at", "runs", ["deleted_at"])
    op.create_index("ix_runs_import_digest", "runs", ["import_digest"], unique=True)
    op.create_table(
        "run_tags",
        sa.Column("run_id", sa.String(length=32), nullable=False),
        sa.Column("tag", sa.String(length=40), nullable=False),
        sa.ForeignKeyConstraint(["run_id"], ["runs.id"], name="fk_run_tags_run_id", ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("run_id", "tag", name="pk_run_tags"),
    )
    op.create_index("ix_run_tags_tag", "run_tags", ["tag"])
    op.create_table(
        "sweeps",
        sa.Column("id", sa.String(length=32), nullable=False),
        sa.Column("name", sa.String(length=100), nullable=False),
        sa.Column("request", sa.JSON(), nullable=False),
        sa.Column("created_at", TIME, nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_sweeps"),
    )
    op.create_index("ix_sweeps_newest", "sweeps", ["created_at", "id"])
    op.create_table(
        "sweep_runs",
        sa.Column("sweep_id", sa.String(length=32), nullable=False),
        sa.Column("run_id", sa.String(length=32), nullable=False),
        sa.Column("position", sa.Integer(), nullable=False),
        sa.ForeignKeyConstraint(["sweep_id"], ["sweeps.id"], name="fk_sweep_runs_sweep_id", ondelete="CASCADE"),
        sa.ForeignKeyConstraint(["run_id"], ["runs.id"], name="fk_sweep_runs_run_id", ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("sweep_id", "run_id", name="pk_sweep_runs"),
    )
    op.create_index("ix_sweep_runs_run_id", "sweep_runs", ["run_id"])
    with op.batch_alter_table("idempotency_keys") as keys:
        keys.alter_column("run_id", existing_type=sa.String(length=32), nullable=True)
        keys.add_column(sa.Column("sweep_id", sa.String(length=32), nullable=True))
        keys.create_foreign_key("fk_idempotency_keys_sweep_id", "sweeps", ["sweep_id"], ["id"], ondelete="CASCADE")
        keys.create_index("ix_idempotency_keys_sweep_id", ["sweep_id"])
