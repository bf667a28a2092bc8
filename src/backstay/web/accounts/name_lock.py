"""Names that are locked after many failed sign-ins from wherever; kept in the database, so that a restart opens none.

Names that nobody has are counted like others: what the console says of a name tells nothing about it. Failures by
address are counted in memory only (`guard.inbox.lockout`): they bound noise, and a restart may forget them.
"""

from collections.abc import Callable

from sqlalchemy import Connection, delete, insert, select, update

from backstay.storage.account_tables import sign_in_failures
from backstay.storage.unit import Unit
from backstay.web.accounts.settings import AccountSettings

WINDOW_MS = 3_600_000
Digest = Callable[[bytes], str]
_table = sign_in_failures


def name_key(digest: Digest, name: str) -> str:
    """What a name is counted by: keyed, so that the table tells nobody which names were tried."""
    return digest(b"backstay.sign-in.name\0" + name.encode("utf-8", "replace"))


def is_locked(connection: Connection, key: str, now_ms: int) -> bool:
    """Whether no password opens this name now."""
    query = select(_table.c.key).where(_table.c.key == key, _table.c.locked_until_ms > now_ms)
    return connection.execute(query).first() is not None


def failed(unit: Unit, settings: AccountSettings, key: str) -> bool:
    """Count a failure; whether it locked the name."""
    unit.connection.execute(
        delete(_table).where(_table.c.since_ms <= unit.now_ms - WINDOW_MS, _table.c.locked_until_ms <= unit.now_ms)
    )
    count = unit.connection.execute(select(_table.c.failures).where(_table.c.key == key)).scalar()
    if count is None:
        row = {"key": key, "failures": 1, "since_ms": unit.now_ms, "locked_until_ms": 0}
        unit.connection.execute(insert(_table).values(row))
        return False
    locks = bool((count + 1) % settings.lock_failures == 0)
    values = {"failures": count + 1} | ({"locked_until_ms": unit.now_ms + settings.lock_s * 1000} if locks else {})
    unit.connection.execute(update(_table).where(_table.c.key == key).values(values))
    return locks


def unlock(unit: Unit, key: str) -> bool:
    """Forget the failures of a name; whether there were any."""
    return bool(unit.connection.execute(delete(_table).where(_table.c.key == key)).rowcount)
