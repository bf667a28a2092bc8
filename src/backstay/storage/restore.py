"""Putting a backup back: loaded and verified beside the database, then swapped in; what stood there is kept."""

import contextlib
import os
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from sqlalchemy import URL, Engine

from backstay.errors import IntegrityError, ResourceError, UsageError
from backstay.storage.archive import Archive, Manifest, read_archive
from backstay.storage.archive_loading import load
from backstay.storage.atomic import atomic_file, disk_errors, fsync_path
from backstay.storage.engine import open_database, schema_transaction
from backstay.storage.journal import Head, head
from backstay.storage.keys import public_keys
from backstay.storage.location import database_url, seals_of, shown
from backstay.storage.replaced import postgresql_place, rows_there, sqlite_place, without_log
from backstay.storage.seal import Sealer, SealLog
from backstay.storage.verify import verify_journal

_MARGIN_BYTES = 64 * 1024 * 1024


@dataclass(frozen=True)
class Restored:
    """What was put back. `key` signed it, `is_known_key` says whether the project knew that key before.

    `kept` is where the old database stands, "" where there was none.
    """

    manifest: Manifest
    key: str
    is_known_key: bool
    kept: str = ""


def verify_backup(path: Path, keys_dir: Path, trust_key: str = "") -> Restored:
    """Re-read a backup, load it into a temporary SQLite file beside it, and walk its chain, seals and tables.

    Raises IntegrityError for whatever does not hold.
    """
    with _opened(path, keys_dir, trust_key) as (archive, known), _staging(path.parent, archive) as folder:
        _load_file(archive, folder)
        return Restored(archive.manifest, archive.key, known)


def restore_backup(path: Path, folder: Path, url: str | URL, *, force: bool = False, trust_key: str = "") -> Restored:
    """Put a backup in the place of the database at `url`, with its seals and keys below the project's `folder`.

    Everything is verified before anything is replaced. Raises UsageError when the database holds rows and `force` is
    false, IntegrityError for a backup that does not hold, ResourceError when there is too little disk or others have
    the database open.
    """
    target = database_url(url)
    stamp = datetime.now(UTC).strftime("%Y%m%dT%H%M%S%fZ")
    with _opened(path, folder / "keys", trust_key) as (archive, known):
        filled = rows_there(target)
        if filled and not force:
            raise UsageError(
                f"{shown(target)} holds rows of {filled} already",
                cure="give --force: it is kept beside the restored one",
            )
        folder.mkdir(parents=True, exist_ok=True)
        is_file = target.get_backend_name() == "sqlite"
        beside = Path(str(target.database)).absolute().parent if is_file else folder
        beside.mkdir(parents=True, exist_ok=True)
        with _staging(beside, archive) as staging:
            _check_keys(staging / "keys", folder / "keys")
            if is_file:
                kept = sqlite_place(_load_file(archive, staging), Path(str(target.database)).absolute(), stamp)
            else:
                kept = _into_server(archive, staging, target, stamp)
            _put_seals(staging / "seals", seals_of(target, folder), stamp)
            _put_keys(staging / "keys", folder / "keys")
    return Restored(archive.manifest, archive.key, known, kept)


@contextlib.contextmanager
def _opened(path: Path, keys_dir: Path, trust_key: str) -> Iterator[tuple[Archive, bool]]:
    """The backup, its signature checked, and whether the project knew the key."""
    with path.open("rb") as file:
        archive = read_archive(file)
        own = public_keys(keys_dir)
        brought = _brought_keys(archive)
        # A project without keys is being made anew; it can only be told which key it is.
        trusted = own or brought
        if trust_key:
            trusted = {found: key for found, key in {**brought, **own}.items() if found == trust_key}
        archive.check_signature(trusted)
        yield archive, archive.key in own or archive.key == trust_key


def _brought_keys(archive: Archive) -> Mapping[str, Ed25519PublicKey]:
    with tempfile.TemporaryDirectory() as folder:
        for name in archive.named("keys/"):
            if name.endswith(".pub"):
                (Path(folder) / name.removeprefix("keys/")).write_bytes(archive.read(name))
        return public_keys(Path(folder))


@contextlib.contextmanager
def _staging(parent: Path, archive: Archive) -> Iterator[Path]:
    """A folder beside the target with the backup's keys and seals; gone at the end."""
    free = shutil.disk_usage(parent).free
    wanted = 2 * archive.manifest.raw_bytes + _MARGIN_BYTES
    if free < wanted:
        raise ResourceError(
            f"{parent} has {free} bytes free, and unpacking takes about {wanted}", cure="free some space"
        )
    with tempfile.TemporaryDirectory(prefix=".restoring-", dir=parent) as name, disk_errors(parent):
        folder = Path(name)
        (folder / "keys").mkdir(mode=0o700)
        for member in archive.named("keys/"):
            path = folder / "keys" / member.removeprefix("keys/")
            path.touch(mode=0o600)
            path.write_bytes(archive.read(member))
        with (folder / "seals").open("wb") as file:
            for member in archive.named("seals/"):
                file.write(archive.unpack(member))
        yield folder


def _load_file(archive: Archive, staging: Path) -> Path:
    """Load and verify the backup as a SQLite file in the staging folder."""
    path = staging / "backstay.db"
    engine = open_database(path, create=True, migrate=False)
    try:
        with schema_transaction(engine) as connection:
            load(connection, archive)
        _verify(engine, archive, staging)
    finally:
        engine.dispose()
    without_log(path)
    return path


def _verify(engine: Engine, archive: Archive, staging: Path) -> None:
    # Where the journal was never sealed, the signed manifest says how long it is.
    log = Sealer(staging / "keys", staging / "seals").read() if archive.named("seals/") else SealLog(())
    report, manifest = verify_journal(engine, log), archive.manifest
    if report.broken:
        raise IntegrityError(f"what the backup holds is broken: {report.broken}", cure="take an older backup")
    with engine.connect() as connection:
        end = head(connection)
    if end != Head(manifest.entries, manifest.head_hash):
        raise IntegrityError(f"the backup holds {end.count} entries, its manifest says {manifest.entries}")


def _into_server(archive: Archive, staging: Path, target: URL, stamp: str) -> str:
    with postgresql_place(target, stamp) as place:
        with schema_transaction(place.engine) as connection:
            load(connection, archive)
        _verify(place.engine, archive, staging)
        return place.swap()


def _check_keys(brought: Path, keys_dir: Path) -> None:
    """Refuse public keys of one name and two contents."""
    for path in brought.glob("*.pub"):
        own = keys_dir / path.name
        if own.exists() and own.read_bytes() != path.read_bytes():
            raise IntegrityError(f"{own} is another key than the backup's of the same name")


def _put_seals(new: Path, seals: Path, stamp: str) -> None:
    if seals.exists():
        seals.with_name(f"{seals.name}.before-{stamp}").hardlink_to(seals)
    if new.stat().st_size:
        with new.open("rb") as source, atomic_file(seals) as file:
            shutil.copyfileobj(source, file)
    else:
        seals.unlink(missing_ok=True)
        fsync_path(seals.parent)


def _put_keys(brought: Path, keys_dir: Path) -> None:
    """Add keys that are missing; the project's own stay."""
    keys_dir.mkdir(mode=0o700, exist_ok=True)
    for path in sorted(brought.iterdir()):
        own = keys_dir / path.name
        if own.exists():
            continue
        with atomic_file(own) as file:
            if path.suffix != ".pub":
                os.fchmod(file.fileno(), 0o600)
            file.write(path.read_bytes())
