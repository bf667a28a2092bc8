"""Writing: everything that one transaction stores, and the journal entries that vouch for it."""

import contextlib
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, Literal

from sqlalchemy import Column, Connection, Table, insert, select

from backstay.errors import UsageError
from backstay.records import (
    Demonstration,
    Judgment,
    Prompt,
    Rater,
    Record,
    Response,
    Retraction,
    Task,
    canonical_json,
    content_hash,
    sha256_hex,
)
from backstay.storage.engine import set_cache
from backstay.storage.journal import Appender, Entry, judgment_payload, retraction_payload, utc_now
from backstay.storage.known import KEPT_BY_ID, chunks, refuse_changed, stored_records
from backstay.storage.tables import (
    RECORD_TABLES,
    judgments,
    metadata,
    prompts,
    raters,
    responses,
    retractions,
    searchable,
    tasks,
)

ReviewAction = Literal["release", "quarantine"]
_CACHE_MIB, _LARGE_CACHE_MIB = 2, 64
_MAX_NAME = 200


class Review(Record):
    """A person's decision on a quarantined item, as the journal holds it."""

    item_id: str
    action: ReviewAction
    reviewer: str
    reason: str
    created_at: str


class Batch:
    """One write transaction. Rows that stand already are left alone; equal ids with other content are refused.

    `journal` is the transaction's, where it has one already.
    """

    def __init__(self, connection: Connection, journal: Appender | None = None) -> None:
        self._connection = connection
        self._journal = journal or Appender(connection)

    def add_prompts(self, dataset: str, records: Iterable[Prompt]) -> int:
        """Store prompts; returns how many were new."""
        return self._add("prompts", dataset, records)

    def add_responses(self, dataset: str, records: Iterable[Response]) -> int:
        """Store responses, whose prompts must stand already; returns how many were new."""
        rows = list(records)
        self._require(prompts, dataset, (row.prompt_id for row in rows), "response refers to unknown prompt")
        return self._add("responses", dataset, rows)

    def add_tasks(self, dataset: str, records: Iterable[Task]) -> int:
        """Store tasks, whose prompts and responses must stand already; returns how many were new."""
        rows = list(records)
        self._require(prompts, dataset, (row.prompt_id for row in rows), "task refers to unknown prompt")
        named = (response_id for row in rows for response_id in row.response_ids)
        self._require(responses, dataset, named, "task refers to unknown response")
        return self._add("tasks", dataset, rows)

    def add_raters(self, dataset: str, records: Iterable[Rater]) -> int:
        """Store raters; returns how many were new."""
        return self._add("raters", dataset, records)

    def add_demonstrations(self, dataset: str, records: Iterable[Demonstration]) -> int:
        """Store demonstrations; returns how many were new."""
        return self._add("demonstrations", dataset, records)

    def append_judgments(
        self, dataset: str, records: Sequence[Judgment], *, sizes: Mapping[str, int] | None = None
    ) -> list[Judgment]:
        """Append judgments to the journal and the table; returns them with `prev_hash` and `hash` filled.

        Raises UsageError for an unknown task or rater, an id that is taken, or a choice that does not fit its task.
        With `sizes`, the number of responses by task, nothing is read: the caller has read the tasks and made the ids,
        and the keys of the tables hold.
        """
        _check_dataset(dataset)
        if sizes is None:
            self._check_judgments(dataset, records)
        else:
            for row in records:
                _check_fit(row, sizes[row.task_id])
        bodies = [_body(judgment) for judgment in records]
        texts = [canonical_json(body).decode() for body in bodies]
        chained = zip(records, self._append(dataset, bodies, texts), strict=True)
        return [row.model_copy(update={"prev_hash": entry.prev_hash, "hash": entry.hash}) for row, entry in chained]

    @contextlib.contextmanager
    def many_rows(self) -> Iterator[None]:
        """Let the database hold more in memory while very many rows are stored."""
        set_cache(self._connection, _LARGE_CACHE_MIB)
        try:
            yield
        finally:
            set_cache(self._connection, _CACHE_MIB)

    def add_canonical(self, name: str, dataset: str, texts: Sequence[str]) -> int:
        """Store records given as canonical JSON; returns how many were new.

        For loads too large for objects. Prompts and responses that are known by id are left alone: the id is the hash
        of what counts. The database refuses what refers to nothing.
        """
        _check_dataset(dataset)
        rows: dict[str, dict[str, Any]] = {}
        for text in texts:
            row = {"dataset": dataset, "record": text, **_names(name, json.loads(text))}
            rows.setdefault(row["id"], row)
        return self._add_rows(name, dataset, rows, keep_known=name in KEPT_BY_ID)

    def append_canonical(self, dataset: str, texts: Sequence[str]) -> int:
        """Append judgments given as canonical JSON without hashes, whose fit to their tasks the caller has checked.

        Returns how many were new; one that stands already is left alone. Raises IntegrityError where it stands with
        other content.
        """
        _check_dataset(dataset)
        bodies = {body["id"]: (body, text) for body, text in ((json.loads(text), text) for text in texts)}
        stored = self._stored(judgments, dataset, bodies)
        refuse_changed("judgments", stored, {judgment_id: text for judgment_id, (_, text) in bodies.items()})
        new = [pair for judgment_id, pair in bodies.items() if judgment_id not in stored]
        self._append(dataset, [body for body, _ in new], [text for _, text in new])
        return len(new)

    def append_retractions(self, dataset: str, records: Sequence[Retraction]) -> int:
        """Append retractions to the journal and the table; returns how many.

        Raises UsageError for a judgment that is unknown, another rater's or retracted already, or an id that is taken.
        """
        _check_dataset(dataset)
        self._check_retractions(dataset, records)
        texts = [record.to_json() for record in records]
        items = [("retraction", retraction_payload(dataset, text)) for text in texts]
        entries = self._journal.append(items)
        rows = [
            {"dataset": dataset, "seq": entry.seq, "record": text, **_names("retractions", record.payload())}
            for record, text, entry in zip(records, texts, entries, strict=True)
        ]
        if rows:
            self._connection.execute(insert(retractions), rows)
        return len(rows)

    def add_review(self, item_id: str, action: ReviewAction, reviewer: str, reason: str) -> Review:
        """Journal a person's decision to release or quarantine an item."""
        if not reviewer.strip() or not reason.strip():
            raise UsageError("a review needs the reviewer's name and a reason", cure="give both")
        now = utc_now()
        review = Review(item_id=item_id, action=action, reviewer=reviewer, reason=reason, created_at=now)
        self._journal.append([("review", review.to_json())])
        return review

    def add_event(self, kind: str, payload: dict[str, Any]) -> None:
        """Journal something that happened and has no table, such as an import."""
        self._journal.append([(kind, canonical_json(payload).decode())])

    def stored(self, name: str, dataset: str, ids: Iterable[str]) -> dict[str, str]:
        """Canonical JSON by id of those rows among `ids` that the named table holds (judgments: without hashes)."""
        return self._stored(metadata.tables[name], dataset, ids)

    def _append(self, dataset: str, bodies: Sequence[dict[str, Any]], texts: Sequence[str]) -> list[Entry]:
        entries = self._journal.append([("judgment", judgment_payload(dataset, text)) for text in texts])
        rows = [
            {
                "dataset": dataset,
                "seq": entry.seq,
                "record": text,
                "prev_hash": entry.prev_hash,
                "hash": entry.hash,
                **_names("judgments", body),
            }
            for body, text, entry in zip(bodies, texts, entries, strict=True)
        ]
        if rows:
            self._connection.execute(insert(judgments), rows)
        return entries

    def _add(self, name: str, dataset: str, records: Iterable[Record]) -> int:
        _check_dataset(dataset)
        return self._add_rows(name, dataset, _rows(name, dataset, records))

    def _add_rows(self, name: str, dataset: str, rows: dict[str, dict[str, Any]], *, keep_known: bool = False) -> int:
        table = RECORD_TABLES[name][0]
        stored = self._stored(table, dataset, rows)
        if not keep_known:
            refuse_changed(name, stored, {row_id: row["record"] for row_id, row in rows.items()})
        new = [row for row_id, row in rows.items() if row_id not in stored]
        if new:
            digest = batch_digest({row["id"]: row["record"] for row in new})
            payload = {"dataset": dataset, "table": name, "count": len(new), "digest": digest}
            entry = self._journal.append([("records", canonical_json(payload).decode())])[0]
            self._connection.execute(insert(table), [{**row, "seq": entry.seq} for row in new])
        return len(new)

    def _stored(self, table: Table, dataset: str, ids: Iterable[str]) -> dict[str, str]:
        return stored_records(self._connection, table, dataset, ids)

    def _require(self, table: Table, dataset: str, ids: Iterable[str], complaint: str) -> dict[str, str]:
        wanted = dict.fromkeys(ids)
        found = self._stored(table, dataset, wanted)
        missing = next((row_id for row_id in wanted if row_id not in found), None)
        if missing is not None:
            raise UsageError(f"{complaint} {missing!r} in data set {dataset!r}", cure="add it first")
        return found

    def _check_judgments(self, dataset: str, records: Sequence[Judgment]) -> None:
        known = self._require(tasks, dataset, (row.task_id for row in records), "judgment of unknown task")
        self._require(raters, dataset, (row.rater_id for row in records), "judgment by unknown rater")
        taken = set(self._stored(judgments, dataset, (row.id for row in records)))
        sizes = {task_id: len(json.loads(record)["response_ids"]) for task_id, record in known.items()}
        for row in records:
            if row.id in taken:
                raise UsageError(f"judgment {row.id!r} is already in data set {dataset!r}; judgments are append-only")
            _check_fit(row, sizes[row.task_id])
            taken.add(row.id)

    def _check_retractions(self, dataset: str, records: Sequence[Retraction]) -> None:
        taken = set(self._stored(retractions, dataset, (row.id for row in records)))
        rater_of = dict(self._judged(dataset, records, judgments.c.id, judgments.c.rater_id))
        gone = {row[0] for row in self._judged(dataset, records, retractions.c.judgment_id)}
        for row in records:
            if row.judgment_id not in rater_of:
                raise UsageError(f"retraction of unknown judgment {row.judgment_id!r} in data set {dataset!r}")
            if rater_of[row.judgment_id] != row.rater_id:
                raise UsageError(f"judgment {row.judgment_id!r} was not given by rater {row.rater_id!r}")
            if row.judgment_id in gone:
                raise UsageError(f"judgment {row.judgment_id!r} is retracted already")
            if row.id in taken:
                raise UsageError(f"retraction {row.id!r} is already in data set {dataset!r}; it is never changed")
            gone.add(row.judgment_id)
            taken.add(row.id)

    def _judged(
        self, dataset: str, records: Sequence[Retraction], key: Column[str], *more: Column[str]
    ) -> Iterator[Any]:
        """Columns of the rows whose `key` is a judgment that is retracted here."""
        for chunk in chunks(row.judgment_id for row in records):
            yield from self._connection.execute(
                select(key, *more).where(key.table.c.dataset == dataset, key.in_(chunk))
            )


