"""Opening the database: SQLite settings, migrations, and errors that a user can act on. The only SQLite-aware file."""

import contextlib
import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NoReturn

from sqlalchemy import URL, Connection, Engine, Select, create_engine, event, inspect, text
from sqlalchemy.engine import ExceptionContext

from backstay.errors import BackstayError, IntegrityError, ResourceError, UsageError
from backstay.storage.location import DATABASE_VARIABLE, database_url, shown
from backstay.storage.new_database import create_tables
from backstay.storage.postgresql import lock_journal, lock_schema, pipeline, postgresql_engine
from backstay.storage.tables import SCHEMA_HEAD

_WRITE = "backstay_write"
_PRAGMAS = ("foreign_keys=ON", "journal_mode=WAL", "synchronous=FULL")
_RESTORE = "restore the folder .backstay from a copy; `sqlite3 FILE .recover` saves what is readable"
_PUT_BACK = "put it back, or start the program again to work with what is there now"
_PRIMARY_CODE = 0xFF
_ROWS_LOOKED_AT = 1000
"""Of each index, so that it takes as many milliseconds at any size."""


def open_database(
    url_or_path: str | Path | URL, *, create: bool = False, busy_timeout_s: float = 5.0, migrate: bool = True
) -> Engine:
    """Open the database at a path or SQLAlchemy URL, and bring its schema to the newest revision unless told not to.

    Raises UsageError when it does not exist and `create` is false, IntegrityError when it is not a database or is
    damaged, ResourceError when another process has locked it for longer than `busy_timeout_s`, or a server cannot be
    reached or refuses.
    """
    url = database_url(url_or_path)
    if url.get_backend_name() == "sqlite":
        _check_file(Path(url.database or ""), create)
    engine = _engine(url, busy_timeout_s)
    try:
        if migrate:
            _migrate(engine)
    except BaseException:
        engine.dispose()
        raise
    return engine


@contextlib.contextmanager
def write_transaction(engine: Engine) -> Iterator[Connection]:
    """A transaction that no other writer can enter, so that the head of the journal stays put while it is extended."""
    with engine.connect().execution_options(**{_WRITE: True}) as connection, connection.begin():
        if engine.dialect.name == "postgresql":
            lock_journal(connection)
        yield connection


def writing_at_once(connection: Connection) -> contextlib.AbstractContextManager[None]:
    """Writes that need no answer, on a database across a socket in one round trip; within it nothing can be read.

    What one of them meets may be raised as late as the end of the block.
    """
    return pipeline(connection) if connection.dialect.name == "postgresql" else contextlib.nullcontext()


def reading(engine: Engine) -> Connection:
    """A connection whose queries see what is committed, each for itself where the database is across a socket.

    A transaction would cost two round trips there, and show each query what is committed since as well.
    """
    found = engine.connect()
    return found.execution_options(isolation_level="AUTOCOMMIT") if engine.dialect.name == "postgresql" else found


@contextlib.contextmanager
def read_snapshot(engine: Engine) -> Iterator[Connection]:
    """A connection that sees the database as it stood at its first query, whatever is committed meanwhile."""
    with engine.connect() as connection:
        if engine.dialect.name == "postgresql":
            connection.execution_options(isolation_level="REPEATABLE READ")
        yield connection


@contextlib.contextmanager
def schema_transaction(engine: Engine) -> Iterator[Connection]:
    """A transaction that no other writer and no other migration can enter."""
    with engine.connect().execution_options(**{_WRITE: True}) as connection, connection.begin():
        if engine.dialect.name == "postgresql":
            lock_schema(connection)
        yield connection


def set_cache(connection: Connection, mebibytes: int) -> None:
    """How much of the database a SQLite connection may hold in memory; other databases decide that themselves.

    Ids are hashes, so that a large transaction touches pages all over its tables, and writes each of them once more
    every time that it falls out of the cache.
    """
    if connection.dialect.name == "sqlite":
        connection.exec_driver_sql(f"PRAGMA cache_size=-{mebibytes * 1024}")


def look_at_tables(connection: Connection) -> None:
    """Let SQLite look how its indexes are filled, by which it chooses among them; a server does so by itself.

    Without, it takes them all for equally good.
    """
    if connection.dialect.name == "sqlite":
        connection.exec_driver_sql(f"PRAGMA analysis_limit={_ROWS_LOOKED_AT}")
        connection.exec_driver_sql("ANALYZE")


class FilePlace:
    """Where a SQLite file and its write-ahead log stood when it was opened.

    SQLite goes on writing to a file that was deleted or replaced, into nothing. Other databases are not watched.
    """

    def __init__(self, engine: Engine) -> None:
        name = engine.url.database if engine.dialect.name == "sqlite" else None
        self._path = None if name is None else Path(name).absolute()
        self._file = None if self._path is None else self._identity(self._path)
        self._log: tuple[int, int] | None = None

    def check(self) -> None:
        """Raise ResourceError when what was just committed no longer stands under the database's name."""
        self.check_file()
        if self._path is None:
            return
        log = self._identity(Path(f"{self._path}-wal"))
        if log is None or log != (self._log or log):
            raise ResourceError(f"{self._path}-wal was removed or replaced while it was open", cure=_RESTORE)
        self._log = log

    def check_file(self) -> None:
        """The same for the file alone, which has no log before the first write: before one is opened or written."""
        if self._path is not None and self._identity(self._path) != self._file:
            raise ResourceError(f"{self._path} was removed or replaced while it was open", cure=_PUT_BACK)

    @staticmethod
    def _identity(path: Path) -> tuple[int, int] | None:
        try:
            found = path.stat()
        except OSError:
            return None
        return found.st_dev, found.st_ino


