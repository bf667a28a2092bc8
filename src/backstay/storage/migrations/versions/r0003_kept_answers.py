"""Answers of models that wait for approvals."""

import sqlalchemy as sa
from alembic import op

from backstay.storage.migrations.losing import drop_tables

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Create the table."""
    op.create_table(
        "kept_answers",
        sa.Column("exchange", sa.String(36), primary_key=True),
        sa.Column("principal", sa.String(200), nullable=False),
        sa.Column("request_digest", sa.String(64), nullable=False),
        sa.Column("approvals", sa.Text, nullable=False),
        sa.Column("sealed", sa.LargeBinary, nullable=False),
    )
    op.create_table(
        "kept_approvals",
        sa.Column("approval_id", sa.String(36), primary_key=True),
        sa.Column("exchange", sa.String(36), sa.ForeignKey("kept_answers.exchange"), nullable=False),
    )


def downgrade() -> None:
    """Drop the tables, where no answer waits."""
    drop_tables("kept_approvals", "kept_answers")
