"""What every page and route works with: the database, its one writer, and the clock."""

import asyncio
import contextlib
import logging
import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple, TypeVar

from sqlalchemy import Connection, Engine
from sqlalchemy.exc import DBAPIError

from backstay.errors import ResourceError
from backstay.guard.ledger import Ledger, Writer
from backstay.storage.engine import FilePlace, open_database, reading
from backstay.storage.location import seals_of
from backstay.storage.unit import Unit
from backstay.web.settings import ConsoleSettings

__all__ = ["Console", "Unit", "open_console"]

T = TypeVar("T")
_log = logging.getLogger("backstay.web")
MAX_WAIT_MS = 4.0
"""How long an answer may wait for others, so that they share a write to the disk."""


def now_ms() -> int:
    """Milliseconds since 1970."""
    return time.time_ns() // 1_000_000


class Rejects(NamedTuple):
    """Refused rows of an import into a project, and until when they are kept."""

    project: str
    path: Path
    until_ms: int


class Console:
    """The console of one project folder. Reads run in threads, writes one after another in the ledger's writer.

    `folder` is the project's `.backstay`, where its runs are, and `seals` the file of the journal's seals.
    """

    def __init__(
        self,
        engine: Engine,
        ledger: Ledger,
        settings: ConsoleSettings,
        clock: Callable[[], int] = now_ms,
        *,
        folder: Path | None = None,
        seals: Path | None = None,
    ) -> None:
        self.engine, self.ledger, self.settings, self.clock = engine, ledger, settings, clock
        self._folder = tempfile.TemporaryDirectory(prefix="backstay-console-")
        self.scratch = Path(self._folder.name)
        """For files that are uploaded or about to be sent; only this user can look into it."""
        self.rejects: dict[str, Rejects] = {}
        """Refused rows of imports, by the name under which they can be fetched."""
        self.secret = bytes.fromhex(ledger.digest(b"console.assignment"))
        """Nobody without it can foretell who is asked what, and where gold is."""

        self.folder, self.seals = folder, seals
        self._place = FilePlace(engine)
        self._readers = ThreadPoolExecutor(settings.threads, thread_name_prefix="console-read")

    async def read(self, query: Callable[[Connection], T]) -> T:
        """Run a query on a connection of its own; it sees what is committed."""
        return await asyncio.get_running_loop().run_in_executor(self._readers, self._run, query)

    async def write(self, work: Callable[[Unit], T]) -> T:
        """Run a unit of work in the next transaction; what it returns, once that is durable, or what it raises."""
        with _clear_errors():
            return await asyncio.wrap_future(self.ledger.submit(lambda writer: work(self._unit(writer))))

    def write_now(self, work: Callable[[Unit], T]) -> T:
        """The same for a thread, which waits."""
        with _clear_errors():
            return self.ledger.submit(lambda writer: work(self._unit(writer))).result()

    def close(self) -> None:
        """Write what waits, seal, and let go of the database."""
        self._readers.shutdown()
        try:
            self.ledger.close()
        finally:
            self.engine.dispose()
            self._folder.cleanup()

    def _unit(self, writer: Writer) -> Unit:
        return Unit(writer.connection, writer.batch(), self.clock())

    def _run(self, query: Callable[[Connection], T]) -> T:
        self._place.check_file()
        with _clear_errors(), reading(self.engine) as connection:
            return query(connection)


@contextlib.contextmanager
def _clear_errors() -> Iterator[None]:
    """What a driver raises and storage has no words for, without the statement, which quotes what people wrote."""
    try:
        yield
    except DBAPIError as error:
        _log.error("the database refused a statement: %s", error.orig)
        raise ResourceError(
            "the database refused a statement", cure="the server's log says which; look at it"
        ) from error


def open_console(
    database: str | Path, folder: Path, settings: ConsoleSettings | None = None, *, create: bool = False
) -> Console:
    """Open the console on a database path or URL; keys and seals are in `folder`, a project's `.backstay`."""
    chosen = settings or ConsoleSettings()
    ledger = Ledger.open(
        database,
        keys_dir=folder / "keys",
        create=create,
        max_wait_ms=MAX_WAIT_MS,
        seal_rows=2000,
        seal_s=10.0,
        busy_timeout_s=10.0,
    )
    return Console(open_database(database), ledger, chosen, folder=folder, seals=seals_of(database, folder))
