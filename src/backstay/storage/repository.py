"""What the database holds, as records: the only door for the layers above."""

import contextlib
import hashlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from sqlalchemy import Connection, Engine, Select, Table, func, select

from backstay.records import (
    Audit,
    Demonstration,
    Judgment,
    Prompt,
    Rater,
    Record,
    Response,
    Retraction,
    Task,
    canonical_json,
    sha256_hex,
)
from backstay.storage.batch import Batch, Review, ReviewAction
from backstay.storage.conflict import retried
from backstay.storage.decisions import adjudicated, gold_decisions, with_gold
from backstay.storage.engine import write_transaction
from backstay.storage.journal import read_entries
from backstay.storage.seal import Sealer
from backstay.storage.tables import RECORD_TABLES, judgments, retractions

R = TypeVar("R", bound=Record)
T = TypeVar("T")


@dataclass(frozen=True)
class DatasetCounts:
    """How many records of each kind a data set holds; `judgments` counts those that were retracted too."""

    name: str
    prompts: int
    responses: int
    tasks: int
    raters: int
    demonstrations: int
    judgments: int
    retractions: int


class Repository:
    """Reads and appends records; every record belongs to a named data set.

    With a sealer, the journal is compared with its last seal before each append and sealed after it.
    """

    def __init__(self, engine: Engine, sealer: Sealer | None = None) -> None:
        self.engine = engine
        self._sealer = sealer

    @contextlib.contextmanager
    def batch(self) -> Iterator[Batch]:
        """One transaction for several writes: all are stored when the block ends well, none otherwise."""
        with write_transaction(self.engine) as connection:
            if self._sealer:
                self._sealer.check(connection)
            yield Batch(connection)
        if self._sealer:
            self._sealer.seal(self.engine)

    def add_prompts(self, dataset: str, records: Iterable[Prompt]) -> int:
        """Store prompts; returns how many were new."""
        rows = list(records)
        return self._write(lambda batch: batch.add_prompts(dataset, rows))

    def add_responses(self, dataset: str, records: Iterable[Response]) -> int:
        """Store responses of stored prompts; returns how many were new."""
        rows = list(records)
        return self._write(lambda batch: batch.add_responses(dataset, rows))

    def add_tasks(self, dataset: str, records: Iterable[Task]) -> int:
        """Store tasks on stored prompts and responses; returns how many were new."""
        rows = list(records)
        return self._write(lambda batch: batch.add_tasks(dataset, rows))

    def add_raters(self, dataset: str, records: Iterable[Rater]) -> int:
        """Store raters; returns how many were new."""
        rows = list(records)
        return self._write(lambda batch: batch.add_raters(dataset, rows))

    def add_demonstrations(self, dataset: str, records: Iterable[Demonstration]) -> int:
        """Store demonstrations; returns how many were new."""
        rows = list(records)
        return self._write(lambda batch: batch.add_demonstrations(dataset, rows))

    def append_judgments(self, dataset: str, records: Sequence[Judgment]) -> list[Judgment]:
        """Append judgments; returns them with the journal's hashes. See Batch.append_judgments for what is refused."""
        return self._write(lambda batch: batch.append_judgments(dataset, records))

    def append_retractions(self, dataset: str, records: Sequence[Retraction]) -> int:
        """Append retractions; see Batch.append_retractions for what is refused."""
        return self._write(lambda batch: batch.append_retractions(dataset, records))

    def add_review(self, item_id: str, action: ReviewAction, reviewer: str, reason: str) -> Review:
        """Journal a person's decision to release or quarantine an item."""
        return self._write(lambda batch: batch.add_review(item_id, action, reviewer, reason))

    def prompts(self, dataset: str) -> list[Prompt]:
        """Prompts in order of id."""
        return self._read("prompts", Prompt, dataset)

    def responses(self, dataset: str) -> list[Response]:
        """Responses in order of id."""
        return self._read("responses", Response, dataset)

    def tasks(self, dataset: str) -> list[Task]:
        """Tasks in order of id, with the gold that was decided in the console where that differs from the record's."""
        with self.engine.connect() as connection:
            decided = gold_decisions(connection, dataset)
        return with_gold(self._read("tasks", Task, dataset), decided)

    def audits(self, dataset: str) -> list[Audit]:
        """What reviewers decided on disputed items of the data set; see `decisions.adjudicated`."""
        with self.engine.connect() as connection:
            return adjudicated(connection, dataset)

    def raters(self, dataset: str) -> list[Rater]:
        """Raters in order of id."""
        return self._read("raters", Rater, dataset)

    def demonstrations(self, dataset: str) -> list[Demonstration]:
        """Demonstrations in order of their content id."""
        return self._read("demonstrations", Demonstration, dataset)

    def judgments(self, dataset: str) -> list[Judgment]:
        """Standing votes in the order in which they were appended, with the journal's hashes.

        What its rater retracted, and what was asked only to see whether a rater is consistent, is left out.
        """
        retracted = select(retractions.c.judgment_id).where(retractions.c.dataset == dataset)
        standing = _judgments(dataset).where(judgments.c.id.not_in(retracted))
        return [judgment for judgment in self._read_judgments(standing) if judgment.purpose == "vote"]

    def all_judgments(self, dataset: str) -> list[Judgment]:
        """Every judgment in the order in which they were appended, retracted or not, whatever it was asked for."""
        return self._read_judgments(_judgments(dataset))

    def retractions(self, dataset: str) -> list[Retraction]:
        """Retractions in the order in which they were appended."""
        query = select(retractions.c.record).where(retractions.c.dataset == dataset).order_by(retractions.c.seq)
        with self.engine.connect() as connection:
            return [Retraction.from_json(record) for record in connection.execute(query).scalars()]

    def reviews(self) -> list[Review]:
        """Every review, oldest first; the last one of an item counts."""
        with self.engine.connect() as connection:
            return [Review.from_json(entry.payload) for entry in read_entries(connection, "review")]

    def datasets(self) -> list[DatasetCounts]:
        """Every data set with its counts, in order of name."""
        with self.engine.connect() as connection:
            counts = {name: _count(connection, table) for name, (table, _) in RECORD_TABLES.items()}
            counts["judgments"] = _count(connection, judgments)
            counts["retractions"] = _count(connection, retractions)
        names = sorted({dataset for table in counts.values() for dataset in table})
        return [DatasetCounts(name=name, **{kind: counts[kind].get(name, 0) for kind in counts}) for name in names]

    def dataset_digest(self, dataset: str) -> str:
        """SHA-256 over the content of a data set: equal digests mean equal records, in equal order where it counts.

        It does not depend on other data sets, on when things were added, or on the journal's hashes.
        """
        digest = hashlib.sha256()
        with self.engine.connect() as connection:
            for name, (table, _) in sorted(RECORD_TABLES.items()):
                _feed(digest, name, connection.execute(_records(table, dataset)).scalars())
            for name, table in (("judgments", judgments), ("retractions", retractions)):
                query = select(table.c.record).where(table.c.dataset == dataset).order_by(table.c.seq)
                _feed(digest, name, connection.execute(query).scalars())
            _feed(digest, "gold", _decided(connection, dataset))
            _feed(digest, "audits", (audit.to_json() for audit in adjudicated(connection, dataset)))
        return digest.hexdigest()

    def _write(self, work: Callable[[Batch], T]) -> T:
        """Run `work` in a batch of its own, again when the database gave way to another transaction."""

        def once() -> T:
            with write_transaction(self.engine) as connection:
                if self._sealer:
                    self._sealer.check(connection)
                return work(Batch(connection))

        done = retried(once)
        if self._sealer:
            self._sealer.seal(self.engine)
        return done

    def _read_judgments(self, query: Select[Any]) -> list[Judgment]:
        with self.engine.connect() as connection:
            return [
                Judgment.from_json(record).model_copy(update={"prev_hash": prev_hash, "hash": found})
                for record, prev_hash, found in connection.execute(query)
            ]

    def _read(self, name: str, kind: type[R], dataset: str) -> list[R]:
        with self.engine.connect() as connection:
            records = connection.execute(_records(RECORD_TABLES[name][0], dataset)).scalars()
            return [kind.from_json(record) for record in records]


