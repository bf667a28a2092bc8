"""A new SQLite database, made at once as the newest migration leaves it, without loading Alembic."""

from sqlalchemy import Connection, text

from backstay.storage import account_tables, console_tables, webhook_tables
from backstay.storage.tables import SCHEMA_HEAD, metadata

TABLE_MODULES = (account_tables, console_tables, webhook_tables)
"""Imported here because each adds its tables to the one `metadata`."""

APPEND_ONLY = ("journal", "judgments", "retractions")
APPROVALS = ("approvals", "approval_votes", "approval_links", "approval_outbox")
_TERMINAL = ("denied", "expired", "cancelled", "superseded", "stale", "executed", "failed", "unknown")


def create_tables(connection: Connection) -> None:
    """Create every table, index and trigger in an empty SQLite database, and note the revision that they are of."""
    metadata.create_all(connection, checkfirst=False)
    for trigger in triggers():
        connection.execute(text(trigger))
    revision = "version_num VARCHAR(32) NOT NULL, CONSTRAINT alembic_version_pkc PRIMARY KEY (version_num)"
    connection.execute(text(f"CREATE TABLE alembic_version ({revision})"))
    connection.execute(text("INSERT INTO alembic_version VALUES (:head)"), {"head": SCHEMA_HEAD})


def triggers() -> list[str]:
    """Triggers that refuse to change what was appended or has ended; a test holds them against the migrations."""
    states = ", ".join(f"'{state}'" for state in _TERMINAL)
    return [
        *(_refusal(t, verb, "", f"the table {t} is append-only") for t in APPEND_ONLY for verb in ("UPDATE", "DELETE")),
        *(_refusal(table, "DELETE", "WHEN TRUE ", f"rows of {table} are never deleted") for table in APPROVALS),
        _refusal("approval_votes", "UPDATE", "WHEN TRUE ", "a vote is never changed"),
        _refusal("approvals", "UPDATE", f"WHEN OLD.state IN ({states}) ", "a terminal approval is never changed"),
        _refusal("approval_links", "UPDATE", "WHEN OLD.used_at_ms IS NOT NULL ", "a used link is never changed"),
    ]


def _refusal(table: str, verb: str, when: str, message: str) -> str:
    name = f"{table}_no_{verb.lower()}"
    return f"CREATE TRIGGER {name} BEFORE {verb} ON {table} {when}BEGIN SELECT RAISE(ABORT, '{message}'); END"