def fetch_rows(
    connection: Connection, query: Select[Any], values: Mapping[str, Any] | None = None
) -> Sequence[Sequence[Any]]:
    """Rows as the driver gives them: a walk over a long journal spends half its time on SQLAlchemy's row objects."""
    cursor = connection.execute(query, values).cursor
    if cursor is None:
        raise TypeError("the query gives no rows")
    try:
        return cursor.fetchall()
    except sqlite3.Error as error:
        _raise_clear(error, str(connection.engine.url.database))
    finally:
        cursor.close()


def check_pages(connection: Connection) -> str | None:
    """What SQLite's own check of pages and indexes finds first; None when sound or when not SQLite."""
    if connection.dialect.name != "sqlite":
        return None
    first = connection.execute(text("PRAGMA integrity_check(1)")).scalar_one()
    return None if first == "ok" else str(first)


def _check_file(path: Path, create: bool) -> None:
    if str(path) in ("", "."):
        raise UsageError("the database needs a file", cure="give a path such as .backstay/backstay.db")
    if path.is_dir():
        raise UsageError(f"{path} is a folder, not a database")
    if not path.exists() and not create:
        raise UsageError(
            f"no database at {path}",
            cure=f"run `backstay init` in the project folder first, or set {DATABASE_VARIABLE}",
        )
    if create:
        path.parent.mkdir(parents=True, exist_ok=True)


def _engine(url: URL, busy_timeout_s: float) -> Engine:
    if url.get_backend_name() != "sqlite":
        return postgresql_engine(url, busy_timeout_s)
    engine = create_engine(url, connect_args={"timeout": busy_timeout_s}, hide_parameters=True)
    place = str(url.database)

    @event.listens_for(engine, "connect")
    def _connect(connection: sqlite3.Connection, _record: Any) -> None:
        connection.isolation_level = None
        try:
            for pragma in _PRAGMAS:
                connection.execute(f"PRAGMA {pragma}").close()
        except sqlite3.Error as error:
            connection.close()
            _raise_clear(error, place)

    @event.listens_for(engine, "begin")
    def _begin(connection: Connection) -> None:
        # The driver's own BEGIN comes late and unlocked; two appenders would then read the same head.
        immediate = connection.get_execution_options().get(_WRITE, False)
        connection.exec_driver_sql("BEGIN IMMEDIATE" if immediate else "BEGIN")

    @event.listens_for(engine, "handle_error")
    def _handle(context: ExceptionContext) -> None:
        if isinstance(context.original_exception, sqlite3.Error) and _clear(context.original_exception, place):
            _raise_clear(context.original_exception, place)

    return engine


def _clear(error: sqlite3.Error, place: str) -> BackstayError | None:
    """The error in our words, or None when it is not about the state of the file."""
    code = getattr(error, "sqlite_errorcode", 0) & _PRIMARY_CODE
    if code in (sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_CORRUPT) or "Could not decode" in str(error):
        return IntegrityError(f"{place} is not a database or is damaged: {error}", cure=_RESTORE)
    if code in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED):
        return ResourceError(f"{place} is locked by another process", cure="wait for it or end it, then try again")
    if code == sqlite3.SQLITE_FULL:
        return ResourceError(f"no space left on the disk for {place}; nothing was stored", cure="free some space")
    if code in (sqlite3.SQLITE_READONLY, sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_IOERR, sqlite3.SQLITE_PERM):
        return ResourceError(f"cannot read or write {place}: {error}", cure="check owner, mode and disk")
    return None


def _raise_clear(error: sqlite3.Error, place: str) -> NoReturn:
    raise _clear(error, place) or error from error


def _migrate(engine: Engine) -> None:
    with engine.connect() as connection:
        found = revision_of(connection)
    if found == SCHEMA_HEAD:
        return
    with schema_transaction(engine) as connection:
        # Asked again: another process may have been faster.
        if connection.dialect.name == "sqlite" and revision_of(connection) is None:
            create_tables(connection)
            return
        from backstay.storage.migrations import upgrade  # noqa: PLC0415  takes 0.15 s; only an old schema pays it

        upgrade(connection)


def revision_of(connection: Connection) -> str | None:
    """Revision of the schema, None for an empty database; raises UsageError for one of something else."""
    if not inspect(connection).has_table("alembic_version"):
        _refuse_foreign(connection)
        return None
    found: str | None = connection.execute(text("SELECT version_num FROM alembic_version")).scalar()
    return found or "none"  # An empty version table is Alembic's to finish, or to refuse.


def _refuse_foreign(connection: Connection) -> None:
    tables = inspect(connection).get_table_names()
    if tables:
        raise UsageError(
            f"{shown(connection.engine.url)} is a database of something else: it has the table {tables[0]!r}",
            cure="give another path or URL",
        )
