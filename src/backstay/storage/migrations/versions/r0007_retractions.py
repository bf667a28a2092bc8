"""Judgments that their raters took back."""

import sqlalchemy as sa
from alembic import op

from backstay.storage.migrations.losing import drop_functions, drop_tables

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None

SEQUENCE = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
KEY = sa.String(200).with_variant(sa.String(200, collation="C"), "postgresql")
MESSAGE = "the table retractions is append-only"


def upgrade() -> None:
    """Create the table and its triggers."""
    op.create_table(
        "retractions",
        sa.Column("dataset", KEY, primary_key=True),
        sa.Column("id", KEY, primary_key=True),
        sa.Column("seq", SEQUENCE, sa.ForeignKey("journal.seq"), nullable=False),
        sa.Column("record", sa.Text, nullable=False),
        sa.Column("judgment_id", KEY, nullable=False),
        sa.Column("rater_id", KEY, nullable=False),
        sa.ForeignKeyConstraint(["dataset", "judgment_id"], ["judgments.dataset", "judgments.id"]),
        sa.UniqueConstraint("seq", name="uq_retractions_seq"),
        sa.UniqueConstraint("dataset", "judgment_id", name="uq_retractions_dataset_judgment_id"),
    )
    if op.get_context().dialect.name == "sqlite":
        for verb in ("UPDATE", "DELETE"):
            op.execute(
                f"CREATE TRIGGER retractions_no_{verb.lower()} BEFORE {verb} ON retractions "
                f"BEGIN SELECT RAISE(ABORT, '{MESSAGE}'); END"
            )
        return
    op.execute(
        "CREATE FUNCTION retractions_append_only() RETURNS trigger LANGUAGE plpgsql "
        f"AS $$ BEGIN RAISE EXCEPTION '{MESSAGE}'; END $$"
    )
    op.execute(
        "CREATE TRIGGER retractions_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON retractions "
        "FOR EACH STATEMENT EXECUTE FUNCTION retractions_append_only()"
    )


def downgrade() -> None:
    """Drop the table, where nothing was retracted: the journal's entries would miss their rows."""
    drop_tables("retractions")
    drop_functions("retractions_append_only")
