"""The journal, the records of feedback, and triggers that refuse to change what was appended."""

import sqlalchemy as sa
from alembic import op

from backstay.storage.migrations.losing import drop_functions, drop_tables

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

SEQUENCE = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
KEY = sa.String(200).with_variant(sa.String(200, collation="C"), "postgresql")
HASH = sa.String(64)
APPEND_ONLY = ("journal", "judgments")


def upgrade() -> None:
    """Create everything."""
    _create_journal()
    _create_records("prompts", sa.Column("split", sa.String(20), nullable=False))
    _create_records("responses", _key("prompt_id"), _reference("prompts", "prompt_id"))
    _create_records("tasks", _key("prompt_id"), _reference("prompts", "prompt_id"))
    _create_records("raters")
    _create_records("demonstrations", _key("prompt_id"))
    _create_judgments()
    _create_indexes()
    for table in APPEND_ONLY:
        _forbid_change(table)


def downgrade() -> None:
    """Drop everything, where nothing is lost by it."""
    drop_tables("judgments", "demonstrations", "raters", "tasks", "responses", "prompts", "journal")
    drop_functions(*(f"{table}_append_only" for table in APPEND_ONLY))


def _create_journal() -> None:
    op.create_table(
        "journal",
        sa.Column("seq", SEQUENCE, primary_key=True, autoincrement=False),
        sa.Column("kind", sa.String(40), nullable=False),
        sa.Column("payload", sa.Text, nullable=False),
        sa.Column("prev_hash", HASH, nullable=False),
        sa.Column("hash", HASH, nullable=False),
    )


def _create_records(name: str, *extra: sa.Column[str] | sa.ForeignKeyConstraint | sa.UniqueConstraint) -> None:
    op.create_table(
        name,
        sa.Column("dataset", KEY, primary_key=True),
        sa.Column("id", KEY, primary_key=True),
        sa.Column("seq", SEQUENCE, sa.ForeignKey("journal.seq"), nullable=False),
        sa.Column("record", sa.Text, nullable=False),
        *extra,
    )


def _create_judgments() -> None:
    _create_records(
        "judgments",
        _key("task_id"),
        _key("rater_id"),
        sa.Column("prev_hash", HASH, nullable=False),
        sa.Column("hash", HASH, nullable=False),
        _reference("tasks", "task_id"),
        _reference("raters", "rater_id"),
        sa.UniqueConstraint("seq", name="uq_judgments_seq"),
    )


def _create_indexes() -> None:
    op.create_index("ix_journal_kind", "journal", ["kind"])
    for table in ("prompts", "responses", "tasks", "raters", "demonstrations"):
        op.create_index(f"ix_{table}_seq", table, ["seq"])
    for table, column in (
        ("responses", "prompt_id"),
        ("tasks", "prompt_id"),
        ("judgments", "task_id"),
        ("judgments", "rater_id"),
    ):
        op.create_index(f"ix_{table}_dataset_{column}", table, ["dataset", column])


def _key(name: str) -> sa.Column[str]:
    return sa.Column(name, KEY, nullable=False)


def _reference(table: str, column: str) -> sa.ForeignKeyConstraint:
    return sa.ForeignKeyConstraint(["dataset", column], [f"{table}.dataset", f"{table}.id"])


def _forbid_change(table: str) -> None:
    message = f"the table {table} is append-only"
    if op.get_context().dialect.name == "sqlite":
        for verb in ("UPDATE", "DELETE"):
            op.execute(
                f"CREATE TRIGGER {table}_no_{verb.lower()} BEFORE {verb} ON {table} "
                f"BEGIN SELECT RAISE(ABORT, '{message}'); END"
            )
        return
    op.execute(
        f"CREATE FUNCTION {table}_append_only() RETURNS trigger LANGUAGE plpgsql "
        f"AS $$ BEGIN RAISE EXCEPTION '{message}'; END $$"
    )
    op.execute(
        f"CREATE TRIGGER {table}_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON {table} "
        f"FOR EACH STATEMENT EXECUTE FUNCTION {table}_append_only()"
    )
