"""Accounts: making them, finding them, and changing what they may do."""

import json
import re
import secrets
import unicodedata
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, Row, bindparam, delete, func, insert, select, update

from backstay.storage.account_tables import account_invitations, account_sessions, accounts, api_tokens
from backstay.storage.unit import Unit
from backstay.web.accounts.one_time import new_id
from backstay.web.accounts.principal import Principal
from backstay.web.accounts.refusal import Refused, not_here
from backstay.web.permissions import BEYOND_PROJECTS, PERMISSIONS, Permission, Role

_NAME = re.compile(r"[a-z0-9][a-z0-9._@+-]{0,63}")
_GET = select(accounts).where(accounts.c.id == bindparam("id"))
ACTIVE, DISABLED = "active", "disabled"


@dataclass(frozen=True, slots=True)
class Account:
    """One account, without its password."""

    id: str
    name: str
    display_name: str
    role: Role
    projects: tuple[str, ...] | None
    state: str
    rater_id: str
    created_ms: int

    @property
    def permissions(self) -> frozenset[Permission]:
        """What it may do."""
        every = PERMISSIONS[self.role] if self.state == ACTIVE else frozenset()
        return every if self.projects is None else every - BEYOND_PROJECTS


def normal_name(name: str) -> str:
    """A name as it is kept; names that look alike in another script are no names."""
    return unicodedata.normalize("NFKC", name[:200]).strip().lower()


def check_name(name: str) -> str:
    """The name as it is kept; raises Refused."""
    found = normal_name(name)
    if _NAME.fullmatch(found) is None:
        raise Refused(400, "name_refused", f"{name[:64]!r} is no name", cure="1 to 64 of a-z, 0-9 and . _ @ + -")
    return found


def projects_text(projects: Iterable[str] | None) -> str | None:
    """Project ids as the tables keep them."""
    return None if projects is None else json.dumps(sorted(set(projects)))


def projects_of(text: str | None) -> tuple[str, ...] | None:
    """Project ids as a table kept them."""
    return None if text is None else tuple(json.loads(text))


def account_of(row: Row[Any]) -> Account:
    """An account from a row that holds its columns."""
    return Account(
        row.id,
        row.name,
        row.display_name,
        Role(row.role),
        projects_of(row.projects),
        row.state,
        row.rater_id,
        row.created_ms,
    )


def add(
    unit: Unit, name: str, display_name: str, role: Role, projects: Iterable[str] | None, password: str | None
) -> Account:
    """A new account; `password` is its hash. Raises Refused 409 where the name is taken."""
    kept = check_name(name)
    if unit.connection.execute(select(accounts.c.id).where(accounts.c.name == kept)).first():
        raise Refused(409, "name_taken", f"the name {kept!r} is taken", cure="choose another one")
    account_id = new_id()
    row = {
        "id": account_id,
        "name": kept,
        "display_name": display_name.strip()[:200] or kept,
        "role": role.value,
        "projects": projects_text(projects),
        "state": ACTIVE,
        "rater_id": f"r-{secrets.token_hex(8)}",
        "password": password,
        "created_ms": unit.now_ms,
    }
    unit.connection.execute(insert(accounts).values(row))
    return get(unit.connection, account_id)


def get(connection: Connection, account_id: str) -> Account:
    """An account by id; raises Refused 404."""
    row = connection.execute(_GET, {"id": account_id}).first()
    if row is None:
        raise not_here("account")
    return account_of(row)


def find(connection: Connection, name: str) -> tuple[Account, str | None] | None:
    """The account of a name with its password hash, or None."""
    row = connection.execute(select(accounts).where(accounts.c.name == normal_name(name))).first()
    return None if row is None else (account_of(row), row.password)


def listed(connection: Connection, after: str = "", limit: int = 100) -> list[Account]:
    """Accounts by name, those behind `after`."""
    query = select(accounts).where(accounts.c.name > after).order_by(accounts.c.name).limit(limit)
    return [account_of(row) for row in connection.execute(query)]


def is_empty(connection: Connection) -> bool:
    """Whether there is no account at all."""
    return connection.execute(select(accounts.c.id).limit(1)).first() is None


def change(
    unit: Unit,
    by: Principal,
    account_id: str,
    *,
    role: Role | None = None,
    state: str | None = None,
    projects: tuple[str, ...] | None = None,
    every_project: bool = False,
) -> Account:
    """Change role, state or projects. Nobody changes their own, and the last admin stays one.

    Whoever is disabled is signed out at once and their tokens are revoked; with another role or other projects their
    sessions get new cookies, and no longer honour the old ones. Invitations of whoever is no admin any more end.
    """
    before = get(unit.connection, account_id)
    if account_id == by.account_id:
        raise Refused(403, "own_account", "nobody changes their own role or projects", cure="ask another admin")
    ends_admin = Permission.MANAGE_ACCOUNTS in before.permissions and (
        role not in (None, Role.ADMIN) or state == DISABLED or projects is not None
    )
    if ends_admin:
        _check_other_admin(unit.connection, account_id)
    changes: dict[str, Any] = {}
    if role is not None:
        changes["role"] = role.value
    if state is not None:
        changes["state"] = state
    if projects is not None or every_project:
        changes["projects"] = None if every_project else projects_text(projects)
    if changes:
        unit.connection.execute(update(accounts).where(accounts.c.id == account_id).values(changes))
        _let_go(unit, account_id, state)
        if state == DISABLED or ends_admin:
            open_ones = account_invitations.c.made_by == account_id, account_invitations.c.used_ms.is_(None)
            unit.connection.execute(delete(account_invitations).where(*open_ones))
        note(unit, by, "change", account_id, {"role_before": before.role.value, **changes})
    return get(unit.connection, account_id)


def set_password(unit: Unit, account_id: str, hashed: str) -> None:
    """Another password hash."""
    unit.connection.execute(update(accounts).where(accounts.c.id == account_id).values(password=hashed))


def revoke_tokens(unit: Unit, account_id: str) -> int:
    """End every API token of an account; how many."""
    revoked = update(api_tokens).where(api_tokens.c.account_id == account_id, api_tokens.c.revoked_ms.is_(None))
    return unit.connection.execute(revoked.values(revoked_ms=unit.now_ms)).rowcount


def note(unit: Unit, by: Principal | str, what: str, whom: str, more: dict[str, Any] | None = None) -> None:
    """The journal row of an act on an account. No secrets, no addresses."""
    who = by if isinstance(by, str) else by.account_id
    via = {} if isinstance(by, str) else {"via": by.via}
    unit.note("console.account", {"by": who, "what": what, "whom": whom, **via, **(more or {})})


def _check_other_admin(connection: Connection, account_id: str) -> None:
    others = select(func.count()).where(
        accounts.c.role == Role.ADMIN.value,
        accounts.c.state == ACTIVE,
        accounts.c.projects.is_(None),
        accounts.c.id != account_id,
    )
    if not connection.execute(others).scalar_one():
        raise Refused(409, "last_admin", "the last admin stays one", cure="make another admin first")


def _let_go(unit: Unit, account_id: str, state: str | None) -> None:
    if state == DISABLED:
        unit.connection.execute(delete(account_sessions).where(account_sessions.c.account_id == account_id))
        revoke_tokens(unit, account_id)
    else:
        rotated = update(account_sessions).where(account_sessions.c.account_id == account_id)
        unit.connection.execute(rotated.values(rotate_now=1))
