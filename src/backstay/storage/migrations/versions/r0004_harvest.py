"""Exchanges that are kept for rating and red-teaming, and what their clients thought of them."""

import sqlalchemy as sa
from alembic import op

from backstay.storage.migrations.losing import drop_tables

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Create the tables."""
    op.create_table(
        "harvested",
        sa.Column("exchange", sa.String(36), primary_key=True),
        sa.Column("principal", sa.String(200), nullable=False),
        sa.Column("kept_at_ms", sa.BigInteger, nullable=False),
        sa.Column("expires_at_ms", sa.BigInteger, nullable=False),
        sa.Column("awaits_thumb", sa.Integer, nullable=False),
        sa.Column("sealed", sa.LargeBinary, nullable=False),
    )
    op.create_index("ix_harvested_principal", "harvested", ["principal"])
    op.create_index("ix_harvested_expires_at_ms", "harvested", ["expires_at_ms"])
    op.create_table(
        "harvested_feedback",
        sa.Column("id", sa.String(36), primary_key=True),
        sa.Column("exchange", sa.String(36), sa.ForeignKey("harvested.exchange"), nullable=False),
        sa.Column("principal", sa.String(200), nullable=False),
        sa.Column("score", sa.Integer, nullable=False),
        sa.Column("at_ms", sa.BigInteger, nullable=False),
        sa.Column("sealed", sa.LargeBinary, nullable=False),
    )
    op.create_index("ix_harvested_feedback_exchange", "harvested_feedback", ["exchange"])


def downgrade() -> None:
    """Drop the tables, where nothing is kept."""
    drop_tables("harvested_feedback", "harvested")
