"""Runs of aggregation by the console, with the alarms that they raised and what they found of cohorts."""

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Create the table."""
    op.create_table(
        "trust_runs",
        sa.Column("project", sa.String(60), primary_key=True),
        sa.Column("at_ms", sa.BigInteger, primary_key=True, autoincrement=False),
        sa.Column("state", sa.String(10), nullable=False),
        sa.Column("started_by", sa.String(200), nullable=False),
        sa.Column("method", sa.String(10), nullable=False),
        sa.Column("judged", sa.BigInteger, nullable=False),
        sa.Column("took_ms", sa.BigInteger, nullable=False),
        sa.Column("problem", sa.Text, nullable=False),
        sa.Column("findings", sa.Text, nullable=False),
        sa.ForeignKeyConstraint(["project"], ["projects.id"]),
    )


def downgrade() -> None:
    """Drop the table."""
    op.drop_table("trust_runs")
