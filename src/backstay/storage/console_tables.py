"""Tables of the console: projects, what is asked of whom, and what the answers add up to. Records stay in `tables`.

They may be made anew from the journal's records but for projects, guidelines and what people decided, which are
journalled beside them. Times end in `_ms`: milliseconds since 1970, UTC.
"""

from sqlalchemy import BigInteger, Column, Float, ForeignKeyConstraint, Index, Integer, String, Table, Text

from backstay.storage.tables import metadata

projects = Table(
    "projects",
    metadata,
    Column("id", String(60), primary_key=True),
    Column("name", String(200), nullable=False),
    Column("dataset", String(200), nullable=False),
    Column("settings", Text, nullable=False),
    Column("status", String(10), nullable=False),
    Column("created_by", String(200), nullable=False),
    Column("created_at_ms", BigInteger, nullable=False),
)


def _of_project(name: str, *columns: Column[object] | ForeignKeyConstraint | Index) -> Table:
    """A table whose rows belong to a project."""
    belongs = ForeignKeyConstraint(["project"], ["projects.id"])
    return Table(name, metadata, Column("project", String(60), primary_key=True), *columns, belongs)


guidelines = _of_project(
    "guidelines",
    Column("version", Integer, primary_key=True, autoincrement=False),
    Column("text", Text, nullable=False),
    Column("author", String(200), nullable=False),
    Column("at_ms", BigInteger, nullable=False),
)
items = _of_project(
    "items",
    Column("id", String(60), primary_key=True),
    Column("prompt_id", String(200), nullable=False),
    Column("response_ids", Text, nullable=False),
    Column("task_ids", Text, nullable=False),
    Column("state", String(10), nullable=False),
    Column("votes", Integer, nullable=False),
    Column("wants", Integer, nullable=False),
    Column("leased", Integer, nullable=False),
    Column("counts", Text, nullable=False),
    Column("belief", Text, nullable=False),
    Column("scores", Text),
    Column("priority", Float(53), nullable=False),
    Column("place", BigInteger, nullable=False),
    Index(None, "project", "state", "priority", "place", "wants"),
    Index(None, "project", "prompt_id"),
)
gold_items = _of_project(
    "gold_items",
    Column("item_id", String(60), primary_key=True),
    Column("dimension", String(20), primary_key=True),
    Column("best", Integer, nullable=False),
    Column("state", String(10), nullable=False),
    Column("exposures", Integer, nullable=False),
    Column("right", Integer, nullable=False),
    Column("author", String(200), nullable=False),
    Column("at_ms", BigInteger, nullable=False),
    Column("why", Text, nullable=False),
    Index(None, "project", "state", "exposures", "item_id"),
)
rater_stats = _of_project(
    "rater_stats",
    Column("rater_id", String(200), primary_key=True),
    Column("status", String(12), nullable=False),
    Column("issued", Integer, nullable=False),
    Column("judged", Integer, nullable=False),
    Column("skipped", Integer, nullable=False),
    Column("retracted", Integer, nullable=False),
    Column("gold_seen", Integer, nullable=False),
    Column("gold_right", Integer, nullable=False),
    Column("repeats", Integer, nullable=False),
    Column("repeats_same", Integer, nullable=False),
    Column("compared", Integer, nullable=False),
    Column("agreed", Integer, nullable=False),
    Column("decided", Integer, nullable=False),
    Column("chose_first", Integer, nullable=False),
    Column("pace", Text, nullable=False),
    Column("trust", Float(53), nullable=False),
    Column("trust_low", Float(53), nullable=False),
    Column("trust_high", Float(53), nullable=False),
    Column("trust_at_ms", BigInteger),
    Column("first_at_ms", BigInteger, nullable=False),
    Column("last_at_ms", BigInteger, nullable=False),
)
rater_days = _of_project(
    "rater_days",
    Column("rater_id", String(200), primary_key=True),
    Column("day", Integer, primary_key=True, autoincrement=False),
    Column("judged", Integer, nullable=False),
    Column("worked_ms", BigInteger, nullable=False),
)
trust_history = _of_project(
    "trust_history",
    Column("rater_id", String(200), primary_key=True),
    Column("at_ms", BigInteger, primary_key=True, autoincrement=False),
    Column("trust", Float(53), nullable=False),
    Column("low", Float(53), nullable=False),
    Column("high", Float(53), nullable=False),
    Column("judged", Integer, nullable=False),
)
trust_runs = _of_project(
    "trust_runs",
    Column("at_ms", BigInteger, primary_key=True, autoincrement=False),
    Column("state", String(10), nullable=False),
    Column("started_by", String(200), nullable=False),
    Column("method", String(10), nullable=False),
    Column("judged", BigInteger, nullable=False),
    Column("took_ms", BigInteger, nullable=False),
    Column("problem", Text, nullable=False),
    Column("findings", Text, nullable=False),
)
vote_patterns = _of_project(
    "vote_patterns",
    Column("dimension", String(20), primary_key=True),
    Column("pattern", String(60), primary_key=True),
    Column("n_items", BigInteger, nullable=False),
)
assignments = Table(
    "assignments",
    metadata,
    Column("id", String(36), primary_key=True),
    Column("project", String(60), nullable=False),
    Column("item_id", String(60), nullable=False),
    Column("prompt_id", String(200), nullable=False),
    Column("rater_id", String(200), nullable=False),
    Column("order_shown", Text, nullable=False),
    Column("purpose", String(12), nullable=False),
    Column("strategy", String(20), nullable=False),
    Column("propensity", Float(53), nullable=False),
    Column("guidelines_version", Integer, nullable=False),
    Column("issued_at_ms", BigInteger, nullable=False),
    Column("expires_at_ms", BigInteger, nullable=False),
    Column("state", String(10), nullable=False),
    Column("key", String(80)),
    Column("key_digest", String(64)),
    Column("settled_at_ms", BigInteger),
    Column("answer", Text),
    Column("judgment_ids", Text),
    Column("undo_key", String(80)),
    Column("undone_as", String(36)),
    ForeignKeyConstraint(["project", "item_id"], ["items.project", "items.id"]),
    Index(None, "project", "rater_id", "prompt_id"),
    Index(None, "project", "rater_id", "settled_at_ms"),
    Index(None, "project", "item_id"),
    Index(None, "state", "expires_at_ms"),
)
drafts = Table(
    "drafts",
    metadata,
    Column("id", String(36), primary_key=True),
    Column("project", String(60), nullable=False),
    Column("prompt_id", String(200), nullable=False),
    Column("response_id", String(200), nullable=False),
    Column("rater_id", String(200), nullable=False),
    Column("text", Text, nullable=False),
    Column("state", String(10), nullable=False),
    Column("at_ms", BigInteger, nullable=False),
    Column("reviewed_by", String(200)),
    Column("reviewed_at_ms", BigInteger),
    Column("reason", Text),
    ForeignKeyConstraint(["project"], ["projects.id"]),
    Index(None, "project", "state", "at_ms"),
)
adjudications = Table(
    "adjudications",
    metadata,
    Column("id", String(36), primary_key=True),
    Column("project", String(60), nullable=False),
    Column("item_id", String(60), nullable=False),
    Column("dimension", String(20), nullable=False),
    Column("choice", Text, nullable=False),
    Column("person", String(200), nullable=False),
    Column("reason", Text, nullable=False),
    Column("at_ms", BigInteger, nullable=False),
    ForeignKeyConstraint(["project", "item_id"], ["items.project", "items.id"]),
    Index(None, "project", "item_id"),
)
proposals = Table(
    "proposals",
    metadata,
    Column("id", String(36), primary_key=True),
    Column("kind", String(12), nullable=False),
    Column("project", String(60), nullable=False),
    Column("subject", String(200), nullable=False),
    Column("change", Text, nullable=False),
    Column("reason", Text, nullable=False),
    Column("person", String(200), nullable=False),
    Column("at_ms", BigInteger, nullable=False),
    Column("state", String(10), nullable=False),
    Column("second", String(200)),
    Column("second_reason", Text),
    Column("second_at_ms", BigInteger),
    ForeignKeyConstraint(["project"], ["projects.id"]),
    Index(None, "state", "at_ms"),
)
