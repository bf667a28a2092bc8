"""Webhooks of the console, and the outbox of their events."""

import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Create the tables."""
    op.create_table(
        "webhooks",
        sa.Column("id", sa.String(36), primary_key=True),
        sa.Column("url", sa.String(2000), nullable=False),
        sa.Column("note", sa.String(200), nullable=False),
        sa.Column("events", sa.Text, nullable=False),
        sa.Column("state", sa.String(10), nullable=False),
        sa.Column("sealed_secret", sa.LargeBinary, nullable=False),
        sa.Column("sealed_old_secret", sa.LargeBinary),
        sa.Column("old_until_ms", sa.BigInteger),
        sa.Column("quiet_until_ms", sa.BigInteger),
        sa.Column("created_by", sa.String(200), nullable=False),
        sa.Column("created_ms", sa.BigInteger, nullable=False),
    )
    op.create_table(
        "webhook_deliveries",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer, "sqlite"), primary_key=True, autoincrement=True),
        sa.Column("webhook_id", sa.String(36), nullable=False),
        sa.Column("event_id", sa.String(40), nullable=False),
        sa.Column("event", sa.String(40), nullable=False),
        sa.Column("body", sa.Text, nullable=False),
        sa.Column("state", sa.String(10), nullable=False),
        sa.Column("attempts", sa.Integer, nullable=False),
        sa.Column("created_ms", sa.BigInteger, nullable=False),
        sa.Column("next_at_ms", sa.BigInteger),
        sa.Column("ended_ms", sa.BigInteger),
        sa.Column("last_error", sa.Text, nullable=False),
        sa.ForeignKeyConstraint(["webhook_id"], ["webhooks.id"]),
    )
    op.create_index("ix_webhook_deliveries_next_at_ms", "webhook_deliveries", ["next_at_ms"])
    op.create_index("ix_webhook_deliveries_state_ended_ms", "webhook_deliveries", ["state", "ended_ms"])
    op.create_index("ix_webhook_deliveries_webhook_id_id", "webhook_deliveries", ["webhook_id", "id"])


def downgrade() -> None:
    """Drop the tables; the journal still says who made which webhook."""
    op.drop_table("webhook_deliveries")
    op.drop_table("webhooks")
