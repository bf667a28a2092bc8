"""Online backups: one consistent snapshot of a database with its seals and public keys, in one signed file."""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, Table, select

from backstay.errors import UsageError
from backstay.storage.archive import FORMAT, ArchiveWriter, Manifest, Rows
from backstay.storage.archived_rows import CHUNK_BYTES, chunks, columns_of
from backstay.storage.atomic import atomic_file
from backstay.storage.engine import read_snapshot
from backstay.storage.journal import head, utc_now
from backstay.storage.keys import signing_key
from backstay.storage.seal import whole_bytes
from backstay.storage.store import Store
from backstay.storage.tables import SCHEMA_HEAD, metadata

_ROWS_A_FETCH = 500


def write_backup(store: Store, path: Path, *, with_keys: bool = False) -> Manifest:
    """Save a project's database while others go on writing; what is committed later is not in it.

    The file is readable by its owner only. Private keys are in it `with_keys` only. Memory does not grow with the data.
    Raises UsageError when `path` exists.
    """
    if path.exists():
        raise UsageError(f"{path} exists already", cure="give another name; a backup is never overwritten")
    key = signing_key(store.sealer.keys_dir)
    # Before the snapshot, so that no seal speaks of entries that came after it.
    sealed_bytes = whole_bytes(store.sealer.seal_path) if store.sealer.seal_path.exists() else 0
    with atomic_file(path) as file, read_snapshot(store.engine) as connection:
        os.fchmod(file.fileno(), 0o600)
        writer = ArchiveWriter(file)
        end = head(connection)
        tables = {table.name: _save(connection, table, writer) for table in metadata.sorted_tables}
        _save_seals(store.sealer.seal_path, sealed_bytes, writer)
        _save_keys(store.sealer.keys_dir, writer, with_keys)
        manifest = Manifest(
            format=FORMAT,
            created_at=utc_now(),
            revision=SCHEMA_HEAD,
            source=store.engine.dialect.name,
            entries=end.count,
            head_hash=end.hash,
            private_keys=with_keys,
            raw_bytes=writer.raw_bytes,
            tables=tables,
            members=dict(writer.members),
        )
        writer.finish(manifest, key)
    return manifest


def _save(connection: Connection, table: Table, writer: ArchiveWriter) -> Rows:
    count = 0

    def rows() -> Iterator[Any]:
        nonlocal count
        found = connection.execution_options(stream_results=True, max_row_buffer=_ROWS_A_FETCH).execute(select(table))
        for page in found.partitions(_ROWS_A_FETCH):
            count += len(page)
            yield from page

    for number, content in enumerate(chunks(rows(), table.name)):
        writer.pack(f"rows/{table.name}/{number:06}.gz", content)
    return Rows(columns=columns_of(table), count=count)


def _save_seals(path: Path, size: int, writer: ArchiveWriter) -> None:
    if not size:
        return
    with path.open("rb") as file:
        for number, start in enumerate(range(0, size, CHUNK_BYTES)):
            writer.pack(f"seals/{number:06}.gz", file.read(min(CHUNK_BYTES, size - start)))


def _save_keys(folder: Path, writer: ArchiveWriter, with_keys: bool) -> None:
    for path in sorted(folder.iterdir()):
        if path.suffix == ".pub" or (with_keys and path.suffix in (".pem", ".key")):
            writer.add(f"keys/{path.name}", path.read_bytes())
