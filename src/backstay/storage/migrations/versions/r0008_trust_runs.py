"""Runs of aggregation by the console, with what they found; gold items in the order in which they are asked for."""

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
    op.drop_index("ix_gold_items_project_state_exposures", "gold_items")
    op.create_index(
        "ix_gold_items_project_state_exposures_item_id", "gold_items", ["project", "state", "exposures", "item_id"]
    )


def downgrade() -> None:
    """Drop the table, and order gold items as before."""
    op.drop_index("ix_gold_items_project_state_exposures_item_id", "gold_items")
    op.create_index("ix_gold_items_project_state_exposures", "gold_items", ["project", "state", "exposures"])
    op.drop_table("trust_runs")
