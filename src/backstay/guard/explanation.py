"""What the ledger says of one decision or exchange, and its newest rows."""

from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import orjson
from sqlalchemy import Connection, select

from backstay.errors import IntegrityError, UsageError
from backstay.guard.audit import DECISION, OUTCOME
from backstay.guard.canonical import canonical_text
from backstay.storage.journal import head, read_between
from backstay.storage.tables import journal

KINDS = (DECISION, OUTCOME, "guard.approval", "guard.harvest")
_NAMES = ("id", "exchange", "decision")
_PAGE = 1000


class AuditRow(NamedTuple):
    """A row of the guard in the journal, with its payload as data."""

    seq: int
    kind: str
    hash: str
    payload: dict[str, Any]


MAX_DIGITS = 19


def rows_about(connection: Connection, wanted: str) -> list[AuditRow]:
    """Every row with this id, of this exchange, or about the decision with this id; oldest first.

    A number is that of an entry, and stands for the exchange of its row. Reads the whole ledger, which no index covers.
    Raises UsageError when there is no such row.
    """
    wanted = _exchange_at(connection, wanted) if wanted.isdigit() and len(wanted) < MAX_DIGITS else wanted
    query = (
        select(journal.c.seq, journal.c.kind, journal.c.hash, journal.c.payload)
        .where(journal.c.payload.contains(canonical_text(wanted), autoescape=True), journal.c.kind.in_(KINDS))
        .order_by(journal.c.seq)
    )
    rows = [_row(*row) for row in connection.execute(query)]
    found = [row for row in rows if wanted in (row.payload.get(name) for name in _NAMES)]
    if not found:
        raise UsageError(
            f"the ledger holds no decision or exchange {wanted!r}",
            cure="see the newest with: backstay guard audit",
        )
    return found


def _exchange_at(connection: Connection, seq: str) -> str:
    columns = (journal.c.seq, journal.c.kind, journal.c.hash, journal.c.payload)
    found = connection.execute(select(*columns).where(journal.c.seq == int(seq), journal.c.kind.in_(KINDS))).first()
    named = _row(*found).payload if found is not None else {}
    return str(named.get("exchange") or named.get("id") or seq)


def newest_rows(
    connection: Connection, limit: int, wanted: Callable[[AuditRow], bool] = lambda row: row.kind == DECISION
) -> list[AuditRow]:
    """The last rows that are wanted, newest first."""
    found: list[AuditRow] = []
    for row in _backwards(connection):
        if len(found) >= limit:
            break
        if wanted(row):
            found.append(row)
    return found


def _backwards(connection: Connection) -> Iterator[AuditRow]:
    for last in range(head(connection).count, 0, -_PAGE):
        for entry in reversed(list(read_between(connection, max(1, last - _PAGE + 1), last))):
            if entry.kind in KINDS:
                yield _row(entry.seq, entry.kind, entry.hash, entry.payload)


def _row(seq: int, kind: str, found_hash: str, payload: str) -> AuditRow:
    try:
        value = orjson.loads(payload)
    except ValueError:
        value = None
    if not isinstance(value, dict):
        raise IntegrityError(f"entry {seq} ({kind}) is damaged", cure="backstay verify")
    return AuditRow(seq, kind, found_hash, value)
