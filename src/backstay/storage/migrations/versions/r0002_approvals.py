"""Approvals, the votes on them, links, the outbox of webhooks; triggers that keep terminal states as they are."""

import sqlalchemy as sa
from alembic import op

from backstay.storage.migrations.losing import drop_functions, drop_tables

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

SEQUENCE = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
ID = sa.String(36)
NAME = sa.String(200)
HASH = sa.String(64)
TERMINAL = ("denied", "expired", "cancelled", "superseded", "stale", "executed", "failed", "unknown")
KEPT = ("approvals", "approval_votes", "approval_links", "approval_outbox")


def upgrade() -> None:
    """Create the tables and their triggers."""
    _create_approvals()
    _create_votes()
    _create_links()
    _create_outbox()
    op.create_table(
        "approval_clock",
        sa.Column("id", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("highest_ms", sa.BigInteger, nullable=False),
    )
    for table in KEPT:
        _forbid(table, "DELETE", "TRUE", "rows of {table} are never deleted")
    _forbid("approval_votes", "UPDATE", "TRUE", "a vote is never changed")
    states = ", ".join(f"'{state}'" for state in TERMINAL)
    _forbid("approvals", "UPDATE", f"OLD.state IN ({states})", "a terminal approval is never changed")
    _forbid("approval_links", "UPDATE", "OLD.used_at_ms IS NOT NULL", "a used link is never changed")


def downgrade() -> None:
    """Drop the tables, where nothing is lost by it."""
    drop_tables("approval_clock", "approval_outbox", "approval_links", "approval_votes", "approvals")
    drop_functions(*(f"{table}_no_delete" for table in KEPT))
    drop_functions("approval_votes_no_update", "approvals_no_update", "approval_links_no_update")


def _create_approvals() -> None:
    op.create_table(
        "approvals",
        sa.Column("id", ID, primary_key=True),
        sa.Column("state", sa.String(12), nullable=False),
        sa.Column("version", sa.Integer, nullable=False),
        sa.Column("digest", HASH, nullable=False),
        sa.Column("principal", NAME, nullable=False),
        sa.Column("key", NAME),
        sa.Column("expires_at_ms", sa.BigInteger, nullable=False),
        sa.Column("escalate_at_ms", sa.BigInteger),
        sa.Column("lease_until_ms", sa.BigInteger),
        sa.Column("record", sa.Text, nullable=False),
        sa.UniqueConstraint("principal", "key", name="uq_approvals_principal_key"),
    )
    op.create_index("ix_approvals_state_expires_at_ms", "approvals", ["state", "expires_at_ms"])
    op.create_index("ix_approvals_principal_state", "approvals", ["principal", "state"])


def _create_votes() -> None:
    op.create_table(
        "approval_votes",
        sa.Column("approval_id", ID, sa.ForeignKey("approvals.id"), primary_key=True),
        sa.Column("digest", HASH, primary_key=True),
        sa.Column("person", NAME, primary_key=True),
        sa.Column("vote", sa.String(12), primary_key=True),
        sa.Column("version", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("roles", sa.Text, nullable=False),
        sa.Column("reason", sa.Text, nullable=False),
        sa.Column("key", NAME, nullable=False),
        sa.Column("at_ms", sa.BigInteger, nullable=False),
        sa.UniqueConstraint("person", "key", name="uq_approval_votes_person_key"),
    )
    op.create_index("ix_approval_votes_vote", "approval_votes", ["vote"])


def _create_links() -> None:
    op.create_table(
        "approval_links",
        sa.Column("id", HASH, primary_key=True),
        sa.Column("approval_id", ID, sa.ForeignKey("approvals.id"), nullable=False),
        sa.Column("digest", HASH, nullable=False),
        sa.Column("person", NAME, nullable=False),
        sa.Column("expires_at_ms", sa.BigInteger, nullable=False),
        sa.Column("used_at_ms", sa.BigInteger),
    )


def _create_outbox() -> None:
    op.create_table(
        "approval_outbox",
        sa.Column("id", SEQUENCE, primary_key=True, autoincrement=True),
        sa.Column("event_id", ID, nullable=False),
        sa.Column("target", sa.String(100), nullable=False),
        sa.Column("body", sa.Text, nullable=False),
        sa.Column("attempts", sa.Integer, nullable=False),
        sa.Column("next_at_ms", sa.BigInteger),
        sa.Column("delivered_at_ms", sa.BigInteger),
        sa.Column("last_error", sa.Text, nullable=False),
        sa.UniqueConstraint("event_id", "target", name="uq_approval_outbox_event_id_target"),
    )
    op.create_index("ix_approval_outbox_next_at_ms", "approval_outbox", ["next_at_ms"])


def _forbid(table: str, verb: str, when: str, message: str) -> None:
    name, said = f"{table}_no_{verb.lower()}", message.format(table=table)
    if op.get_context().dialect.name == "sqlite":
        op.execute(
            f"CREATE TRIGGER {name} BEFORE {verb} ON {table} WHEN {when} BEGIN SELECT RAISE(ABORT, '{said}'); END"
        )
        return
    op.execute(
        f"CREATE FUNCTION {name}() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION '{said}'; END $$"
    )
    op.execute(f"CREATE TRIGGER {name} BEFORE {verb} ON {table} FOR EACH ROW WHEN ({when}) EXECUTE FUNCTION {name}()")
    if verb == "DELETE":
        op.execute(
            f"CREATE TRIGGER {table}_no_truncate BEFORE TRUNCATE ON {table} "
            f"FOR EACH STATEMENT EXECUTE FUNCTION {name}()"
        )
