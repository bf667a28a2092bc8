"""The console: projects, items and assignments, what raters' answers add up to, and what people decided."""

import sqlalchemy as sa
from alembic import op

from backstay.storage.migrations.losing import drop_tables

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None

TABLES = (
    "projects",
    "guidelines",
    "items",
    "gold_items",
    "rater_stats",
    "rater_days",
    "trust_history",
    "vote_patterns",
    "assignments",
    "drafts",
    "adjudications",
    "proposals",
)


def upgrade() -> None:
    """Create the tables."""
    op.create_table(
        "projects",
        sa.Column("id", sa.String(60), primary_key=True),
        sa.Column("name", sa.String(200), nullable=False),
        sa.Column("dataset", sa.String(200), nullable=False),
        sa.Column("settings", sa.Text, nullable=False),
        sa.Column("status", sa.String(10), nullable=False),
        sa.Column("created_by", sa.String(200), nullable=False),
        sa.Column("created_at_ms", sa.BigInteger, nullable=False),
    )
    op.create_table(
        "guidelines",
        sa.Column("project", sa.String(60), primary_key=True),
        sa.Column("version", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("text", sa.Text, nullable=False),
        sa.Column("author", sa.String(200), nullable=False),
        sa.Column("at_ms", sa.BigInteger, nullable=False),
        sa.ForeignKeyConstraint(["project"], ["projects.id"]),
    )
    op.create_table(
        "items",
        sa.Column("project", sa.String(60), primary_key=True),
        sa.Column("id", sa.String(60), primary_key=True),
        sa.Column("prompt_id", sa.String(200), nullable=False),
        sa.Column("response_ids", sa.Text, nullable=False),
        sa.Column("task_ids", sa.Text, nullable=False),
        sa.Column("state", sa.String(10), nullable=False),
        sa.Column("votes", sa.Integer, nullable=False),
        sa.Column("wants", sa.Integer, nullable=False),
        sa.Column("leased", sa.Integer, nullable=False),
        sa.Column("counts", sa.Text, nullable=False),
        sa.Column("belief", sa.Text, nullable=False),
        sa.Column("scores", sa.Text),
        sa.Column("priority", sa.Float(53), nullable=False),
        sa.Column("place", sa.BigInteger, nullable=False),
        sa.ForeignKeyConstraint(["project"], ["projects.id"]),
    )
    op.create_index("ix_items_project_prompt_id", "items", ["project", "prompt_id"])
    op.create_index("ix_items_project_state_priority_place", "items", ["project", "state", "priority", "place"])
    op.create_table(
        "gold_items",
        sa.Column("project", sa.String(60), primary_key=True),
        sa.Column("item_id", sa.String(60), primary_key=True),
        sa.Column("dimension", sa.String(20), primary_key=True),
        sa.Column("best", sa.Integer, nullable=False),
        sa.Column("state", sa.String(10), nullable=False),
        sa.Column("exposures", sa.Integer, nullable=False),
        sa.Column("right", sa.Integer, nullable=False),
        sa.Column("author", sa.String(200), nullable=False),
        sa.Column("at_ms", sa.BigInteger, nullable=False),
        sa.Column("why", sa.Text, nullable=False),
        sa.ForeignKeyConstraint(["project"], ["projects.id"]),
    )
    op.create_index("ix_gold_items_project_state_exposures", "gold_items", ["project", "state", "exposures"])
    op.create_table(
        "rater_stats",
        sa.Column("project", sa.String(60), primary_key=True),
        sa.Column("rater_id", sa.String(200), primary_key=True),
        sa.Column("status", sa.String(12), nullable=False),
        sa.Column("issued", sa.Integer, nullable=False),
        sa.Column("judged", sa.Integer, nullable=False),
        sa.Column("skipped", sa.Integer, nullable=False),
        sa.Column("retracted", sa.Integer, nullable=False),
        sa.Column("gold_seen", sa.Integer, nullable=False),
        sa.Column("gold_right", sa.Integer, nullable=False),
        sa.Column("repeats", sa.Integer, nullable=False),
        sa.Column("repeats_same", sa.Integer, nullable=False),
        sa.Column("compared", sa.Integer, nullable=False),
        sa.Column("agreed", sa.Integer, nullable=False),
        sa.Column("decided", sa.Integer, nullable=False),
        sa.Column("chose_first", sa.Integer, nullable=False),
        sa.Column("pace", sa.Text, nullable=False),
        sa.Column("trust", sa.Float(53), nullable=False),
        sa.Column("trust_low", sa.Float(53), nullable=False),
        sa.Column("trust_high", sa.Float(53), nullable=False),
        sa.Column("trust_at_ms", sa.BigInteger),
        sa.Column("first_at_ms", sa.BigInteger, nullable=False),
        sa.Column("last_at_ms", sa.BigInteger, nullable=False),
        sa.ForeignKeyConstraint(["project"], ["projects.id"]),
    )
    op.create_table(
        "rater_days",
        sa.Column("project", sa.String(60), primary_key=True),
        sa.Column("rater_id", sa.String(200), primary_key=True),
        sa.Column("day", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("judged", sa.Integer, nullable=False),
        sa.Column("worked_ms", sa.BigInteger, nullable=False),
        sa.ForeignKeyConstraint(["project"], ["projects.id"]),
    )
    op.create_table(
        "trust_history",
        sa.Column("project", sa.String(60), primary_key=True),
        sa.Column("rater_id", sa.String(200), primary_key=True),
        sa.Column("at_ms", sa.BigInteger, primary_key=True, autoincrement=False),
        sa.Column("trust", sa.Float(53), nullable=False),
        sa.Column("low", sa.Float(53), nullable=False),
        sa.Column("high", sa.Float(53), nullable=False),
        sa.Column("judged", sa.Integer, nullable=False),
        sa.ForeignKeyConstraint(["project"], ["projects.id"]),
    )
    op.create_table(
        "vote_patterns",
        sa.Column("project", sa.String(60), primary_key=True),
        sa.Column("dimension", sa.String(20), primary_key=True),
        sa.Column("pattern", sa.String(60), primary_key=True),
        sa.Column("n_items", sa.BigInteger, nullable=False),
        sa.ForeignKeyConstraint(["project"], ["projects.id"]),
    )
    op.create_table(
        "assignments",
        sa.Column("id", sa.String(36), primary_key=True),
        sa.Column("project", sa.String(60), nullable=False),
        sa.Column("item_id", sa.String(60), nullable=False),
        sa.Column("prompt_id", sa.String(200), nullable=False),
        sa.Column("rater_id", sa.String(200), nullable=False),
        sa.Column("order_shown", sa.Text, nullable=False),
        sa.Column("purpose", sa.String(12), nullable=False),
        sa.Column("strategy", sa.String(20), nullable=False),
        sa.Column("propensity", sa.Float(53), nullable=False),
        sa.Column("guidelines_version", sa.Integer, nullable=False),
        sa.Column("issued_at_ms", sa.BigInteger, nullable=False),
        sa.Column("expires_at_ms", sa.BigInteger, nullable=False),
        sa.Column("state", sa.String(10), nullable=False),
        sa.Column("key", sa.String(80)),
        sa.Column("key_digest", sa.String(64)),
        sa.Column("settled_at_ms", sa.BigInteger),
        sa.Column("answer", sa.Text),
        sa.Column("judgment_ids", sa.Text),
        sa.Column("undo_key", sa.String(80)),
        sa.Column("undone_as", sa.String(36)),
        sa.ForeignKeyConstraint(["project", "item_id"], ["items.project", "items.id"]),
    )
    op.create_index("ix_assignments_project_item_id", "assignments", ["project", "item_id"])
    op.create_index("ix_assignments_project_rater_id_prompt_id", "assignments", ["project", "rater_id", "prompt_id"])
    op.create_index(
        "ix_assignments_project_rater_id_settled_at_ms", "assignments", ["project", "rater_id", "settled_at_ms"]
    )
    op.create_index("ix_assignments_state_expires_at_ms", "assignments", ["state", "expires_at_ms"])
    op.create_table(
        "drafts",
        sa.Column("id", sa.String(36), primary_key=True),
        sa.Column("project", sa.String(60), nullable=False),
        sa.Column("prompt_id", sa.String(200), nullable=False),
        sa.Column("response_id", sa.String(200), nullable=False),
        sa.Column("rater_id", sa.String(200), nullable=False),
        sa.Column("text", sa.Text, nullable=False),
        sa.Column("state", sa.String(10), nullable=False),
        sa.Column("at_ms", sa.BigInteger, nullable=False),
        sa.Column("reviewed_by", sa.String(200)),
        sa.Column("reviewed_at_ms", sa.BigInteger),
        sa.Column("reason", sa.Text),
        sa.ForeignKeyConstraint(["project"], ["projects.id"]),
    )
    op.create_index("ix_drafts_project_state_at_ms", "drafts", ["project", "state", "at_ms"])
    op.create_table(
        "adjudications",
        sa.Column("id", sa.String(36), primary_key=True),
        sa.Column("project", sa.String(60), nullable=False),
        sa.Column("item_id", sa.String(60), nullable=False),
        sa.Column("dimension", sa.String(20), nullable=False),
        sa.Column("choice", sa.Text, nullable=False),
        sa.Column("person", sa.String(200), nullable=False),
        sa.Column("reason", sa.Text, nullable=False),
        sa.Column("at_ms", sa.BigInteger, nullable=False),
        sa.ForeignKeyConstraint(["project", "item_id"], ["items.project", "items.id"]),
    )
    op.create_index("ix_adjudications_project_item_id", "adjudications", ["project", "item_id"])
    op.create_table(
        "proposals",
        sa.Column("id", sa.String(36), primary_key=True),
        sa.Column("kind", sa.String(12), nullable=False),
        sa.Column("project", sa.String(60), nullable=False),
        sa.Column("subject", sa.String(200), nullable=False),
        sa.Column("change", sa.Text, nullable=False),
        sa.Column("reason", sa.Text, nullable=False),
        sa.Column("person", sa.String(200), nullable=False),
        sa.Column("at_ms", sa.BigInteger, nullable=False),
        sa.Column("state", sa.String(10), nullable=False),
        sa.Column("second", sa.String(200)),
        sa.Column("second_reason", sa.Text),
        sa.Column("second_at_ms", sa.BigInteger),
        sa.ForeignKeyConstraint(["project"], ["projects.id"]),
    )
    op.create_index("ix_proposals_state_at_ms", "proposals", ["state", "at_ms"])


def downgrade() -> None:
    """Drop the tables, where there is no project; judgments stay, and the journal says who decided what."""
    drop_tables(*reversed(TABLES))
