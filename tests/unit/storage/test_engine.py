import shutil
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from databases import ONLY_SQLITE
from sqlalchemy import create_engine, text
from sqlalchemy.dialects import postgresql
from sqlalchemy.schema import CreateIndex, CreateTable

from backstay.errors import BackstayError, IntegrityError, ResourceError, UsageError
from backstay.storage import Repository, Store, migrations, open_database
from backstay.storage.migrations import head
from backstay.storage.tables import SCHEMA_HEAD, metadata


def test_created_database_has_the_promised_settings(tmp_path: Path) -> None:
    engine = open_database(tmp_path / "new" / "x.db", create=True)
    with engine.connect() as connection:
        pragma = {
            name: connection.execute(text(f"PRAGMA {name}")).scalar()
            for name in ("journal_mode", "foreign_keys", "synchronous", "busy_timeout")
        }
    engine.dispose()
    assert pragma == {"journal_mode": "wal", "foreign_keys": 1, "synchronous": 2, "busy_timeout": 5000}


def test_migrations_lead_to_the_tables(tmp_path: Path) -> None:
    engine = open_database(f"sqlite:///{tmp_path}/x.db", create=True)
    with engine.connect() as connection:
        assert compare_metadata(MigrationContext.configure(connection), metadata) == []
    engine.dispose()
    assert head() == SCHEMA_HEAD


def test_a_database_of_the_first_revision_is_brought_to_the_newest(tmp_path: Path) -> None:
    path = tmp_path / "x.db"
    first = create_engine(f"sqlite:///{path}")
    with first.begin() as connection:
        config = migrations._config()
        config.attributes["connection"] = connection
        command.upgrade(config, "0001")
    first.dispose()
    engine = open_database(path)
    with engine.connect() as connection:
        assert compare_metadata(MigrationContext.configure(connection), metadata) == []
    engine.dispose()


def test_tables_compile_for_postgresql() -> None:
    dialect = postgresql.dialect()  # type: ignore[no-untyped-call]  # SQLAlchemy leaves dialect constructors untyped
    for table in metadata.sorted_tables:
        created = str(CreateTable(table).compile(dialect=dialect))
        wide = [column.name for column in table.columns if column.name == "seq" or column.name.endswith("_ms")]
        assert all(f"{name} BIGINT" in created for name in wide)
        for index in table.indexes:
            assert str(CreateIndex(index).compile(dialect=dialect)).startswith("CREATE INDEX ix_")


def test_missing_database_names_the_cure(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"no database at .*x\.db\n  cure: run `backstay init`"):
        open_database(tmp_path / "x.db")
    with pytest.raises(UsageError, match="is a folder"):
        open_database(tmp_path)
    with pytest.raises(UsageError, match="needs a file"):
        open_database("sqlite://", create=True)


@pytest.mark.parametrize(
    "content", [b"this is a text file, not a database\n" * 100, b"SQLite format 3\0" + b"\xff" * 5000]
)
def test_file_that_is_no_database_is_an_integrity_error(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "x.db"
    path.write_bytes(content)
    with pytest.raises(IntegrityError, match="is not a database or is damaged"):
        open_database(path)
    assert path.read_bytes() == content


@ONLY_SQLITE
def test_damaged_pages_are_an_integrity_error(tmp_path: Path, store: Store) -> None:
    store.close()
    broken = tmp_path / "broken.db"
    shutil.copy(store.folder / "backstay.db", broken)
    content = bytearray(broken.read_bytes())
    content[4096:] = b"\x5a" * (len(content) - 4096)
    broken.write_bytes(content)
    with pytest.raises(IntegrityError, match="is damaged"):
        Repository(open_database(broken)).prompts("demo")


def test_database_of_something_else_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "x.db"
    connection = sqlite3.connect(path)
    connection.execute("CREATE TABLE cats (name TEXT)")
    connection.close()
    with pytest.raises(UsageError, match="it has the table 'cats'"):
        open_database(path, create=True)


def test_schema_of_a_newer_version_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "x.db"
    open_database(path, create=True).dispose()
    connection = sqlite3.connect(path)
    connection.execute("UPDATE alembic_version SET version_num = '9999'")
    connection.commit()
    connection.close()
    with pytest.raises(UsageError, match="a schema that this version does not know"):
        open_database(path)


def test_locked_database_is_a_resource_error(tmp_path: Path) -> None:
    path = tmp_path / "x.db"
    open_database(path, create=True).dispose()
    engine = open_database(path, busy_timeout_s=0.01)
    holder = sqlite3.connect(path, isolation_level=None)
    holder.execute("BEGIN IMMEDIATE")
    with pytest.raises(ResourceError, match="is locked by another process"):
        Repository(engine).add_prompts("demo", [])
    holder.execute("ROLLBACK")
    assert Repository(engine).add_prompts("demo", []) == 0
    engine.dispose()
    holder.execute("PRAGMA locking_mode = EXCLUSIVE")
    holder.execute("BEGIN EXCLUSIVE")
    holder.execute("DELETE FROM prompts")
    with pytest.raises(ResourceError, match="is locked by another process"):
        open_database(path, busy_timeout_s=0.01)
    holder.close()


@ONLY_SQLITE
def test_full_disk_stores_nothing_and_says_so(store: Store) -> None:
    before = store.repository.datasets()
    with store.engine.connect() as connection:
        pages = connection.execute(text("PRAGMA page_count")).scalar_one()
        connection.execute(text(f"PRAGMA max_page_count = {pages}"))
    with pytest.raises(ResourceError, match="no space left on the disk"), store.repository.batch() as batch:
        batch.add_event("note", {"text": "x" * 100_000})
    assert store.repository.datasets() == before
    assert store.verify().ok


def test_unknown_driver_names_the_extra() -> None:
    with pytest.raises(BackstayError, match=r"no driver for .*\n  cure: pip install"):
        open_database("postgresql+pg8000://localhost/x")


def test_open_database_that_is_up_to_date_does_not_import_alembic(tmp_path: Path) -> None:
    path = tmp_path / "x.db"
    open_database(path, create=True).dispose()
    program = "import sys; from backstay.storage import open_database; open_database(sys.argv[1])\n"
    program += "sys.exit(len([name for name in ('alembic', 'torch', 'numpy') if name in sys.modules]))"
    assert subprocess.run([sys.executable, "-c", program, str(path)], check=False).returncode == 0
