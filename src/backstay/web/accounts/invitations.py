"""Links that make or open an account once: the first admin's, invitations, and links for a new password."""

from dataclasses import dataclass
from typing import Any, Literal

from sqlalchemy import Connection, Row, delete, insert, select, update

from backstay.storage.account_tables import account_invitations, accounts
from backstay.storage.unit import Unit
from backstay.web.accounts import directory, sessions
from backstay.web.accounts.directory import Account, note, projects_of, projects_text
from backstay.web.accounts.one_time import new_id, new_secret, secret_sha256
from backstay.web.accounts.principal import Principal
from backstay.web.accounts.refusal import Refused, not_here
from backstay.web.accounts.settings import AccountSettings
from backstay.web.permissions import Role

Purpose = Literal["setup", "invite", "reset"]
SETUP_S = 86_400
"""Seconds for which the first admin's link holds."""

SYSTEM = "system"
"""Who makes the first admin's link."""

_table = account_invitations


@dataclass(frozen=True, slots=True)
class Invitation:
    """What is known of a link; not the link."""

    id: str
    purpose: Purpose
    account_id: str | None
    role: Role
    projects: tuple[str, ...] | None
    note: str
    made_by: str
    created_ms: int
    expires_ms: int
    used_ms: int | None


def setup(unit: Unit) -> str | None:
    """The secret of a link that makes the first admin; None once there is an account. Earlier ones end."""
    if not directory.is_empty(unit.connection):
        return None
    unit.connection.execute(delete(_table).where(_table.c.purpose == "setup", _table.c.used_ms.is_(None)))
    _, secret = _make(unit, "setup", SYSTEM, SETUP_S, Role.ADMIN)
    return secret


def invite(
    unit: Unit, settings: AccountSettings, by: Principal, role: Role, projects: tuple[str, ...] | None, said: str
) -> tuple[Invitation, str]:
    """A link that makes one account of this role."""
    invitation, secret = _make(unit, "invite", by.account_id, settings.invitation_s, role, projects, said=said)
    note(unit, by, "invite", invitation.id, {"role": role.value, "projects": list(projects) if projects else projects})
    return invitation, secret


def reset(unit: Unit, settings: AccountSettings, by: Principal, account_id: str) -> tuple[Invitation, str]:
    """A link by which the holder of an account sets a new password; earlier ones of the account end."""
    account = directory.get(unit.connection, account_id)
    if account.state != directory.ACTIVE:
        raise Refused(409, "disabled", "the account is disabled", cure="enable it first")
    _end_resets(unit, account_id)
    invitation, secret = _make(
        unit, "reset", by.account_id, settings.invitation_s, account.role, account_id=account_id, said=account.name
    )
    note(unit, by, "reset_link", account_id)
    return invitation, secret


def look(connection: Connection, secret: str, now_ms: int) -> Invitation:
    """What a link is for; raises Refused 404 where it is used up, over, or none of ours."""
    return look_by_hash(connection, secret_sha256(secret), now_ms)


def look_by_hash(connection: Connection, sha256: str, now_ms: int) -> Invitation:
    """The same, by the hash of the link's secret."""
    row = connection.execute(select(_table).where(_table.c.sha256 == sha256)).first()
    if row is None or row.used_ms is not None or row.expires_ms <= now_ms:
        raise Refused(404, "link_over", "this link does not hold, or was used", cure="ask for a new one")
    found = _invitation(row)
    if found.purpose == "setup" and not directory.is_empty(connection):
        raise Refused(404, "link_over", "the console is set up already", cure="ask an admin for an invitation")
    return found


def accept(unit: Unit, sha256: str, name: str, display_name: str, hashed: str | None) -> Account:
    """Use a link up: a new account with this password hash, or a new password for the account that it names."""
    found = look_by_hash(unit.connection, sha256, unit.now_ms)
    unit.connection.execute(update(_table).where(_table.c.id == found.id).values(used_ms=unit.now_ms))
    if found.account_id is not None:
        account = directory.get(unit.connection, found.account_id)
        if account.state != directory.ACTIVE or hashed is None:
            raise Refused(404, "link_over", "this link does not hold any more", cure="ask for a new one")
        directory.set_password(unit, account.id, hashed)
        sessions.end_others(unit, account.id)
        revoked = directory.revoke_tokens(unit, account.id)  # Somebody else may have had the account for a while.
        note(unit, account.id, "reset_password", account.id, {"invitation": found.id, "tokens_revoked": revoked})
        return account
    account = directory.add(unit, name, display_name, found.role, found.projects, hashed)
    unit.connection.execute(update(_table).where(_table.c.id == found.id).values(account_id=account.id))
    more = {"role": account.role.value, "invitation": found.id, "invited_by": found.made_by}
    note(unit, account.id, "join", account.id, more)
    return account


def listed(connection: Connection, now_ms: int) -> list[Invitation]:
    """Links that still hold, the newest first."""
    query = select(_table).where(_table.c.used_ms.is_(None), _table.c.expires_ms > now_ms)
    return [_invitation(row) for row in connection.execute(query.order_by(_table.c.created_ms.desc(), _table.c.id))]


def withdraw(unit: Unit, by: Principal, invitation_id: str) -> None:
    """End a link before it is used."""
    gone = delete(_table).where(_table.c.id == invitation_id, _table.c.used_ms.is_(None))
    if not unit.connection.execute(gone).rowcount:
        raise not_here("invitation")
    note(unit, by, "withdraw_invitation", invitation_id)


def name_of(connection: Connection, account_id: str | None) -> str:
    """The name of the account that a link is for; empty for a new one."""
    found = connection.execute(select(accounts.c.name).where(accounts.c.id == account_id)).scalar()
    return found or ""


def _end_resets(unit: Unit, account_id: str) -> None:
    ended = delete(_table).where(
        _table.c.purpose == "reset", _table.c.account_id == account_id, _table.c.used_ms.is_(None)
    )
    unit.connection.execute(ended)


def _make(
    unit: Unit,
    purpose: Purpose,
    made_by: str,
    holds_s: int,
    role: Role,
    projects: tuple[str, ...] | None = None,
    *,
    account_id: str | None = None,
    said: str = "",
) -> tuple[Invitation, str]:
    secret = new_secret()
    row = {
        "id": new_id(),
        "sha256": secret_sha256(secret),
        "purpose": purpose,
        "account_id": account_id,
        "role": role.value,
        "projects": projects_text(projects),
        "note": said[:200],
        "made_by": made_by,
        "created_ms": unit.now_ms,
        "expires_ms": unit.now_ms + holds_s * 1000,
    }
    unit.connection.execute(insert(_table).values(row))
    return _invitation(unit.connection.execute(select(_table).where(_table.c.id == row["id"])).one()), secret


def _invitation(row: Row[Any]) -> Invitation:
    return Invitation(
        row.id,
        row.purpose,
        row.account_id,
        Role(row.role),
        projects_of(row.projects),
        row.note,
        row.made_by,
        row.created_ms,
        row.expires_ms,
        row.used_ms,
    )
