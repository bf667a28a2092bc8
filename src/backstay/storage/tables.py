"""The tables, as the newest migration leaves them. Types are portable between SQLite and PostgreSQL."""

from typing import Any

from sqlalchemy import (
    BigInteger,
    Column,
    ForeignKey,
    ForeignKeyConstraint,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    String,
    Table,
    Text,
    UniqueConstraint,
)

from backstay.records import Demonstration, Prompt, Rater, Record, Response, Task, content_id

SCHEMA_HEAD = "0010"
"""Revision of the newest migration; a test holds it against the migrations folder."""

NAMING = {"ix": "ix_%(table_name)s_%(column_0_N_name)s", "uq": "uq_%(table_name)s_%(column_0_N_name)s"}
metadata = MetaData(naming_convention=NAMING)
CHAINED = ("judgments", "retractions")
"""Tables whose rows have a journal entry each, and so a unique `seq`."""

Name = String(200).with_variant(String(200, collation="C"), "postgresql")
"""Names of records, in the same order everywhere: digests depend on it."""

Sequence64 = BigInteger().with_variant(Integer(), "sqlite")

journal = Table(
    "journal",
    metadata,
    Column("seq", Sequence64, primary_key=True, autoincrement=False),
    Column("kind", String(40), nullable=False, index=True),
    Column("payload", Text, nullable=False),
    Column("prev_hash", String(64), nullable=False),
    # No index: hashes are random, and keeping them in order would cost more than the rest of an append together.
    Column("hash", String(64), nullable=False),
)


def _record_table(name: str, *extra: Column[Any] | ForeignKeyConstraint | UniqueConstraint | Index) -> Table:
    """A table of one kind of record: its canonical JSON, and the journal entry that vouches for it."""
    return Table(
        name,
        metadata,
        Column("dataset", Name, primary_key=True),
        Column("id", Name, primary_key=True),
        Column("seq", Sequence64, ForeignKey("journal.seq"), nullable=False, index=name not in CHAINED),
        Column("record", Text, nullable=False),
        *extra,
    )


def _belongs_to(table: str, column: str) -> ForeignKeyConstraint:
    return ForeignKeyConstraint(["dataset", column], [f"{table}.dataset", f"{table}.id"])


prompts = _record_table("prompts", Column("split", String(20), nullable=False))
responses = _record_table(
    "responses",
    Column("prompt_id", Name, nullable=False),
    _belongs_to("prompts", "prompt_id"),
    Index(None, "dataset", "prompt_id"),
)
tasks = _record_table(
    "tasks",
    Column("prompt_id", Name, nullable=False),
    _belongs_to("prompts", "prompt_id"),
    Index(None, "dataset", "prompt_id"),
)
raters = _record_table("raters")
demonstrations = _record_table("demonstrations", Column("prompt_id", Name, nullable=False))
judgments = _record_table(
    "judgments",
    Column("task_id", Name, nullable=False),
    Column("rater_id", Name, nullable=False),
    Column("prev_hash", String(64), nullable=False),
    Column("hash", String(64), nullable=False),
    _belongs_to("tasks", "task_id"),
    _belongs_to("raters", "rater_id"),
    UniqueConstraint("seq"),
    Index(None, "dataset", "task_id"),
    Index(None, "dataset", "rater_id"),
)
retractions = _record_table(
    "retractions",
    Column("judgment_id", Name, nullable=False),
    Column("rater_id", Name, nullable=False),
    _belongs_to("judgments", "judgment_id"),
    UniqueConstraint("seq"),
    UniqueConstraint("dataset", "judgment_id"),
)

