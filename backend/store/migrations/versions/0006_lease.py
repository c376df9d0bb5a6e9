"""How long an owner may be silent is said by the owner; why a worker takes no run, by the worker."""

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("runs", sa.Column("lease_s", sa.Double(), nullable=True))
    op.add_column("workers", sa.Column("paused", sa.Text(), nullable=True))
