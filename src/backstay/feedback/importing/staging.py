"""Records of a large file on the disk while it is read, so that a million judgments need little memory."""

import sqlite3
from collections.abc import Iterator
from hashlib import blake2b
from pathlib import Path
from typing import Any, Generic, TypeVar

from backstay.feedback.importing.intake import Shelves
from backstay.records import Judgment, Prompt, Rater, Record, Response, Task, canonical_json

CHUNK = 2000
_CACHE_KIB = 160 * 1024
"""Enough for the keys of a million judgments, each on a pair of its own: with less, every row waits for the disk."""
R = TypeVar("R", bound=Record)
KINDS: dict[str, type[Record]] = {
    "prompts": Prompt,
    "responses": Response,
    "tasks": Task,
    "raters": Rater,
    "judgments": Judgment,
}
"""Kinds of records in the order in which they must be stored."""


class Stage:
    """A temporary SQLite file with a table a kind of record. It is nobody's database: it dies with the import."""

    def __init__(self, path: Path) -> None:
        self.connection = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
        for pragma in ("journal_mode=OFF", "synchronous=OFF", f"cache_size=-{_CACHE_KIB}", "locking_mode=EXCLUSIVE"):
            self.connection.execute(f"PRAGMA {pragma}").close()
        self.connection.execute("BEGIN")

    def records(self, name: str) -> Iterator[list[str]]:
        """Canonical JSON of a shelf's records in order, in chunks."""
        after = 0
        query = f"SELECT n, record FROM {name} WHERE n > ? ORDER BY n LIMIT {CHUNK}"  # noqa: S608  names are our own
        while rows := self.connection.execute(query, (after,)).fetchall():
            yield [record for _, record in rows]
            after = rows[-1][0]

    def count(self, name: str) -> int:
        """How many records a shelf holds."""
        query = f"SELECT count(*) FROM {name}"  # noqa: S608  names are our own
        return int(self.connection.execute(query).fetchone()[0])

    def shelves(self) -> Shelves:
        """Empty shelves, a table each."""
        self._shelves: tuple[DiskShelf[Any], ...] = tuple(DiskShelf(self, name, kind) for name, kind in KINDS.items())
        return Shelves(*self._shelves)

    def settle(self) -> None:
        """Write what the shelves hold in memory."""
        for shelf in self._shelves:
            shelf.flush()


class DiskShelf(Generic[R]):
    """A shelf of a stage; the last few thousand records are also in memory."""

    def __init__(self, stage: Stage, name: str, kind: type[R]) -> None:
        self._connection, self._kind = stage.connection, kind
        self._connection.execute(f"CREATE TABLE {name} (n INTEGER PRIMARY KEY, key BLOB NOT NULL UNIQUE, record TEXT)")
        self._read = f"SELECT record FROM {name} WHERE key = ?"  # noqa: S608  names are our own
        self._write = (
            f"INSERT INTO {name} (key, record) VALUES (?, ?)"  # noqa: S608  names are our own
            " ON CONFLICT (key) DO UPDATE SET record = excluded.record"
        )
        self._new: dict[str, R] = {}
        self._recent: dict[str, R] = {}

    def get(self, key: str) -> R | None:
        """The record under a key."""
        found = self._new.get(key) or self._recent.get(key)
        if found is not None:
            return found
        row = self._connection.execute(self._read, (_short(key),)).fetchone()
        return None if row is None else self._kind.from_json(row[0])

    def put(self, key: str, record: R) -> None:
        """Keep a record, in place of an earlier one."""
        self._new[key] = record
        self._recent.pop(key, None)
        if len(self._new) >= CHUNK:
            self.flush()

    def flush(self) -> None:
        """Write what is only in memory."""
        rows = [(_short(key), _text(record)) for key, record in self._new.items()]
        self._connection.executemany(self._write, rows)
        self._recent, self._new = self._new, {}


def _short(key: str) -> bytes:
    """96 bits of a key: more than the 80 of a content id, and a third of its length."""
    return blake2b(key.encode(), digest_size=12).digest()


def _text(record: Record) -> str:
    """Canonical JSON as the tables hold it: of a judgment without the fields that the journal fills."""
    if not isinstance(record, Judgment):
        return record.to_json()
    payload = record.payload()
    del payload["prev_hash"], payload["hash"]
    return canonical_json(payload).decode()
