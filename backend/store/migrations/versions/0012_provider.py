"""Whom an account is at the provider that people sign in through, and which tickets of such sign-ins are spent."""

import sqlalchemy as sa
from alembic import op

revision = "0012"
down_revision = "0011"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("accounts", sa.Column("issuer", sa.String(length=500), nullable=True))
    op.add_column("accounts", sa.Column("subject", sa.String(length=255), nullable=True))
    op.create_index("uq_accounts_subject", "accounts", ["issuer", "subject"], unique=True)
    op.create_table(
        "spent_tickets",
        sa.Column("ticket_hash", sa.String(length=64), nullable=False),
        sa.Column("ends_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("ticket_hash", name="pk_spent_tickets"),
    )
    op.create_index("ix_spent_tickets_ends_at", "spent_tickets", ["ends_at"])
