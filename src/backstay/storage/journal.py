"""The hash-chained journal: every judgment and review, and a digest of every batch of other records.

hash = sha256 of the canonical JSON of {seq, kind, payload, prev_hash}; the first entry has seq 1 and prev_hash "".
"""

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import NamedTuple

from sqlalchemy import Connection, insert, select

from backstay.records import canonical_json, sha256_hex
from backstay.storage.tables import journal

PAGE = 2000


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
    kind_json = json.dumps(kind, ensure_ascii=False)
    text = f'{{"kind":{kind_json},"payload":{payload},"prev_hash":{json.dumps(prev_hash)},"seq":{json.dumps(seq)}}}'
    return sha256_hex(text.encode())


def utc_now() -> str:
    """The time as the journal writes it: UTC, milliseconds, as in 2026-01-31T12:00:00.000Z."""
    return datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def head(connection: Connection) -> Head:
    """The end of the journal."""
    row = connection.execute(select(journal.c.seq, journal.c.hash).order_by(journal.c.seq.desc()).limit(1)).first()
    return Head(0, "") if row is None else Head(row.seq, row.hash)


def hash_at(connection: Connection, seq: int) -> str | None:
    """Hash of entry `seq`, or None when there is no such entry."""
    found: str | None = connection.execute(select(journal.c.hash).where(journal.c.seq == seq)).scalar()
    return found


def append_entries(connection: Connection, items: Sequence[tuple[str, str]]) -> list[Entry]:
    """Append (kind, canonical JSON) items in order; the connection must hold the write transaction."""
    entries = list(_chain(head(connection), items))
    if entries:
        connection.execute(insert(journal), [entry._asdict() for entry in entries])
    return entries


def read_entries(connection: Connection, kind: str | None = None) -> Iterator[Entry]:
    """Entries in order of seq, fetched page by page; of one kind when given."""
    after: int | None = None
    while True:
        query = select(journal).order_by(journal.c.seq).limit(PAGE)
        query = query if after is None else query.where(journal.c.seq > after)
        query = query if kind is None else query.where(journal.c.kind == kind)
        page = connection.execute(query).all()
        for row in page:
            yield Entry(row.seq, row.kind, row.payload, row.prev_hash, row.hash)
        if len(page) < PAGE:
            return
        after = page[-1].seq


def judgment_payload(dataset: str, record: str) -> str:
    """Canonical payload of a judgment's entry around the record's canonical JSON."""
    return f'{{"dataset":{canonical_json(dataset).decode()},"judgment":{record}}}'


def _chain(start: Head, items: Sequence[tuple[str, str]]) -> Iterator[Entry]:
    count, previous = start.count, start.hash
    for kind, payload in items:
        count += 1
        found = entry_hash(count, kind, payload, previous)
        yield Entry(count, kind, payload, previous, found)
        previous = found