def batch_digest(record_by_id: dict[str, str]) -> str:
    """Hash over the ids and record hashes of a batch, in order of id."""
    return content_hash([[row_id, sha256_hex(record_by_id[row_id].encode())] for row_id in sorted(record_by_id)])


def _body(judgment: Judgment) -> dict[str, Any]:
    """The judgment without the fields that the journal fills."""
    if judgment.hash or judgment.prev_hash:
        raise UsageError(
            f"judgment {judgment.id!r} carries a journal hash already", cure="leave hash and prev_hash empty"
        )
    payload = judgment.payload()
    del payload["prev_hash"], payload["hash"]
    return payload


def _check_fit(judgment: Judgment, size: int) -> None:
    ranked = sum(len(group) for group in judgment.choice.ranking)
    if not judgment.choice.both_bad and ranked != size:
        raise UsageError(f"judgment {judgment.id!r} ranks {ranked} responses, its task has {size}")
    if judgment.order_shown and sorted(judgment.order_shown) != list(range(size)):
        raise UsageError(
            f"judgment {judgment.id!r} has order_shown {judgment.order_shown}, its task has {size} responses"
        )


def _check_dataset(dataset: str) -> None:
    if not dataset.strip() or len(dataset) > _MAX_NAME or not dataset.isprintable():
        raise UsageError(f"{dataset!r} is no name for a data set", cure="give 1 to 200 printable characters")


def _rows(name: str, dataset: str, records: Iterable[Record]) -> dict[str, dict[str, Any]]:
    """Rows by id; a record that comes twice counts once."""
    rows: dict[str, dict[str, Any]] = {}
    for record in records:
        payload = record.payload()
        row = {"dataset": dataset, "record": canonical_json(payload).decode(), **_names(name, payload)}
        first = rows.setdefault(row["id"], row)
        refuse_changed(name, {row["id"]: first["record"]}, {row["id"]: row["record"]})
    return rows


def _names(table: str, payload: dict[str, Any]) -> dict[str, Any]:
    """The columns that repeat what a record says; raises UsageError for a name that not every database holds."""
    found = searchable(table, payload)
    for column, value in found.items():
        if len(value) > _MAX_NAME or "\0" in value:
            raise UsageError(
                f"{table}: {column} {value[:40]!r} ({len(value)} characters) is no name for a record",
                cure="give 1 to 200 characters without NUL",
            )
    return found
