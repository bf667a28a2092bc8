"""Sessions in the database, by the hash of a random cookie, with an idle and an absolute end.

A session gets a new cookie from time to time. The old one is good until the new one was seen, and `grace_s` longer for
requests under way: an answer that is lost on the way signs nobody out.
"""

from dataclasses import dataclass
from typing import Any

from sqlalchemy import ColumnElement, Connection, Row, bindparam, delete, insert, or_, select, update

from backstay.storage.account_tables import account_sessions
from backstay.storage.unit import Unit
from backstay.web.accounts.one_time import new_id, new_secret, secret_sha256
from backstay.web.accounts.refusal import not_here
from backstay.web.accounts.settings import SessionSettings

SEEN_MS = 60_000
"""A session that was seen within this time is not written again."""

_table = account_sessions
_FIND = select(_table).where(or_(_table.c.sha256 == bindparam("key"), _table.c.previous_sha256 == bindparam("key")))


@dataclass(frozen=True, slots=True)
class Session:
    """One browser in which somebody is signed in, as a request found it."""

    id: str
    account_id: str | None
    link_id: str | None
    browser: str
    begun_ms: int
    seen_ms: int
    by_old_cookie: bool
    to_confirm: bool
    """The new cookie was seen for the first time."""

    to_rotate: bool
    to_touch: bool
    privilege_changed: bool

    @property
    def to_write(self) -> bool:
        """Whether the request changes what is kept."""
        return self.to_confirm or self.to_rotate or self.to_touch


def begin(
    unit: Unit,
    settings: SessionSettings,
    *,
    account_id: str | None = None,
    link_id: str | None = None,
    browser: str = "",
    replaces: str = "",
) -> tuple[str, str]:
    """A new session: its id and its cookie, never one that the browser brought. What the browser had before ends."""
    end_by_cookie(unit, replaces)
    _make_way(unit, settings, account_id)
    session_id, cookie = new_id(), new_secret()
    row = {
        "id": session_id,
        "sha256": secret_sha256(cookie),
        "confirmed": 1,
        "account_id": account_id,
        "link_id": link_id,
        "browser": browser[:200],
        "begun_ms": unit.now_ms,
        "seen_ms": unit.now_ms,
        "rotated_ms": unit.now_ms,
        "rotate_now": 0,
    }
    unit.connection.execute(insert(_table).values(row))
    return session_id, cookie


def find(connection: Connection, settings: SessionSettings, cookie: str, now_ms: int) -> Session | None:
    """The session of a cookie, or None once it is over."""
    key = secret_sha256(cookie)
    row = connection.execute(_FIND, {"key": key}).first()
    if row is None or _is_over(row, settings, now_ms):
        return None
    by_old = row.previous_sha256 == key
    if by_old and not _old_is_good(row, now_ms):
        return None
    return _session(row, settings, now_ms, by_old=by_old)


def keep_up(unit: Unit, settings: SessionSettings, cookie: str) -> str | None:
    """Write that a session was used; returns its new cookie where it gets one now."""
    session = find(unit.connection, settings, cookie, unit.now_ms)
    if session is None:
        return None
    changes: dict[str, Any] = {"seen_ms": unit.now_ms}
    if session.to_confirm:
        changes |= {"confirmed": 1, "previous_until_ms": unit.now_ms + settings.grace_s * 1000}
    fresh = None
    if session.to_rotate:
        fresh = new_secret()
        changes |= _rotation(unit, session, fresh, cookie)
    unit.connection.execute(update(_table).where(_table.c.id == session.id).values(changes))
    return fresh


def rotate(unit: Unit, session_id: str) -> str:
    """A new cookie at once, the old one no longer good: after a change of what the session may do."""
    fresh = new_secret()
    changes = {
        "sha256": secret_sha256(fresh),
        "previous_sha256": None,
        "previous_until_ms": None,
        "confirmed": 1,
        "rotated_ms": unit.now_ms,
        "rotate_now": 0,
    }
    unit.connection.execute(update(_table).where(_table.c.id == session_id).values(changes))
    return fresh


