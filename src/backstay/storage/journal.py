"""The hash-chained journal: every judgment, retraction and review, and a digest of every batch of other records.

hash = sha256 of the canonical JSON of {seq, kind, payload, prev_hash}; the first entry has seq 1 and prev_hash "".
"""

import functools
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from hashlib import sha256
from typing import Any, NamedTuple

from sqlalchemy import Connection, Select, bindparam, insert, select

from backstay.records import canonical_json
from backstay.storage.engine import fetch_rows
from backstay.storage.tables import journal

PAGE = 2000
# Built once: building a statement costs more than SQLite takes to run it.
_HEAD = select(journal.c.seq, journal.c.hash).order_by(journal.c.seq.desc()).limit(1)
_HASH_AT = select(journal.c.hash).where(journal.c.seq == bindparam("at"))
_INSERT = insert(journal)
_COLUMNS = (journal.c.seq, journal.c.kind, journal.c.payload, journal.c.prev_hash, journal.c.hash)


class Entry(NamedTuple):
    """One journal entry; `payload` is canonical JSON text."""

    seq: int
    kind: str
    payload: str
    prev_hash: str
    hash: str


@dataclass(frozen=True)
class Head:
    """Length of the journal and hash of its last entry; 0 and "" when empty."""

    count: int
    hash: str


def entry_hash(seq: int, kind: str, payload: str, prev_hash: str) -> str:
    """Hash of an entry. `payload` is hashed as it stands, so text that is not canonical gives another hash."""
    previous = f'"{prev_hash}"' if prev_hash.isascii() and prev_hash.isalnum() else json.dumps(prev_hash)
    text = f'{{"kind":{_quoted(kind)},"payload":{payload},"prev_hash":{previous},"seq":{seq}}}'
    return sha256(text.encode()).hexdigest()


@functools.lru_cache(maxsize=256)
def _quoted(kind: str) -> str:
    return json.dumps(kind, ensure_ascii=False)


def utc_now() -> str:
    """The time as the journal writes it: UTC, milliseconds, as in 2026-01-31T12:00:00.000Z."""
    return datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def head(connection: Connection) -> Head:
    """The end of the journal."""
    row = connection.execute(_HEAD).first()
    return Head(0, "") if row is None else Head(row.seq, row.hash)


def hash_at(connection: Connection, seq: int) -> str | None:
    """Hash of entry `seq`, or None when there is no such entry."""
    found: str | None = connection.execute(_HASH_AT, {"at": seq}).scalar()
    return found


def entry_at(connection: Connection, seq: int) -> Entry | None:
    """Entry `seq`, or None when there is no such entry."""
    row = connection.execute(select(*_COLUMNS).where(journal.c.seq == seq)).first()
    return None if row is None else Entry(*row)


class Appender:
    """Appends to the journal within one write transaction, where nobody else can: its end is read once.

    A transaction has one, or its entries would be chained twice. `end` is the journal's, where it has been read.
    """

    def __init__(self, connection: Connection, end: Head | None = None) -> None:
        self._connection = connection
        self.end = end or head(connection)

    def append(self, items: Sequence[tuple[str, str]]) -> list[Entry]:
        """Append (kind, canonical JSON) items in order."""
        entries = list(_chain(self.end, items))
        if entries:
            self._connection.execute(_INSERT, [entry._asdict() for entry in entries])
            self.end = Head(entries[-1].seq, entries[-1].hash)
        return entries


def read_entries(connection: Connection, kind: str | None = None) -> Iterator[Entry]:
    """Entries in order of seq, fetched page by page; of one kind when given."""
    query = select(*_COLUMNS)
    for row in _paged(connection, query if kind is None else query.where(journal.c.kind == kind)):
        yield Entry(*row)


def read_between(connection: Connection, first: int, last: int) -> Iterator[Entry]:
    """Entries `first` to `last`, in order."""
    for row in _paged(connection, select(*_COLUMNS).where(journal.c.seq <= last), first - 1):
        yield Entry(*row)


def hashes_after(connection: Connection, seq: int) -> Iterator[str]:
    """Hashes of the entries behind entry `seq`, in order."""
    for _, found in _paged(connection, select(journal.c.seq, journal.c.hash), seq):
        yield found


def _paged(connection: Connection, query: Select[Any], after: int | None = None) -> Iterator[Any]:
    """Rows of a query whose first column is seq, in its order, fetched page by page."""
    query = query.order_by(journal.c.seq).limit(PAGE)
    while True:
        page = fetch_rows(connection, query if after is None else query.where(journal.c.seq > after))
        yield from page
        if len(page) < PAGE:
            return
        after = page[-1][0]


def judgment_payload(dataset: str, record: str) -> str:
    """Canonical payload of a judgment's entry around the record's canonical JSON."""
    return f'{{"dataset":{canonical_json(dataset).decode()},"judgment":{record}}}'


def retraction_payload(dataset: str, record: str) -> str:
    """Canonical payload of a retraction's entry around the record's canonical JSON."""
    return f'{{"dataset":{canonical_json(dataset).decode()},"retraction":{record}}}'


def _chain(start: Head, items: Sequence[tuple[str, str]]) -> Iterator[Entry]:
    count, previous = start.count, start.hash
    for kind, payload in items:
        count += 1
        found = entry_hash(count, kind, payload, previous)
        yield Entry(count, kind, payload, previous, found)
        previous = found