def _judgments(dataset: str) -> Select[Any]:
    columns = (judgments.c.record, judgments.c.prev_hash, judgments.c.hash)
    return select(*columns).where(judgments.c.dataset == dataset).order_by(judgments.c.seq)


def _records(table: Table, dataset: str) -> Select[Any]:
    return select(table.c.record).where(table.c.dataset == dataset).order_by(table.c.id)


def _decided(connection: Connection, dataset: str) -> Iterator[str]:
    """The gold that was decided otherwise than the tasks' records have it, so that taking it over changes nothing."""
    decided = gold_decisions(connection, dataset)
    if not decided:
        return
    stored = [
        Task.from_json(record) for record in connection.execute(_records(RECORD_TABLES["tasks"][0], dataset)).scalars()
    ]
    for task, changed in zip(stored, with_gold(stored, decided), strict=True):
        if task.gold != changed.gold:
            yield canonical_json({"task": task.id, "gold": changed.gold}).decode()


def _count(connection: Connection, table: Table) -> dict[str, int]:
    query = select(table.c.dataset, func.count()).group_by(table.c.dataset)
    return {row[0]: row[1] for row in connection.execute(query)}


def _feed(digest: "hashlib._Hash", name: str, records: Iterable[str]) -> None:
    for record in records:
        digest.update(f"{name} {sha256_hex(record.encode())}\n".encode())