def listed(connection: Connection, settings: SessionSettings, account_id: str, now_ms: int) -> list[Session]:
    """The sessions of an account that are not over, the newest use first."""
    return _live(connection, settings, _table.c.account_id == account_id, now_ms)


def of_link(connection: Connection, settings: SessionSettings, link_id: str, now_ms: int) -> list[Session]:
    """The sessions of a rater link that are not over."""
    return _live(connection, settings, _table.c.link_id == link_id, now_ms)


def end(unit: Unit, account_id: str, session_id: str) -> None:
    """End one of an account's own sessions; raises Refused 404 for one of somebody else."""
    gone = delete(_table).where(_table.c.id == session_id, _table.c.account_id == account_id)
    if not unit.connection.execute(gone).rowcount:
        raise not_here("session")


def end_others(unit: Unit, account_id: str, but: str = "") -> int:
    """End every session of an account but one; how many."""
    gone = delete(_table).where(_table.c.account_id == account_id, _table.c.id != but)
    return unit.connection.execute(gone).rowcount


def end_by_cookie(unit: Unit, cookie: str) -> None:
    """Sign out."""
    if cookie:
        key = secret_sha256(cookie)
        unit.connection.execute(delete(_table).where(or_(_table.c.sha256 == key, _table.c.previous_sha256 == key)))


def _live(connection: Connection, settings: SessionSettings, whose: ColumnElement[bool], now_ms: int) -> list[Session]:
    rows = connection.execute(select(_table).where(whose).order_by(_table.c.seen_ms.desc(), _table.c.id))
    return [_session(row, settings, now_ms, by_old=False) for row in rows if not _is_over(row, settings, now_ms)]


def _rotation(unit: Unit, session: Session, fresh: str, cookie: str) -> dict[str, Any]:
    """The browser's cookie becomes the old one; after a change of privilege it is not good even for a moment."""
    return {
        "sha256": secret_sha256(fresh),
        "previous_sha256": None if session.privilege_changed else secret_sha256(cookie),
        "previous_until_ms": None,
        "confirmed": int(session.privilege_changed),
        "rotated_ms": unit.now_ms,
        "rotate_now": 0,
    }


def _make_way(unit: Unit, settings: SessionSettings, account_id: str | None) -> None:
    oldest = unit.now_ms - settings.absolute_s * 1000
    idle = unit.now_ms - settings.idle_s * 1000
    unit.connection.execute(delete(_table).where(or_(_table.c.begun_ms <= oldest, _table.c.seen_ms <= idle)))
    if account_id is None:
        return
    query = select(_table.c.id).where(_table.c.account_id == account_id).order_by(_table.c.seen_ms.desc())
    for row in unit.connection.execute(query.offset(settings.most - 1)).all():
        unit.connection.execute(delete(_table).where(_table.c.id == row.id))


def _is_over(row: Row[Any], settings: SessionSettings, now_ms: int) -> bool:
    idle = now_ms - row.seen_ms >= settings.idle_s * 1000
    return bool(idle or now_ms - row.begun_ms >= settings.absolute_s * 1000)


def _old_is_good(row: Row[Any], now_ms: int) -> bool:
    return not row.rotate_now and (row.previous_until_ms is None or now_ms < row.previous_until_ms)


def _session(row: Row[Any], settings: SessionSettings, now_ms: int, *, by_old: bool) -> Session:
    age_ms = now_ms - row.rotated_ms
    lost = by_old and not row.confirmed and age_ms >= settings.grace_s * 1000
    due = not by_old and age_ms >= settings.rotate_s * 1000
    return Session(
        row.id,
        row.account_id,
        row.link_id,
        row.browser,
        row.begun_ms,
        row.seen_ms,
        by_old,
        to_confirm=not by_old and not row.confirmed,
        to_rotate=bool(lost or due or row.rotate_now),
        to_touch=now_ms - row.seen_ms >= SEEN_MS,
        privilege_changed=bool(row.rotate_now),
    )
