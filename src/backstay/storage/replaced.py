"""Putting a new database in the place of an old one at once, with the old one kept beside it."""

import contextlib
import secrets
import sqlite3
from collections.abc import Iterator
from pathlib import Path

from sqlalchemy import URL, Connection, Engine, func, inspect, select

from backstay.errors import ResourceError
from backstay.storage.atomic import disk_errors, fsync_path
from backstay.storage.engine import open_database
from backstay.storage.location import shown
from backstay.storage.postgresql import lock_schema, move_tables, postgresql_engine
from backstay.storage.tables import metadata

_VERSION = "alembic_version"
_LOCK_S = 5.0


def rows_there(target: URL) -> str:
    """Name of the first table that holds rows, "" where the database is empty or not there at all."""
    if target.get_backend_name() == "sqlite" and not Path(str(target.database)).exists():
        return ""
    engine = open_database(target, migrate=False)
    try:
        with engine.connect() as connection:
            return _first_filled(connection)
    finally:
        engine.dispose()


def sqlite_place(new: Path, target: Path, stamp: str) -> str:
    """Rename a SQLite file that nobody has open to `target`; returns where the old one is kept.

    Raises ResourceError when another process has the old one open: it would go on writing beside the new one.
    """
    with disk_errors(target), _alone(target):
        fsync_path(new)
        kept = target.with_name(f"{target.name}.before-{stamp}") if target.exists() else None
        if kept is not None:
            kept.hardlink_to(target)
        new.replace(target)
        fsync_path(target.parent)
    return str(kept or "")


def without_log(path: Path) -> None:
    """Make a SQLite file that nobody has open whole in itself, so that it can be renamed."""
    with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.execute("PRAGMA journal_mode = DELETE").close()


class PostgresqlPlace:
    """A schema of its own in the target's database; `engine` sees nothing but it."""

    def __init__(self, target: URL, schema: str, stamp: str) -> None:
        self._target, self._schema, self._stamp = target, schema, stamp
        self.engine = postgresql_engine(target, _LOCK_S, schema)

    def swap(self) -> str:
        """Move the tables into the place of the old ones, in one transaction; returns the schema of the old ones."""
        self.engine.dispose()
        engine = postgresql_engine(self._target, _LOCK_S)
        try:
            with engine.begin() as connection:
                lock_schema(connection)
                return self._swap(connection)
        finally:
            engine.dispose()

    def _swap(self, connection: Connection) -> str:
        names = [*(table.name for table in metadata.sorted_tables), _VERSION]
        here = connection.exec_driver_sql("SELECT current_schema()").scalar_one()
        old = [name for name in names if inspect(connection).has_table(name)]
        kept = f"backstay_before_{self._stamp.lower()}" if old else ""
        if kept:
            connection.exec_driver_sql(f"CREATE SCHEMA {kept}")
            move_tables(connection, old, here, kept)
        move_tables(connection, names, self._schema, here)
        connection.exec_driver_sql(f"DROP SCHEMA {self._schema} RESTRICT")
        return f"schema {kept}" if kept else ""


@contextlib.contextmanager
def postgresql_place(target: URL, stamp: str) -> Iterator[PostgresqlPlace]:
    """A place beside the target's tables; what was not swapped in is dropped at the end."""
    schema = f"backstay_restoring_{secrets.token_hex(6)}"
    engine = postgresql_engine(target, _LOCK_S)
    try:
        _run(engine, f"CREATE SCHEMA {schema}")
        place = PostgresqlPlace(target, schema, stamp)
        try:
            yield place
        finally:
            place.engine.dispose()
            _run(engine, f"DROP SCHEMA IF EXISTS {schema} CASCADE")
    finally:
        engine.dispose()


def _run(engine: Engine, statement: str) -> None:
    with engine.begin() as connection:
        connection.exec_driver_sql(statement)


def _first_filled(connection: Connection) -> str:
    there = set(inspect(connection).get_table_names())
    for table in metadata.sorted_tables:
        if table.name in there and connection.execute(select(func.count()).select_from(table)).scalar_one():
            return table.name
    return ""


@contextlib.contextmanager
def _alone(target: Path) -> Iterator[None]:
    """Hold the file that stands at `target`, as its only user and without a write-ahead log.

    A log that stayed behind would be played back into the file that takes its place.
    """
    if not target.exists():
        yield
        return
    connection = sqlite3.connect(target, isolation_level=None, timeout=0.5)
    try:
        connection.execute("PRAGMA journal_mode = DELETE").close()
        connection.execute("BEGIN EXCLUSIVE").close()
    except sqlite3.OperationalError as error:
        connection.close()
        raise ResourceError(
            f"{shown(URL.create('sqlite', database=str(target)))} is in use: {error}", cure="end what has it open first"
        ) from error
    try:
        yield
    finally:
        connection.close()
