"""Tables whose rows have a journal entry each, read in step with the journal by whoever walks it."""

import json
from collections.abc import Callable, Iterator
from typing import Any

from sqlalchemy import Connection, Table, select

from backstay.storage.journal import PAGE, Entry, judgment_payload, retraction_payload
from backstay.storage.tables import judgments, retractions, searchable


class ChainedRows:
    """One such table. `payload` makes the entry's payload from a row's data set and record."""

    def __init__(self, connection: Connection, table: Table, payload: Callable[[str, str], str]) -> None:
        self._table, self._payload = table, payload
        self._rows = _rows(connection, table)
        self._next = next(self._rows, None)

    def fault(self, entry: Entry) -> str | None:
        """Compare the table's row for this entry with the entry."""
        row, name = self._next, self._table.name
        if row is None or row["seq"] > entry.seq:
            return f"its row in the {name} table is missing"
        if row["seq"] < entry.seq:
            return f"the {name} table has a row {row['id']!r} that no journal entry vouches for"
        self._next = next(self._rows, None)
        if not self._same(row, entry) or not columns_match(name, row):
            return f"its row in the {name} table (now {row['id']!r}) was changed"
        return None

    def left_over(self) -> str | None:
        """A row behind the last entry."""
        return None if self._next is None else f"{self._table.name} row {self._next['id']!r} has no journal entry"

    def _same(self, row: dict[str, Any], entry: Entry) -> bool:
        hashes = all(row.get(name, getattr(entry, name)) == getattr(entry, name) for name in ("prev_hash", "hash"))
        return (
            hashes and isinstance(row["dataset"], str) and self._payload(row["dataset"], row["record"]) == entry.payload
        )


def judgment_rows(connection: Connection) -> ChainedRows:
    """The judgments table, from its start."""
    return ChainedRows(connection, judgments, judgment_payload)


def retraction_rows(connection: Connection) -> ChainedRows:
    """The retractions table, from its start."""
    return ChainedRows(connection, retractions, retraction_payload)


def columns_match(name: str, row: dict[str, Any]) -> bool:
    """Whether a row's columns repeat what its record says."""
    if not isinstance(row["record"], str):
        return False
    try:
        expected = searchable(name, json.loads(row["record"]))
    except (ValueError, KeyError, TypeError, RecursionError):
        return False
    return all(row[column] == value for column, value in expected.items())


def _rows(connection: Connection, table: Table) -> Iterator[dict[str, Any]]:
    after: int | None = None
    while True:
        query = select(table).order_by(table.c.seq).limit(PAGE)
        query = query if after is None else query.where(table.c.seq > after)
        page = connection.execute(query).mappings().all()
        yield from (dict(row) for row in page)
        if len(page) < PAGE:
            return
        after = page[-1]["seq"]
