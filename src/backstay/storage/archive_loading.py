"""Loading a backup's rows into an empty database, at the schema that it was made with, then brought to the newest."""

from collections.abc import Iterator, Sequence
from itertools import islice
from typing import Any

from sqlalchemy import Connection, MetaData, Table, func, select
from sqlalchemy.exc import DBAPIError

from backstay.errors import IntegrityError
from backstay.storage import migrations
from backstay.storage.archive import Archive
from backstay.storage.archived_rows import columns_of, rows_of
from backstay.storage.engine import look_at_tables
from backstay.storage.postgresql import analyse, copy_rows, set_sequences
from backstay.storage.tables import SCHEMA_HEAD

_ROWS_A_WRITE = 500
_VERSION = "alembic_version"


def load(connection: Connection, archive: Archive) -> None:
    """Make the tables and fill them, inside the connection's transaction.

    Raises UsageError for a schema that this version does not know, IntegrityError for rows that do not fit it.
    """
    manifest = archive.manifest
    migrations.upgrade(connection, manifest.revision)
    found = MetaData()
    found.reflect(connection)
    tables = [table for table in found.sorted_tables if table.name != _VERSION]
    if {table.name for table in tables} != manifest.tables.keys():
        raise IntegrityError(f"the backup does not hold the tables of schema {manifest.revision}")
    for table in tables:
        _fill(connection, table, archive)
    if connection.dialect.name == "postgresql":
        set_sequences(connection, tables)
        analyse(connection, tables)  # By itself the server comes to it only minutes later.
    if manifest.revision != SCHEMA_HEAD:
        migrations.upgrade(connection)
    look_at_tables(connection)


def _fill(connection: Connection, table: Table, archive: Archive) -> None:
    expected = archive.manifest.tables[table.name]
    kinds = dict(columns_of(table))
    if len(expected.columns) != len(kinds) or dict(expected.columns) != kinds:
        raise IntegrityError(f"the backup has other columns of {table.name} than its schema")
    names = [name for name, _ in expected.columns]
    if connection.dialect.name == "postgresql":
        copy_rows(connection, table, names, _rows(archive, table.name))
    else:
        _insert(connection, table, names, _rows(archive, table.name))
    count = connection.execute(select(func.count()).select_from(table)).scalar_one()
    if count != expected.count:
        raise IntegrityError(f"the backup holds {count} rows of {table.name}, its manifest says {expected.count}")


def _rows(archive: Archive, name: str) -> Iterator[tuple[Any, ...]]:
    for member in archive.named(f"rows/{name}/"):
        yield from rows_of(archive.unpack(member), archive.manifest.tables[name].columns, member)


def _insert(connection: Connection, table: Table, names: Sequence[str], rows: Iterator[tuple[Any, ...]]) -> None:
    quote = connection.dialect.identifier_preparer.quote
    columns, marks = ", ".join(quote(name) for name in names), ", ".join("?" for _ in names)
    statement = f"INSERT INTO {quote(table.name)} ({columns}) VALUES ({marks})"  # noqa: S608  names of our own schema
    while page := list(islice(rows, _ROWS_A_WRITE)):
        try:
            connection.exec_driver_sql(statement, page)
        except DBAPIError as error:
            raise IntegrityError(f"a row of {table.name} does not fit: {error.orig}") from error
