"""One group of the ledger: the rows and units of work that share a transaction."""

import re
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future
from typing import Any

from sqlalchemy import Connection, Transaction

from backstay.errors import BackstayError, ResourceError, UsageError
from backstay.guard.canonical import canonical_text
from backstay.storage import Batch
from backstay.storage.conflict import TransactionConflict
from backstay.storage.journal import Appender, Head

Item = tuple[str, str]
_KIND = re.compile(r"[a-z][a-z0-9_.-]{0,39}")
_RESERVED = frozenset({"judgment", "records", "retraction", "review"})


class Writer:
    """What a unit of work writes with."""

    def __init__(self, connection: Connection, journal: Appender) -> None:
        self.connection, self._journal = connection, journal
        self._items: list[Item] | None = []

    def batch(self) -> Batch:
        """Writes records; its journal rows are appended at once, before those of `append`."""
        return Batch(self.connection, self._journal)

    def append(self, kind: str, payload: Mapping[str, Any]) -> None:
        """Append a journal row of the same transaction; it stands only if the unit succeeds."""
        if self._items is None:
            raise ResourceError("this unit of work has ended", cure="append before `work` returns")
        self._items.append(journal_item(kind, payload))

    def end(self) -> list[Item]:
        """What was appended; nothing more is taken."""
        items, self._items = self._items or [], None
        return items


class Job:
    """A row, or a unit of work, that waits to be durable."""

    __slots__ = ("at_s", "future", "item", "result", "unit_error", "work")

    def __init__(
        self, future: Future[Any], item: Item | None, work: Callable[[Writer], Any] | None, at_s: float
    ) -> None:
        self.future, self.item, self.work, self.at_s = future, item, work, at_s
        self.result: Any = None
        self.unit_error: Exception | None = None

    def resolve(self, error: BackstayError | None) -> None:
        """Answer whoever waits."""
        if self.unit_error is not None:
            self.future.set_exception(self.unit_error)
        elif error is not None:
            self.future.set_exception(type(error)(error.message, cure=error.cure))
        else:
            self.future.set_result(self.result)


def journal_item(kind: str, payload: Mapping[str, Any]) -> Item:
    """Kind and canonical JSON of a row; raises UsageError when it cannot be journalled."""
    if _KIND.fullmatch(kind) is None or kind in _RESERVED:
        raise UsageError(f"{kind!r} is no kind that the ledger writes", cure="use one such as guard.decision")
    try:
        return kind, canonical_text(payload)
    except (ValueError, TypeError, RecursionError) as error:
        raise UsageError(f"the payload of {kind} is not JSON: {error}") from error


def write_group(connection: Connection, group: Sequence[Job], end: Head) -> Head:
    """Run the units and append all rows behind the journal's end, in order; the end that it has then.

    The transaction is the caller's.
    """
    journal = Appender(connection, end)
    items: list[Item] = []
    rows: list[tuple[Job, int]] = []
    for job in group:
        if job.item is not None:
            rows.append((job, len(items)))
            items.append(job.item)
        elif job.work is not None:
            items.extend(_run_unit(connection, job, job.work, journal, alone=len(group) == 1))
    entries = journal.append(items)
    for job, index in rows:
        job.result = entries[index].seq
    return journal.end


def _undo(transaction: Transaction, error: Exception) -> None:
    """Undo what a unit did; where the database ended the whole transaction over its error, the group fails by it."""
    try:
        transaction.rollback()
    except BackstayError:
        raise
    except Exception as ended:
        raise (error if isinstance(error, ResourceError) else ended) from ended


def _run_unit(
    connection: Connection, job: Job, work: Callable[[Writer], Any], journal: Appender, *, alone: bool
) -> list[Item]:
    """What the unit appended behind its records. One that is `alone` in its transaction needs no savepoint in it."""
    job.unit_error = None
    before, writer = journal.end, Writer(connection, journal)
    transaction = connection.get_transaction() if alone else connection.begin_nested()
    assert transaction is not None  # noqa: S101  the caller began it
    try:
        job.result = work(writer)
    except TransactionConflict:
        raise
    except Exception as error:  # noqa: BLE001  what a unit raises is its caller's; the rest of the group goes on
        writer.end()
        _undo(transaction, error)
        journal.end = before
        job.unit_error = error
        return []
    if not alone:
        transaction.commit()
    return writer.end()
