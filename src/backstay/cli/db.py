"""`backstay db`: the database of a project, its schema, its backups."""

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import click

from backstay.cli.session import Session, shared_options

if TYPE_CHECKING:
    from sqlalchemy import URL, Engine

    from backstay.storage.restore import Restored


@click.group()
def db() -> None:
    """Back up, restore, check and migrate the project's database.

    That is .backstay/backstay.db, or what BACKSTAY_DATABASE_URL names (PostgreSQL).
    """


@db.command()
@shared_options
def upgrade(session: Session) -> None:
    """Bring the schema to the newest revision; every command that opens the database does so too."""
    from backstay.storage import migrations
    from backstay.storage.engine import schema_transaction

    with _raw_engine(session) as (engine, before), schema_transaction(engine) as connection:
        migrations.upgrade(connection)
    _tell_revisions(session, before)


@db.command()
@click.argument("revision", default="")
@click.option("--drop-data", is_flag=True, help="Delete the rows that only the newer schema can hold.")
@shared_options
def downgrade(session: Session, revision: str, drop_data: bool) -> None:
    """Go back to REVISION, for an older version of backstay; the one before, where none is given.

    Refused where rows would be lost. The next command of this version upgrades again.
    """
    from backstay.storage import migrations
    from backstay.storage.engine import schema_transaction

    with _raw_engine(session) as (engine, before), schema_transaction(engine) as connection:
        migrations.downgrade(connection, revision or "-1", drop_data=drop_data)
    _tell_revisions(session, before)


@db.command()
@click.argument("path", type=click.Path(dir_okay=False, path_type=Path))
@click.option("--with-keys", is_flag=True, help="Put the private keys into it too; keep such a file as you keep them.")
@click.option("--verify", "is_verified", is_flag=True, help="Read it again, load it, and walk its journal.")
@shared_options
def backup(session: Session, path: Path, with_keys: bool, is_verified: bool) -> None:
    """Write the database with its seals and public keys to PATH, while others go on working.

    The file is signed with the project's key, restores into SQLite and PostgreSQL alike, and is readable by you only.
    """
    from backstay.storage import Store
    from backstay.storage.backup import write_backup
    from backstay.storage.restore import verify_backup

    project = session.project
    with Store(project.root) as store:
        manifest = write_backup(store, path, with_keys=with_keys)
    if is_verified:
        verify_backup(path, project.keys)
    rows = sum(table.count for table in manifest.tables.values())
    size = path.stat().st_size
    if session.as_json:
        told = manifest.model_dump(mode="json", exclude={"members", "tables"})
        session.emit({"path": str(path), "bytes": size, "rows": rows, "verified": is_verified, **told})
        return
    session.say(f"{path}: {rows} rows, {manifest.entries} journal entries, {size} bytes")
    session.say("verified: it loads, and its chain, seals and tables hold" if is_verified else "check it: --verify")


@db.command()
@click.argument("path", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("--force", is_flag=True, help="Replace a database that holds rows; it is kept beside the restored one.")
@click.option("--verify", "only_verify", is_flag=True, help="Only read it, load it aside, and walk its journal.")
@click.option("--trust-key", default="", metavar="FINGERPRINT", help="Accept a backup signed with this key.")
@shared_options
def restore(session: Session, path: Path, force: bool, only_verify: bool, trust_key: str) -> None:
    """Put the backup at PATH in the place of the project's database, after everything in it was verified."""
    from backstay.storage.location import project_database
    from backstay.storage.restore import restore_backup, verify_backup

    project = session.project
    if only_verify:
        found = verify_backup(path, project.keys, trust_key)
    else:
        found = restore_backup(path, project.state, project_database(project.state), force=force, trust_key=trust_key)
    _tell_restored(session, found, only_verify)


@db.command()
@shared_options
def check(session: Session) -> None:
    """Look at pages, schema, triggers, references, journal, seals and disk; exit code 4 when one does not hold."""
    from backstay.errors import IntegrityError
    from backstay.storage import Store
    from backstay.storage.database_check import check_database

    with Store(session.project.root, migrate=False) as store:
        findings = list(check_database(store))
    broken = [found for found in findings if found.problem]
    if session.as_json:
        rows = [{"what": found.what, "text": found.text, "problem": found.problem} for found in findings]
        session.emit({"ok": not broken, "checks": rows})
    else:
        for found in findings:
            session.say(f"{'BROKEN' if found.problem else 'ok    '} {found.what}: {found.problem or found.text}")
    if broken:
        problems = "; ".join(f"{found.what}: {found.problem}" for found in broken)
        raise IntegrityError(problems, cure="backstay db upgrade for the schema; else restore a backup")


@contextlib.contextmanager
def _raw_engine(session: Session) -> "Iterator[tuple[Engine, str]]":
    """The database as it stands, and its revision."""
    from backstay.storage import open_database
    from backstay.storage.engine import revision_of

    engine = open_database(_url(session), migrate=False)
    try:
        with engine.connect() as connection:
            before = revision_of(connection) or "none"
        yield engine, before
    finally:
        engine.dispose()


def _url(session: Session) -> "URL":
    from backstay.storage.location import project_database

    return project_database(session.project.state)


def _tell_revisions(session: Session, before: str) -> None:
    with _raw_engine(session) as (_, after):
        pass
    if session.as_json:
        session.emit({"from": before, "to": after})
    else:
        session.say(f"schema {after}, unchanged" if before == after else f"schema {before} -> {after}")


def _tell_restored(session: Session, found: "Restored", only_verify: bool) -> None:
    manifest = found.manifest
    if session.as_json:
        told = manifest.model_dump(mode="json", exclude={"members", "tables"})
        session.emit({"key": found.key, "key_known": found.is_known_key, "kept": found.kept, **told})
        return
    done = "verified" if only_verify else "restored"
    session.say(f"{done}: {manifest.entries} journal entries up to {manifest.head_hash[:16]}, of {manifest.created_at}")
    if not found.is_known_key:
        session.say(
            f"signed with the key {found.key}: this project had none to compare it with, so compare it yourself"
        )
    if found.kept:
        session.say(f"the old database is kept: {found.kept}")
