"""Which images a run is on, where its data set's name does not say it."""

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None


def upgrade() -> None:
    # Null until the API starts, which can look at bundles and data sets.
    op.add_column("runs", sa.Column("data_digest", sa.String(length=64), nullable=True))
