"""Tables of the console's webhooks: where events go, and the outbox of what each target has yet to confirm."""

from sqlalchemy import BigInteger, Column, ForeignKeyConstraint, Index, Integer, LargeBinary, String, Table, Text

from backstay.storage.tables import Sequence64, metadata

webhooks = Table(
    "webhooks",
    metadata,
    Column("id", String(36), primary_key=True),
    Column("url", String(2000), nullable=False),
    Column("note", String(200), nullable=False),
    Column("events", Text, nullable=False),
    Column("state", String(10), nullable=False),
    Column("sealed_secret", LargeBinary, nullable=False),
    Column("sealed_old_secret", LargeBinary),
    Column("old_until_ms", BigInteger),
    Column("quiet_until_ms", BigInteger),
    Column("created_by", String(200), nullable=False),
    Column("created_ms", BigInteger, nullable=False),
)
webhook_deliveries = Table(
    "webhook_deliveries",
    metadata,
    Column("id", Sequence64, primary_key=True, autoincrement=True),
    Column("webhook_id", String(36), nullable=False),
    Column("event_id", String(40), nullable=False),
    Column("event", String(40), nullable=False),
    Column("body", Text, nullable=False),
    Column("state", String(10), nullable=False),
    Column("attempts", Integer, nullable=False),
    Column("created_ms", BigInteger, nullable=False),
    Column("next_at_ms", BigInteger),
    Column("ended_ms", BigInteger),
    Column("last_error", Text, nullable=False),
    ForeignKeyConstraint(["webhook_id"], ["webhooks.id"]),
    Index(None, "next_at_ms"),
    Index(None, "webhook_id", "id"),
    Index(None, "state", "ended_ms"),
)
