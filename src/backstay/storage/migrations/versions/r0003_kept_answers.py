"""Answers of models that wait for approvals."""

import sqlalchemy as sa
from alembic import op

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
    """Drop the tables; answers that waited are asked for anew."""
    op.drop_table("kept_approvals")
    op.drop_table("kept_answers")
