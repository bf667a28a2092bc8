"""The guard's ledger: one writer thread that groups what a process writes into durable transactions of the journal.

Every failure is an error that the caller sees; callers fail closed. What was handed over cannot be taken back: a caller
that stops waiting for its future loses the answer, never the row.
"""

import contextlib
import hashlib
import os
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future
from pathlib import Path
from types import TracebackType
from typing import Any, NoReturn, Self, TypeVar

from sqlalchemy import Connection

from backstay.errors import BackstayError, ResourceError, UsageError
from backstay.guard.durable import DurableJournal
from backstay.guard.ledger_group import Job, Writer, journal_item
from backstay.storage.engine import open_database
from backstay.storage.keys import digest_key
from backstay.storage.location import seals_of
from backstay.storage.seal import Sealer

__all__ = ["Ledger", "Writer"]

T = TypeVar("T")
MAX_PENDING_CHARS = 256 * 1024 * 1024


class Ledger:
    """A journal open for writing by this process; open it after the fork, close it to flush and seal."""

    def __init__(
        self, journal: DurableJournal, key: bytes, *, max_batch: int, max_wait_ms: float, max_pending: int
    ) -> None:
        self._journal, self._key = journal, key
        self._max_batch, self._max_wait_s, self._max_pending = max_batch, max_wait_ms / 1000, max_pending
        self._pid = os.getpid()
        self._wake = threading.Condition()
        self._jobs: deque[Job] = deque()
        self._group: list[Job] = []
        self._pending = self._pending_chars = 0
        self._wanted = self._expected = 1
        self._closing = False
        self._refusal: BackstayError | None = None
        self._close_error: BackstayError | None = None
        self._thread = threading.Thread(target=self._run, name="backstay-ledger", daemon=True)

    @classmethod
    def open(
        cls,
        url_or_path: str | Path,
        *,
        keys_dir: Path,
        create: bool = True,
        max_batch: int = 1024,
        max_wait_ms: float = 2.0,
        max_pending: int = 20_000,
        seal_path: Path | None = None,
        seal_rows: int = 10_000,
        seal_s: float = 60.0,
        busy_timeout_s: float = 5.0,
    ) -> Self:
        """Open the journal at a path or database URL and start its writer.

        Seals go to `seal_path`, by default beside `keys_dir`; one is made after `seal_rows` rows or `seal_s` seconds,
        whichever is first, and at close. Raises as `open_database` does, and IntegrityError when the journal no longer
        holds what its last seal says.
        """
        _check_limits(max_batch=max_batch, max_wait_ms=max_wait_ms, max_pending=max_pending)
        _check_limits(seal_rows=seal_rows, seal_s=seal_s)
        engine = open_database(url_or_path, create=create, busy_timeout_s=busy_timeout_s)
        try:
            sealer = Sealer(keys_dir, seal_path or seals_of(url_or_path, keys_dir.parent))
            journal = DurableJournal(engine, sealer, seal_rows=seal_rows, seal_s=seal_s)
            key = digest_key(keys_dir)
            ledger = cls(journal, key, max_batch=max_batch, max_wait_ms=max_wait_ms, max_pending=max_pending)
        except BaseException:
            engine.dispose()
            raise
        ledger._thread.start()
        return ledger

    def append(self, kind: str, payload: Mapping[str, Any]) -> Future[int]:
        """Append a journal row; the future resolves with its seq once it is durable, or raises.

        Raises UsageError for a payload that JSON cannot hold, ResourceError when the ledger is closed, its writer is
        gone, or too much waits to be written.
        """
        item = journal_item(kind, payload)
        future: Future[int] = Future()
        self._hand_over(Job(future, item, None, time.monotonic()), len(item[1]))
        return future

    def submit(self, work: Callable[[Writer], T]) -> Future[T]:
        """Run `work` in the group's transaction, in a savepoint: when it raises, only what it did is undone.

        The future resolves with what `work` returned once that is durable, or raises what `work` raised. `work` is run
        again when the database gave way to another transaction, so it should do nothing but write with its Writer.
        """
        future: Future[T] = Future()
        self._hand_over(Job(future, None, work, time.monotonic()), 0)
        return future

    @contextlib.contextmanager
    def read(self) -> Iterator[Connection]:
        """A connection for reading; it sees what is committed."""
        self._check_usable()
        with self._journal.engine.connect() as connection:
            yield connection

    def digest(self, data: bytes) -> str:
        """Keyed digest of contents (BLAKE2b, 32 bytes as hex); equal contents of one project give equal digests."""
        return hashlib.blake2b(data, key=self._key, digest_size=32).hexdigest()

    @property
    def pending(self) -> int:
        """How many rows and units wait to be durable."""
        return self._pending

    def close(self) -> None:
        """Write what waits, seal, and stop. May be called again.

        Raises once when the last seal could not be written or the writer had ended before.
        """
        if threading.current_thread() is self._thread:
            raise UsageError("the ledger's writer cannot close it", cure="close it from another thread")
        self._check_process()
        with self._wake:
            self._closing = True
            self._wake.notify_all()
        self._thread.join()
        self._journal.engine.dispose()
        error, self._close_error = self._close_error, None
        if error is not None:
            raise error

    def __enter__(self) -> Self:
        """Use the ledger for one block."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close it."""
        self.close()

    def _check_process(self) -> None:
        if os.getpid() != self._pid:
            raise ResourceError("the ledger was opened before a fork", cure="open it in the process that writes")

    def _check_usable(self) -> None:
        self._check_process()
        if self._refusal is not None:
            _raise_anew(self._refusal)
        if self._closing:
            raise ResourceError("the ledger is closed")

    def _hand_over(self, job: Job, size_chars: int) -> None:
        # Running from now on: a waiter that is cancelled must not take an audit row with it.
        job.future.set_running_or_notify_cancel()
        with self._wake:
            self._check_usable()
            if self._pending >= self._max_pending or self._pending_chars + size_chars > MAX_PENDING_CHARS:
                raise ResourceError(
                    f"{self._pending} rows ({self._pending_chars} characters) wait to be written, which is the most",
                    cure="send less, or find what slows the database down",
                )
            self._pending += 1
            self._pending_chars += size_chars
            self._jobs.append(job)
            if len(self._jobs) >= self._wanted:
                self._wake.notify()

    def _run(self) -> None:
        try:
            while (group := self._next_group()) is not None:
                if self._write(group):
                    self._seal_when_due()
            self._journal.seal()
        except BaseException as error:  # noqa: BLE001  whatever ends the writer must make every later call raise
            self._fail_for_good(error)

    def _next_group(self) -> list[Job] | None:
        """What is written next: at once after idleness, else when as much waits as last time or waits long enough."""
        with self._wake:
            began_s = time.monotonic()
            self._wanted = 1
            while not self._jobs:
                if self._closing:
                    return None
                if not self._wake.wait(self._journal.seal_in_s()):
                    return []
            if time.monotonic() - began_s > self._max_wait_s:
                self._expected = 1
            self._gather()
            self._group = [self._jobs.popleft() for _ in range(min(len(self._jobs), self._max_batch))]
            self._expected = len(self._group)
            return self._group

    def _gather(self) -> None:
        self._wanted = min(self._expected, self._max_batch)
        latest_s = self._jobs[0].at_s + self._max_wait_s
        while len(self._jobs) < self._wanted and not self._closing:
            left_s = latest_s - time.monotonic()
            if left_s <= 0 or not self._wake.wait(left_s):
                return

    def _write(self, group: Sequence[Job]) -> bool:
        """Write and answer a group; whether it stands."""
        if not group:
            return True
        error = self._journal.write(group)
        with self._wake:
            if error is not None and self._closing:
                group = [*group, *self._jobs]  # Each further group could wait as long for the same lock.
                self._jobs.clear()
            self._pending -= len(group)
            self._pending_chars -= sum(len(job.item[1]) for job in group if job.item)
        for job in group:
            job.resolve(error)
        self._group = []
        return error is None

    def _seal_when_due(self) -> None:
        if self._journal.seal_overdue():
            # When this fails the next group tries again, and is refused if that fails too.
            with contextlib.suppress(ResourceError):
                self._journal.seal()

    def _fail_for_good(self, error: BaseException) -> None:
        refusal = _as_refusal(error)
        with self._wake:
            self._refusal = self._close_error = refusal
            jobs = [*self._group, *self._jobs]
            self._jobs.clear()
            self._pending = self._pending_chars = 0
        for job in jobs:
            if not job.future.done():
                job.resolve(refusal)


def _as_refusal(error: BaseException) -> BackstayError:
    if isinstance(error, BackstayError):
        return error
    return ResourceError(f"the ledger's writer ended: {error!r}", cure="open it again")


def _raise_anew(error: BackstayError) -> NoReturn:
    """A new object for each caller: one exception raised in many threads would mix their tracebacks."""
    raise type(error)(error.message, cure=error.cure) from error


def _check_limits(**limits: float) -> None:
    for name, value in limits.items():
        if value < 0 or (value == 0 and name != "max_wait_ms"):
            raise UsageError(f"{name}: {value!r} is too small", cure="give a number above 0")
