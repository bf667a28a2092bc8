"""Walking the journal: what was edited, deleted, moved or cut, and where it begins."""

import json
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import Connection, Engine, Table, func, select

from backstay.storage.batch import batch_digest
from backstay.storage.chained_rows import columns_match, judgment_rows, retraction_rows
from backstay.storage.engine import check_pages, read_snapshot
from backstay.storage.journal import Entry, entry_hash, read_entries
from backstay.storage.merkle import RootBuilder
from backstay.storage.seal import Seal, SealLog
from backstay.storage.tables import RECORD_TABLES, journal, judgments

CHAINED_KINDS = ("judgment", "retraction")


@dataclass(frozen=True)
class VerifyReport:
    """What a walk over the journal found.

    `sealed_entries` is what the last sound seal covers; entries after it are the unsealed tail, which a crash between
    append and seal can leave. `broken` describes the first entry that does not hold, None when everything does.
    """

    entries: int
    sealed_entries: int
    broken: str | None

    @property
    def ok(self) -> bool:
        """Whether everything holds."""
        return self.broken is None

    @property
    def unsealed_entries(self) -> int:
        """Entries after the last seal: chained, but their cutting off could not be seen."""
        return max(0, self.entries - self.sealed_entries)


def verify_journal(engine: Engine, seals: SealLog) -> VerifyReport:
    """Check the chain, the seals, and every table against the journal. Triggers are not relied upon."""
    with read_snapshot(engine) as connection:
        walk = _Walk(connection, seals)
        broken = walk.first_broken() or _page_fault(connection)
    sealed = seals.seals[-1].count if seals.seals else 0
    return VerifyReport(entries=walk.entries, sealed_entries=sealed, broken=broken)


