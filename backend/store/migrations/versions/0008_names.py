"""A run's own name, what sets it apart from its recipe, whether it is archived; views that were kept."""

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("runs", sa.Column("name", sa.String(length=100), nullable=True))
    # Null until the API starts, which knows the recipes.
    op.add_column("runs", sa.Column("differs", sa.Text(), nullable=True))
    op.add_column("runs", sa.Column("archived", sa.Boolean(), server_default=sa.false(), nullable=False))
    op.create_table(
        "saved_views",
        sa.Column("id", sa.String(length=32), nullable=False),
        sa.Column("name", sa.String(length=100), nullable=False),
        sa.Column("parts", sa.JSON(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_saved_views"),
        sa.UniqueConstraint("name", name="uq_saved_views_name"),
    )