approvals = Table(
    "approvals",
    metadata,
    Column("id", String(36), primary_key=True),
    Column("state", String(12), nullable=False),
    Column("version", Integer, nullable=False),
    Column("digest", String(64), nullable=False),
    Column("principal", String(200), nullable=False),
    Column("key", String(200)),
    Column("expires_at_ms", BigInteger, nullable=False),
    Column("escalate_at_ms", BigInteger),
    Column("lease_until_ms", BigInteger),
    Column("record", Text, nullable=False),
    UniqueConstraint("principal", "key"),
    Index(None, "state", "expires_at_ms"),
    Index(None, "principal", "state"),
)
approval_votes = Table(
    "approval_votes",
    metadata,
    Column("approval_id", String(36), ForeignKey("approvals.id"), primary_key=True),
    Column("digest", String(64), primary_key=True),
    Column("person", String(200), primary_key=True),
    Column("vote", String(12), primary_key=True),
    Column("version", Integer, primary_key=True, autoincrement=False),
    Column("roles", Text, nullable=False),
    Column("reason", Text, nullable=False),
    Column("key", String(200), nullable=False),
    Column("at_ms", BigInteger, nullable=False),
    UniqueConstraint("person", "key"),
    Index(None, "vote"),
)
approval_links = Table(
    "approval_links",
    metadata,
    Column("id", String(64), primary_key=True),
    Column("approval_id", String(36), ForeignKey("approvals.id"), nullable=False),
    Column("digest", String(64), nullable=False),
    Column("person", String(200), nullable=False),
    Column("expires_at_ms", BigInteger, nullable=False),
    Column("used_at_ms", BigInteger),
)
approval_outbox = Table(
    "approval_outbox",
    metadata,
    Column("id", Sequence64, primary_key=True, autoincrement=True),
    Column("event_id", String(36), nullable=False),
    Column("target", String(100), nullable=False),
    Column("body", Text, nullable=False),
    Column("attempts", Integer, nullable=False),
    Column("next_at_ms", BigInteger),
    Column("delivered_at_ms", BigInteger),
    Column("last_error", Text, nullable=False),
    UniqueConstraint("event_id", "target"),
    Index(None, "next_at_ms"),
)
approval_clock = Table(
    "approval_clock",
    metadata,
    Column("id", Integer, primary_key=True, autoincrement=False),
    Column("highest_ms", BigInteger, nullable=False),
)
kept_answers = Table(
    "kept_answers",
    metadata,
    Column("exchange", String(36), primary_key=True),
    Column("principal", String(200), nullable=False),
    Column("request_digest", String(64), nullable=False),
    Column("approvals", Text, nullable=False),
    Column("sealed", LargeBinary, nullable=False),
)
kept_approvals = Table(
    "kept_approvals",
    metadata,
    Column("approval_id", String(36), primary_key=True),
    Column("exchange", String(36), ForeignKey("kept_answers.exchange"), nullable=False),
)
harvested = Table(
    "harvested",
    metadata,
    Column("exchange", String(36), primary_key=True),
    Column("principal", String(200), nullable=False, index=True),
    Column("kept_at_ms", BigInteger, nullable=False),
    Column("expires_at_ms", BigInteger, nullable=False, index=True),
    Column("awaits_thumb", Integer, nullable=False),
    Column("sealed", LargeBinary, nullable=False),
)
harvested_feedback = Table(
    "harvested_feedback",
    metadata,
    Column("id", String(36), primary_key=True),
    Column("exchange", String(36), ForeignKey("harvested.exchange"), nullable=False, index=True),
    Column("principal", String(200), nullable=False),
    Column("score", Integer, nullable=False),
    Column("at_ms", BigInteger, nullable=False),
    Column("sealed", LargeBinary, nullable=False),
)

RECORD_TABLES: dict[str, tuple[Table, type[Record]]] = {
    "prompts": (prompts, Prompt),
    "responses": (responses, Response),
    "tasks": (tasks, Task),
    "raters": (raters, Rater),
    "demonstrations": (demonstrations, Demonstration),
}
"""Tables whose rows are vouched for in batches; judgments and retractions have a journal entry each."""


def searchable(table: str, payload: dict[str, Any]) -> dict[str, Any]:
    """The columns of a row that repeat what its record says."""
    if table == "demonstrations":
        return {"id": content_id("demonstration", payload), "prompt_id": payload["prompt"]["id"]}
    names = {
        "prompts": ("id", "split"),
        "responses": ("id", "prompt_id"),
        "tasks": ("id", "prompt_id"),
        "raters": ("id",),
        "judgments": ("id", "task_id", "rater_id"),
        "retractions": ("id", "judgment_id", "rater_id"),
    }[table]
    return {name: payload[name] for name in names}
