"""Whether a project's database is sound: its pages, schema, triggers, references, chain and seals, and free disk."""

import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from sqlalchemy import Connection, ForeignKeyConstraint, Table, and_, exists, inspect, select, text

from backstay.storage.engine import check_pages, read_snapshot, revision_of
from backstay.storage.location import shown
from backstay.storage.new_database import APPEND_ONLY, APPROVALS
from backstay.storage.store import Store
from backstay.storage.tables import SCHEMA_HEAD, metadata

LOW_DISK_BYTES = 512 * 1024 * 1024


@dataclass(frozen=True)
class Finding:
    """One thing that was looked at; `problem` is "" where it is as it should be."""

    what: str
    text: str
    problem: str = ""


def check_database(store: Store) -> Iterator[Finding]:
    """Look at everything; whatever holds is said too. Nothing is changed."""
    with read_snapshot(store.engine) as connection:
        yield _pages(connection)
        schema = _schema(connection)
        yield schema
        if schema.problem:
            return
        yield _triggers(connection)
        yield _references(connection)
    report = store.verify()
    told = f"{report.entries} entries, {report.unsealed_entries} of them not sealed yet"
    yield Finding("journal", told, report.broken or "")
    yield _disk(store)


def _pages(connection: Connection) -> Finding:
    fault = check_pages(connection)
    place = shown(connection.engine.url)
    if connection.dialect.name != "sqlite":
        return Finding("pages", f"{place} checks its own pages where data_checksums is on")
    return Finding("pages", f"{place} is sound", f"{place} is damaged: {fault}" if fault else "")


def _schema(connection: Connection) -> Finding:
    revision = revision_of(connection)
    if revision != SCHEMA_HEAD:
        return Finding("schema", f"revision {revision}", f"revision {revision}, this version needs {SCHEMA_HEAD}")
    there = inspect(connection)
    tables = set(there.get_table_names())
    for table in metadata.sorted_tables:
        if table.name not in tables:
            return Finding("schema", f"revision {revision}", f"the table {table.name} is missing")
        missing = {column.name for column in table.columns} - {row["name"] for row in there.get_columns(table.name)}
        if missing:
            return Finding(
                "schema", f"revision {revision}", f"{table.name} lacks the columns {', '.join(sorted(missing))}"
            )
    return Finding("schema", f"revision {revision}, {len(metadata.sorted_tables)} tables")


def _triggers(connection: Connection) -> Finding:
    query = "SELECT DISTINCT tbl_name FROM sqlite_master WHERE type = 'trigger'"
    if connection.dialect.name == "postgresql":
        query = (
            "SELECT DISTINCT relname FROM pg_trigger JOIN pg_class c ON c.oid = tgrelid"
            " WHERE NOT tgisinternal AND tgenabled <> 'D' AND relnamespace = current_schema()::regnamespace"
        )
    guarded = set(connection.execute(text(query)).scalars())
    bare = [table for table in (*APPEND_ONLY, *APPROVALS) if table not in guarded]
    return Finding("triggers", "what was appended cannot be changed by accident", f"none on {bare[0]}" if bare else "")


def _references(connection: Connection) -> Finding:
    """Rows that refer to rows that are not there; asked of the data, as constraints can be switched off."""
    for table in metadata.sorted_tables:
        for key in sorted(table.foreign_key_constraints, key=lambda found: str(found.column_keys)):
            stray = _stray(connection, table, key)
            if stray:
                return Finding("references", "", stray)
    return Finding("references", "every row's references stand")


def _stray(connection: Connection, table: Table, key: ForeignKeyConstraint) -> str:
    parent = key.referred_table.alias("parent")
    pairs = [(table.c[element.parent.name], parent.c[element.column.name]) for element in key.elements]
    orphans = select(*table.primary_key.columns).where(
        *(child.is_not(None) for child, _ in pairs), ~exists().where(and_(*(child == up for child, up in pairs)))
    )
    first = connection.execute(orphans.limit(1)).first()
    if first is None:
        return ""
    return (
        f"{table.name} row {', '.join(map(repr, first))} refers to a row of {key.referred_table.name} that is not there"
    )


def _disk(store: Store) -> Finding:
    url = store.url
    place = Path(str(url.database)).absolute().parent if url.get_backend_name() == "sqlite" else store.folder
    free = shutil.disk_usage(place).free
    low = f"only {free // 2**20} MiB free at {place}" if free < LOW_DISK_BYTES else ""
    return Finding("disk", f"{free // 2**20} MiB free at {place}", low)
