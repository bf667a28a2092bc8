"""The tables of accounts, sessions, tokens, invitations and rater links. Secrets stand in them as hashes only."""

from sqlalchemy import BigInteger, Column, ForeignKey, Index, Integer, String, Table, Text, UniqueConstraint

from backstay.storage.tables import metadata

accounts = Table(
    "accounts",
    metadata,
    Column("id", String(36), primary_key=True),
    Column("name", String(64), nullable=False),
    Column("display_name", String(200), nullable=False),
    Column("role", String(12), nullable=False),
    # JSON list of project ids; NULL where the account is not bound to some.
    Column("projects", Text),
    Column("state", String(12), nullable=False),
    Column("rater_id", String(200), nullable=False),
    # NULL for who signs in elsewhere only.
    Column("password", Text),
    Column("created_ms", BigInteger, nullable=False),
    UniqueConstraint("name"),
    UniqueConstraint("rater_id"),
)
sign_in_failures = Table(
    "sign_in_failures",
    metadata,
    # Keyed digest of the name that was typed, whether or not anybody has it.
    Column("key", String(64), primary_key=True),
    Column("failures", Integer, nullable=False),
    Column("since_ms", BigInteger, nullable=False),
    Column("locked_until_ms", BigInteger, nullable=False),
    Index(None, "since_ms"),
)
account_invitations = Table(
    "account_invitations",
    metadata,
    Column("id", String(36), primary_key=True),
    Column("sha256", String(64), nullable=False),
    Column("purpose", String(12), nullable=False),
    Column("account_id", String(36), ForeignKey("accounts.id")),
    Column("role", String(12), nullable=False),
    Column("projects", Text),
    Column("note", String(200), nullable=False),
    Column("made_by", String(36), nullable=False),
    Column("created_ms", BigInteger, nullable=False),
    Column("expires_ms", BigInteger, nullable=False),
    Column("used_ms", BigInteger),
    UniqueConstraint("sha256"),
    Index(None, "created_ms"),
)
rater_links = Table(
    "rater_links",
    metadata,
    Column("id", String(36), primary_key=True),
    Column("project", String(200), nullable=False),
    # Keyed digest of the id that the rater has elsewhere; that id itself is not kept.
    Column("pseudonym", String(64), nullable=False),
    Column("rater_id", String(200), nullable=False),
    Column("wanted", Integer, nullable=False),
    Column("completion_code", String(100), nullable=False),
    Column("made_by", String(36), nullable=False),
    Column("created_ms", BigInteger, nullable=False),
    Column("expires_ms", BigInteger, nullable=False),
    Column("begun_ms", BigInteger),
    Column("revoked_ms", BigInteger),
    UniqueConstraint("project", "pseudonym"),
)
account_sessions = Table(
    "account_sessions",
    metadata,
    Column("id", String(36), primary_key=True),
    Column("sha256", String(64), nullable=False),
    Column("previous_sha256", String(64)),
    Column("previous_until_ms", BigInteger),
    Column("confirmed", Integer, nullable=False),
    Column("account_id", String(36), ForeignKey("accounts.id"), index=True),
    Column("link_id", String(36), ForeignKey("rater_links.id"), index=True),
    Column("browser", String(200), nullable=False),
    Column("begun_ms", BigInteger, nullable=False),
    Column("seen_ms", BigInteger, nullable=False),
    Column("rotated_ms", BigInteger, nullable=False),
    Column("rotate_now", Integer, nullable=False),
    UniqueConstraint("sha256"),
    UniqueConstraint("previous_sha256"),
)
api_tokens = Table(
    "api_tokens",
    metadata,
    Column("id", String(36), primary_key=True),
    Column("sha256", String(64), nullable=False),
    Column("account_id", String(36), ForeignKey("accounts.id"), nullable=False, index=True),
    Column("name", String(100), nullable=False),
    Column("scopes", Text, nullable=False),
    Column("created_ms", BigInteger, nullable=False),
    Column("expires_ms", BigInteger, nullable=False),
    Column("used_ms", BigInteger),
    Column("revoked_ms", BigInteger),
    UniqueConstraint("sha256"),
)
oidc_identities = Table(
    "oidc_identities",
    metadata,
    Column("issuer", String(400), primary_key=True),
    Column("subject", String(255), primary_key=True),
    Column("account_id", String(36), ForeignKey("accounts.id"), nullable=False, index=True),
    Column("created_ms", BigInteger, nullable=False),
)
oidc_flows = Table(
    "oidc_flows",
    metadata,
    Column("state_sha256", String(64), primary_key=True),
    Column("browser_sha256", String(64), nullable=False),
    Column("provider", String(40), nullable=False),
    Column("nonce", String(64), nullable=False),
    Column("verifier", String(128), nullable=False),
    Column("invitation_sha256", String(64)),
    Column("next", String(500), nullable=False),
    Column("expires_ms", BigInteger, nullable=False),
    Index(None, "expires_ms"),
)