class _Walk:
    """One pass over the journal in order of seq."""

    def __init__(self, connection: Connection, seals: SealLog) -> None:
        self.entries = 0
        self._connection = connection
        self._seals = seals
        self._hash_at_seal = {seal.count: seal.head_hash for seal in seals.seals}
        self._roots = _Roots(seals.seals)
        self._chained = {"judgment": judgment_rows(connection), "retraction": retraction_rows(connection)}
        self._vouched = dict.fromkeys(RECORD_TABLES, 0)

    def first_broken(self) -> str | None:
        """Description of the first thing that does not hold."""
        previous = ""
        for entry in read_entries(self._connection):
            expected = self.entries + 1
            if entry.seq > expected:
                return self._missing(expected, entry.seq - 1)
            fault = self._entry_fault(entry, previous)
            if fault:
                self.entries = self._count()
                return f"{describe(entry)}: {fault}"
            self._roots.add(entry)
            self.entries, previous = entry.seq, entry.hash
        return self._end_fault()

    def _end_fault(self) -> str | None:
        sealed = self._cut_tail() or self._seal_fault() or self._roots.settle(self.entries)
        return sealed or self._left_over() or self._orphans()

    def _left_over(self) -> str | None:
        return next((fault for rows in self._chained.values() if (fault := rows.left_over())), None)

    def _entry_fault(self, entry: Entry, previous: str) -> str | None:
        if entry.seq <= self.entries or entry.prev_hash != previous:
            return "does not follow the entry before it"
        try:
            if entry_hash(entry.seq, entry.kind, entry.payload, entry.prev_hash) != entry.hash:
                return "content does not match its hash"
        except TypeError:
            return "its kind is no text"
        if self._hash_at_seal.get(entry.seq, entry.hash) != entry.hash:
            first = self._last_seal_before(entry.seq) + 1
            return f"hash is not the sealed one: something in entries {first} to {entry.seq} was rewritten"
        if entry.kind in self._chained:
            return self._chained[entry.kind].fault(entry)
        return self._records_fault(entry) if entry.kind == "records" else None

    def _records_fault(self, entry: Entry) -> str | None:
        try:
            payload = json.loads(entry.payload)
            name, table = payload["table"], RECORD_TABLES[payload["table"]][0]
            dataset, count, digest = payload["dataset"], payload["count"], payload["digest"]
        except (ValueError, KeyError, TypeError, RecursionError):
            return "is not the entry of a batch of records"
        rows = self._connection.execute(select(table).where(table.c.seq == entry.seq)).mappings().all()
        for row in rows:
            if row["dataset"] != dataset or not columns_match(name, dict(row)):
                return f"{name} row {row['id']!r} was changed"
        if len(rows) != count:
            return f"{name} holds {len(rows)} of the {count} rows added here"
        if batch_digest({row["id"]: row["record"] for row in rows}) != digest:
            return f"one of the {len(rows)} {name} rows added here was changed"
        self._vouched[name] += len(rows)
        return None

    def _missing(self, first: int, last: int) -> str:
        self.entries = self._count()
        query = select(judgments.c.id).where(judgments.c.seq == first)
        named = self._connection.execute(query).scalar()
        which = f"entry {first}" if first == last else f"entries {first} to {last}"
        return f"{which} missing" + (f" (judgment {named!r} still stands in its table)" if named else "")

    def _cut_tail(self) -> str | None:
        sealed = self._seals.seals[-1].count if self._seals.seals else 0
        if sealed <= self.entries:
            return None
        return f"{self._missing(self.entries + 1, sealed)}: the tail was cut, the last seal counts {sealed} entries"

    def _seal_fault(self) -> str | None:
        if self._seals.problem is None or (self.entries == 0 and not self._seals.seals):
            return None
        return f"{self._seals.problem}; this cannot show that nothing was cut"

    def _orphans(self) -> str | None:
        """Rows that no journal entry vouches for."""
        for name, (table, _) in RECORD_TABLES.items():
            if self._connection.execute(select(func.count()).select_from(table)).scalar_one() != self._vouched[name]:
                return f"{name} row {self._stray(name, table)!r} has no journal entry"
        return None

    def _stray(self, name: str, table: Table) -> str | None:
        entries = (entry for entry in read_entries(self._connection, "records"))
        vouched = {entry.seq for entry in entries if json.loads(entry.payload)["table"] == name}
        rows = self._connection.execute(select(table.c.id, table.c.seq).order_by(table.c.seq))
        return next((row.id for row in rows if row.seq not in vouched), None)

    def _last_seal_before(self, seq: int) -> int:
        return max((count for count in self._hash_at_seal if count < seq), default=0)

    def _count(self) -> int:
        return self._connection.execute(select(func.count()).select_from(journal)).scalar_one()


class _Roots:
    """The Merkle roots of the seals, computed along the walk."""

    def __init__(self, seals: Sequence[Seal]) -> None:
        self._fault: str | None = None
        self._seals = deque(seals)
        self._builder = RootBuilder()

    def add(self, entry: Entry) -> None:
        """The next entry, which is sound."""
        self.settle(entry.seq - 1)
        self._builder.add(bytes.fromhex(entry.hash))

    def settle(self, count: int) -> str | None:
        """Compare the roots of the seals of up to `count` entries; what was wrong with the first that is."""
        while self._seals and self._seals[0].count <= count:
            stated = self._seals.popleft()
            root = self._builder.root().hex()
            if stated.merkle_root not in (None, root) and self._fault is None:
                self._fault = f"the seal of {stated.count} entries states another Merkle root than its entries have"
            self._builder = RootBuilder()
        return self._fault


def describe(entry: Entry) -> str:
    """Name an entry by number, kind and what it is about."""
    try:
        payload = json.loads(entry.payload)
        own = entry.kind in CHAINED_KINDS
        about = payload[entry.kind]["id"] if own else payload.get("item_id", payload.get("table"))
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        about = None
    return f"entry {entry.seq} ({entry.kind}{f' {about}' if about else ''})"


def _page_fault(connection: Connection) -> str | None:
    fault = check_pages(connection)
    return f"the database file is damaged: {fault}" if fault else None
