"""Accounts, sessions, tokens, invitations, rater links and sign-in by another provider."""

import sqlalchemy as sa
from alembic import op

from backstay.storage.migrations.losing import drop_tables

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None

_TABLES = (
    "accounts",
    "sign_in_failures",
    "account_invitations",
    "rater_links",
    "account_sessions",
    "api_tokens",
    "oidc_identities",
    "oidc_flows",
)


def upgrade() -> None:
    """Create the tables."""
    op.create_table(
        "accounts",
        sa.Column("id", sa.String(36), primary_key=True),
        sa.Column("name", sa.String(64), nullable=False),
        sa.Column("display_name", sa.String(200), nullable=False),
        sa.Column("role", sa.String(12), nullable=False),
        sa.Column("projects", sa.Text),
        sa.Column("state", sa.String(12), nullable=False),
        sa.Column("rater_id", sa.String(200), nullable=False),
        sa.Column("password", sa.Text),
        sa.Column("created_ms", sa.BigInteger, nullable=False),
        sa.UniqueConstraint("name", name="uq_accounts_name"),
        sa.UniqueConstraint("rater_id", name="uq_accounts_rater_id"),
    )
    op.create_table(
        "sign_in_failures",
        sa.Column("key", sa.String(64), primary_key=True),
        sa.Column("failures", sa.Integer, nullable=False),
        sa.Column("since_ms", sa.BigInteger, nullable=False),
        sa.Column("locked_until_ms", sa.BigInteger, nullable=False),
    )
    op.create_index("ix_sign_in_failures_since_ms", "sign_in_failures", ["since_ms"])
    op.create_table(
        "account_invitations",
        sa.Column("id", sa.String(36), primary_key=True),
        sa.Column("sha256", sa.String(64), nullable=False),
        sa.Column("purpose", sa.String(12), nullable=False),
        sa.Column("account_id", sa.String(36), sa.ForeignKey("accounts.id")),
        sa.Column("role", sa.String(12), nullable=False),
        sa.Column("projects", sa.Text),
        sa.Column("note", sa.String(200), nullable=False),
        sa.Column("made_by", sa.String(36), nullable=False),
        sa.Column("created_ms", sa.BigInteger, nullable=False),
        sa.Column("expires_ms", sa.BigInteger, nullable=False),
        sa.Column("used_ms", sa.BigInteger),
        sa.UniqueConstraint("sha256", name="uq_account_invitations_sha256"),
    )
    op.create_index("ix_account_invitations_created_ms", "account_invitations", ["created_ms"])
    op.create_table(
        "rater_links",
        sa.Column("id", sa.String(36), primary_key=True),
        sa.Column("project", sa.String(200), nullable=False),
        sa.Column("pseudonym", sa.String(64), nullable=False),
        sa.Column("rater_id", sa.String(200), nullable=False),
        sa.Column("wanted", sa.Integer, nullable=False),
        sa.Column("completion_code", sa.String(100), nullable=False),
        sa.Column("made_by", sa.String(36), nullable=False),
        sa.Column("created_ms", sa.BigInteger, nullable=False),
        sa.Column("expires_ms", sa.BigInteger, nullable=False),
        sa.Column("begun_ms", sa.BigInteger),
        sa.Column("revoked_ms", sa.BigInteger),
        sa.UniqueConstraint("project", "pseudonym", name="uq_rater_links_project_pseudonym"),
    )
    op.create_table(
        "account_sessions",
        sa.Column("id", sa.String(36), primary_key=True),
        sa.Column("sha256", sa.String(64), nullable=False),
        sa.Column("previous_sha256", sa.String(64)),
        sa.Column("previous_until_ms", sa.BigInteger),
        sa.Column("confirmed", sa.Integer, nullable=False),
        sa.Column("account_id", sa.String(36), sa.ForeignKey("accounts.id")),
        sa.Column("link_id", sa.String(36), sa.ForeignKey("rater_links.id")),
        sa.Column("browser", sa.String(200), nullable=False),
        sa.Column("begun_ms", sa.BigInteger, nullable=False),
        sa.Column("seen_ms", sa.BigInteger, nullable=False),
        sa.Column("rotated_ms", sa.BigInteger, nullable=False),
        sa.Column("rotate_now", sa.Integer, nullable=False),
        sa.UniqueConstraint("sha256", name="uq_account_sessions_sha256"),
        sa.UniqueConstraint("previous_sha256", name="uq_account_sessions_previous_sha256"),
    )
    op.create_index("ix_account_sessions_account_id", "account_sessions", ["account_id"])
    op.create_index("ix_account_sessions_link_id", "account_sessions", ["link_id"])
    op.create_table(
        "api_tokens",
        sa.Column("id", sa.String(36), primary_key=True),
        sa.Column("sha256", sa.String(64), nullable=False),
        sa.Column("account_id", sa.String(36), sa.ForeignKey("accounts.id"), nullable=False),
        sa.Column("name", sa.String(100), nullable=False),
        sa.Column("scopes", sa.Text, nullable=False),
        sa.Column("created_ms", sa.BigInteger, nullable=False),
        sa.Column("expires_ms", sa.BigInteger, nullable=False),
        sa.Column("used_ms", sa.BigInteger),
        sa.Column("revoked_ms", sa.BigInteger),
        sa.UniqueConstraint("sha256", name="uq_api_tokens_sha256"),
    )
    op.create_index("ix_api_tokens_account_id", "api_tokens", ["account_id"])
    op.create_table(
        "oidc_identities",
        sa.Column("issuer", sa.String(400), primary_key=True),
        sa.Column("subject", sa.String(255), primary_key=True),
        sa.Column("account_id", sa.String(36), sa.ForeignKey("accounts.id"), nullable=False),
        sa.Column("created_ms", sa.BigInteger, nullable=False),
    )
    op.create_index("ix_oidc_identities_account_id", "oidc_identities", ["account_id"])
    op.create_table(
        "oidc_flows",
        sa.Column("state_sha256", sa.String(64), primary_key=True),
        sa.Column("browser_sha256", sa.String(64), nullable=False),
        sa.Column("provider", sa.String(40), nullable=False),
        sa.Column("nonce", sa.String(64), nullable=False),
        sa.Column("verifier", sa.String(128), nullable=False),
        sa.Column("invitation_sha256", sa.String(64)),
        sa.Column("next", sa.String(500), nullable=False),
        sa.Column("expires_ms", sa.BigInteger, nullable=False),
    )
    op.create_index("ix_oidc_flows_expires_ms", "oidc_flows", ["expires_ms"])


def downgrade() -> None:
    """Drop the tables, where nobody has an account."""
    drop_tables(*reversed(_TABLES))
