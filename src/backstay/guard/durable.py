"""The journal under the ledger: a group a transaction, seals when they are due, and nothing on a bent journal."""

import contextlib
import time
from collections.abc import Iterator, Sequence

from sqlalchemy import Connection, Engine

from backstay.errors import BackstayError, IntegrityError, ResourceError
from backstay.guard.ledger_group import Job, write_group
from backstay.storage.conflict import retried
from backstay.storage.engine import FilePlace, write_transaction
from backstay.storage.journal import Head, hash_at, head
from backstay.storage.seal import Sealer


@contextlib.contextmanager
def _clear_errors(verb: str) -> Iterator[None]:
    """Whatever a driver or the file system raises, as an error that callers expect."""
    try:
        yield
    except BackstayError:
        raise
    except Exception as error:
        # SQLAlchemy's own message quotes the statement with its parameters, which are the audit's contents.
        cause = getattr(error, "orig", None) or error
        raise ResourceError(f"the ledger could not {verb} the journal: {cause}", cure="look at the database") from error


class DurableJournal:
    """One process's way to append; used by one thread.

    A seal is due after `seal_rows` rows or `seal_s` seconds. One that failed is tried again before anything more is
    written.
    """

    def __init__(self, engine: Engine, sealer: Sealer, *, seal_rows: int, seal_s: float) -> None:
        self.engine = engine
        self._sealer, self._seal_rows, self._seal_s = sealer, seal_rows, seal_s
        self._place = FilePlace(engine)
        self._own_tail: Head | None = None
        self._unsealed, self._due_s = 0, 0.0
        self._append_seal(even_empty=True)

    def write(self, group: Sequence[Job]) -> BackstayError | None:
        """Write a group; what is returned instead of raised holds for all of it, and nothing of it was stored."""
        try:
            self._place.check_file()
            if self.seal_overdue():
                self.seal()
            before, after = retried(lambda: self._transaction(group))
            self._place.check()
        except BackstayError as error:
            return error
        if after.count > before.count:
            self._own_tail = after
            self._due_s = self._due_s if self._unsealed else time.monotonic() + self._seal_s
            self._unsealed += after.count - before.count
        return None

    def _transaction(self, group: Sequence[Job]) -> tuple[Head, Head]:
        """Write a group once; the journal's end before and after."""
        with _clear_errors("write"), write_transaction(self.engine) as connection:
            before = self._intact_end(connection)
            return before, write_group(connection, group, before)

    def seal_in_s(self) -> float | None:
        """Seconds until a seal is due, None when there is nothing to seal."""
        return max(0.0, self._due_s - time.monotonic()) if self._unsealed else None

    def seal_overdue(self) -> bool:
        """Whether a seal is due."""
        return self._unsealed > 0 and (self._unsealed >= self._seal_rows or time.monotonic() >= self._due_s)

    def seal(self) -> None:
        """Seal what was written since the last seal; when that fails it raises, and is due again at the next group."""
        if not self._unsealed:
            return
        try:
            self._place.check()
            with _clear_errors("read"), self.engine.connect() as connection:
                self._intact_end(connection)
            self._append_seal()
        except BackstayError:
            self._due_s = time.monotonic() + self._seal_s
            self._unsealed = max(self._unsealed, self._seal_rows)
            raise
        self._unsealed = 0

    def _append_seal(self, *, even_empty: bool = False) -> None:
        with _clear_errors("seal"):
            self._sealer.seal(self.engine, even_empty=even_empty)

    def _intact_end(self, connection: Connection) -> Head:
        """The journal's end; what this process wrote, sealed or not, must still be before it."""
        end, tail = head(connection), self._own_tail
        if tail is None or tail == end or hash_at(connection, tail.count) == tail.hash:
            return end
        raise IntegrityError(
            f"entry {tail.count} of the journal was cut off or rewritten since this process wrote it",
            cure="run `backstay verify` to see what was changed; nothing is appended until then",
        )
