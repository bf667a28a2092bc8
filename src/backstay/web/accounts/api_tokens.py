"""API tokens: shown once, kept as a hash, with scopes that never go beyond what their owner may do now."""

import json
from collections.abc import Collection
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, Row, func, insert, select, update

from backstay.storage.account_tables import accounts, api_tokens
from backstay.storage.unit import Unit
from backstay.web.accounts.directory import Account, account_of, note
from backstay.web.accounts.one_time import new_id, new_secret, secret_sha256
from backstay.web.accounts.principal import Principal
from backstay.web.accounts.refusal import Refused, not_here
from backstay.web.accounts.settings import AccountSettings
from backstay.web.permissions import TOKEN_NEVER, Permission

PREFIX = "bst_"
USED_MS = 600_000
"""When a token was last used is kept as coarsely as this."""

MOST = 50
"""Tokens of one account that hold."""

_table = api_tokens


@dataclass(frozen=True, slots=True)
class ApiToken:
    """What is known of a token; not the token."""

    id: str
    account_id: str
    name: str
    scopes: tuple[Permission, ...]
    created_ms: int
    expires_ms: int
    used_ms: int | None
    revoked_ms: int | None


def make(
    unit: Unit, settings: AccountSettings, by: Principal, name: str, scopes: Collection[Permission], holds_s: int
) -> tuple[ApiToken, str]:
    """A token of one's own; what is returned besides it is shown once."""
    _check(settings, by, scopes, holds_s)
    live = select(func.count()).where(
        _table.c.account_id == by.account_id, _table.c.revoked_ms.is_(None), _table.c.expires_ms > unit.now_ms
    )
    if unit.connection.execute(live).scalar_one() >= MOST:
        raise Refused(409, "too_many_tokens", f"an account has at most {MOST} tokens", cure="revoke one first")
    secret = new_secret(PREFIX)
    row = {
        "id": new_id(),
        "sha256": secret_sha256(secret),
        "account_id": by.account_id,
        "name": name,
        "scopes": json.dumps(sorted(scope.value for scope in scopes)),
        "created_ms": unit.now_ms,
        "expires_ms": unit.now_ms + holds_s * 1000,
    }
    unit.connection.execute(insert(_table).values(row))
    note(unit, by, "make_token", by.account_id, {"token": row["id"], "scopes": sorted(scopes)})
    return _token(unit.connection.execute(select(_table).where(_table.c.id == row["id"])).one()), secret


def find(connection: Connection, secret: str, now_ms: int) -> tuple[ApiToken, Account] | None:
    """A token that holds and its owner, or None."""
    if not secret.startswith(PREFIX):
        return None
    row = connection.execute(select(_table).where(_table.c.sha256 == secret_sha256(secret))).first()
    if row is None or row.revoked_ms is not None or row.expires_ms <= now_ms:
        return None
    owner = account_of(connection.execute(select(accounts).where(accounts.c.id == row.account_id)).one())
    return _token(row), owner


def permissions_of(token: ApiToken, owner: Account, settings: AccountSettings) -> frozenset[Permission]:
    """What the bearer may do: the scopes that the owner still has."""
    never = frozenset() if settings.tokens_may_manage_accounts else TOKEN_NEVER
    return (owner.permissions & frozenset(token.scopes)) - never


def used(unit: Unit, token_id: str) -> None:
    """Keep that a token was used."""
    unit.connection.execute(update(_table).where(_table.c.id == token_id).values(used_ms=unit.now_ms))


def is_stale(token: ApiToken, now_ms: int) -> bool:
    """Whether its last use is to be written."""
    return token.used_ms is None or now_ms - token.used_ms >= USED_MS


def listed(connection: Connection, account_id: str) -> list[ApiToken]:
    """The tokens of an account that were not revoked, the newest first."""
    query = select(_table).where(_table.c.account_id == account_id, _table.c.revoked_ms.is_(None))
    return [_token(row) for row in connection.execute(query.order_by(_table.c.created_ms.desc(), _table.c.id))]


def revoke(unit: Unit, by: Principal, account_id: str, token_id: str) -> None:
    """Revoke a token of this account; raises Refused 404 for one of another."""
    query = update(_table).where(
        _table.c.id == token_id, _table.c.account_id == account_id, _table.c.revoked_ms.is_(None)
    )
    if not unit.connection.execute(query.values(revoked_ms=unit.now_ms)).rowcount:
        raise not_here("token")
    note(unit, by, "revoke_token", account_id, {"token": token_id})


def _check(settings: AccountSettings, by: Principal, scopes: Collection[Permission], holds_s: int) -> None:
    if by.via != "session":
        raise Refused(403, "session_only", "a token makes no tokens", cure="sign in and make it there")
    allowed = by.permissions - (frozenset() if settings.tokens_may_manage_accounts else TOKEN_NEVER)
    beyond = sorted(set(scopes) - allowed)
    if beyond or not scopes:
        what = f"the scope {beyond[0]} is not yours to give" if beyond else "a token needs a scope"
        raise Refused(403, "scope_refused", what, cure=f"choose from {', '.join(sorted(allowed))}")
    if not 60 <= holds_s <= settings.token_most_s:
        raise Refused(
            400, "expiry_refused", f"{holds_s} s is no time for a token", cure=f"60 to {settings.token_most_s}"
        )


def _token(row: Row[Any]) -> ApiToken:
    scopes = tuple(Permission(scope) for scope in json.loads(row.scopes))
    return ApiToken(
        row.id, row.account_id, row.name, scopes, row.created_ms, row.expires_ms, row.used_ms, row.revoked_ms
    )
