"""Recorded decisions as a stream: from a guard's ledger, or from its export; with a proof of what was read."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO, NamedTuple, Protocol

from pydantic import Field, ValidationError
from sqlalchemy import Connection

from backstay.errors import IntegrityError, UsageError
from backstay.policy.obligations import Closed
from backstay.policy.recorded import KIND
from backstay.records import canonical_json
from backstay.storage.atomic import atomic_file
from backstay.storage.engine import open_database
from backstay.storage.journal import Entry, Head, entry_hash, head, read_entries

MAX_LINE = 64_000_000
_MAX_END = 400
_BEFORE, _BETWEEN = b'{"hash":"', b'","kind":"guard.decision","payload":'
_AFTER, _SEQ, _CLOSE = b',"prev_hash":"', b'","seq":', b"}\n"
_CURE = "`backstay verify` shows what was changed; --no-verify reads what is there"
_EXPORT = "make it again with: backstay guard export LEDGER -o FILE"


class _End(Closed):
    """The last line of an export."""

    decisions: int = Field(ge=0, lt=2**53)
    entries: int = Field(ge=0, lt=2**53)
    head: str = Field(pattern=r"^([0-9a-f]{64})?$")
    verified: bool


class Proof(NamedTuple):
    """What the rows were read from: a journal of so many entries that ends with this hash."""

    entries: int
    head: str
    verified: bool
    """Whether the chain of all entries up to the head is walked; for an export: was, when it was made."""


class Traffic(Protocol):
    """Entries of kind `guard.decision`, once, in order; `proof` is there from the start."""

    proof: Proof

    def __iter__(self) -> Iterator[Entry]:
        """The entries; raises IntegrityError where one does not hold."""


@contextmanager
def open_traffic(source: str | Path, *, verify: bool = True) -> Iterator[Traffic]:
    """Open a ledger (path or URL) or an export of one, which is told by its first bytes."""
    if _is_database(source):
        engine = open_database(source)
        try:
            with engine.connect() as connection:
                yield LedgerTraffic(connection, verify=verify)
        finally:
            engine.dispose()
        return
    with Path(source).open("rb") as file:
        yield ExportTraffic(file, str(source), verify=verify)


class LedgerTraffic:
    """The decisions of a ledger up to where it ended when it was opened."""

    def __init__(self, connection: Connection, *, verify: bool) -> None:
        self._connection, self._verify = connection, verify
        end = head(connection)
        self.proof = Proof(end.count, end.hash, verify)

    def __iter__(self) -> Iterator[Entry]:
        """The entries, each after the chain up to it was checked."""
        entries = read_entries(self._connection, None if self._verify else KIND)
        previous = Head(0, "")
        for entry in entries:
            if entry.seq > self.proof.entries:
                break
            if self._verify:
                _check_link(entry, previous)
                previous = Head(entry.seq, entry.hash)
            if entry.kind == KIND:
                yield entry
        if self._verify and previous != Head(self.proof.entries, self.proof.head):
            raise IntegrityError(f"the journal ends after entry {previous.count}, not {self.proof.entries}", cure=_CURE)


class ExportTraffic:
    """The decisions of an export: each line's hash holds, they ascend, and the last line says how many there are."""

    def __init__(self, file: BinaryIO, name: str, *, verify: bool) -> None:
        self._file, self._name, self._verify = file, name, verify
        end = self._read_end()
        self._decisions = end.decisions
        self.proof = Proof(end.entries, end.head, verify and end.verified)

    def __iter__(self) -> Iterator[Entry]:
        """The entries."""
        self._file.seek(0)
        last = 0
        for number in range(1, self._decisions + 1):
            entry = _parse_line(self._file.readline(MAX_LINE))
            if entry is None:
                raise IntegrityError(f"{self._name}:{number}: no decision as it is exported", cure=_EXPORT)
            if not last < entry.seq <= self.proof.entries:
                raise IntegrityError(f"{self._name}:{number}: entry {entry.seq} is out of order", cure=_EXPORT)
            if self._verify and entry_hash(*entry[:4]) != entry.hash:
                raise IntegrityError(f"{self._name}:{number}: the decision does not match its hash", cure=_EXPORT)
            last = entry.seq
            yield entry
        if self._file.tell() != self._end_at:
            raise IntegrityError(
                f"{self._name} holds more decisions than the {self._decisions} it states", cure=_EXPORT
            )

    def _read_end(self) -> _End:
        size = self._file.seek(0, os.SEEK_END)
        self._file.seek(max(0, size - _MAX_END))
        tail = self._file.read()
        line = tail[tail.rfind(b"\n", 0, -1) + 1 :]
        self._end_at = size - len(line)
        try:
            end = _End.model_validate_json(line)
        except ValidationError:
            end = None
        if end is None or canonical_json(end.model_dump()) + b"\n" != line:
            raise UsageError(f"{self._name} is neither a ledger nor a whole export of one", cure=_EXPORT)
        return end


def export_decisions(source: str | Path, output: Path, *, verify: bool = True) -> tuple[int, Proof]:
    """Write the decisions of a ledger as JSON lines, whole or not at all, readable by their owner only."""
    count = 0
    with open_traffic(source, verify=verify) as traffic, atomic_file(output) as file:
        os.fchmod(file.fileno(), 0o600)
        for entry in traffic:
            file.write(_line(entry))
            count += 1
        proof = traffic.proof
        end = _End(decisions=count, entries=proof.entries, head=proof.head, verified=proof.verified)
        file.write(canonical_json(end.model_dump()) + b"\n")
    return count, proof


def _line(entry: Entry) -> bytes:
    """Canonical JSON of the entry; its payload is that already."""
    parts = (_BEFORE, entry.hash.encode(), _BETWEEN, entry.payload.encode(), _AFTER, entry.prev_hash.encode())
    return b"".join((*parts, _SEQ, str(entry.seq).encode(), _CLOSE))


def _parse_line(line: bytes) -> Entry | None:
    """The entry of a line, None unless `_line` gives the very same bytes."""
    start = len(_BEFORE) + 64 + len(_BETWEEN)
    payload, after, tail = line[start:].rpartition(_AFTER)
    prev_hash, seq, number = tail.removesuffix(_CLOSE).partition(_SEQ)
    if not after or not seq or not number.isdigit() or len(number) > 18:
        return None
    try:
        found = line[len(_BEFORE) : len(_BEFORE) + 64].decode("ascii")
        entry = Entry(int(number), KIND, payload.decode(), prev_hash.decode("ascii"), found)
    except UnicodeDecodeError:
        return None
    return entry if _line(entry) == line else None


def _check_link(entry: Entry, previous: Head) -> None:
    if entry.seq != previous.count + 1 or entry.prev_hash != previous.hash:
        raise IntegrityError(f"entry {entry.seq} does not follow entry {previous.count} of the journal", cure=_CURE)
    if entry_hash(entry.seq, entry.kind, entry.payload, entry.prev_hash) != entry.hash:
        raise IntegrityError(f"entry {entry.seq} ({entry.kind}) does not match its hash", cure=_CURE)


def _is_database(source: str | Path) -> bool:
    if "://" in str(source):
        return True
    path = Path(source)
    if not path.is_file():
        raise UsageError(
            f"no ledger or export at {source}", cure="give the guard's database, or a file of guard export"
        )
    with path.open("rb") as file:
        return file.read(16) == b"SQLite format 3\0"
