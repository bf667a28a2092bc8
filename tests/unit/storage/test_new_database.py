"""What is made at once is what the migrations make one after another; they are the oracle."""

import sqlite3
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import create_engine

from backstay.storage import migrations, open_database


def rows(connection: sqlite3.Connection, query: str) -> list[tuple[Any, ...]]:
    return connection.execute(query).fetchall()


def shape(path: Path) -> dict[str, Any]:
    """Columns, keys, indexes and triggers as SQLite itself tells them, whatever the wording that made them."""
    with sqlite3.connect(path) as connection:
        found: dict[str, Any] = {}
        for (table,) in rows(connection, "SELECT name FROM sqlite_master WHERE type = 'table'"):
            indexes = rows(connection, f"PRAGMA index_list({table})")
            found[table] = {
                "columns": rows(connection, f"PRAGMA table_xinfo({table})"),
                "keys": sorted(key[2:] for key in rows(connection, f"PRAGMA foreign_key_list({table})")),
                "indexes": sorted((rows(connection, f"PRAGMA index_xinfo({i[1]})"), *i[2:]) for i in indexes),
            }
        named = "SELECT type, name, sql FROM sqlite_master WHERE name NOT LIKE 'sqlite_%' AND type != 'table'"
        found["named"] = sorted((t, name, sql if t == "trigger" else "") for t, name, sql in rows(connection, named))
        found["revision"] = rows(connection, "SELECT * FROM alembic_version")
    connection.close()
    return found


def test_a_new_database_is_what_the_migrations_lead_to(tmp_path: Path) -> None:
    engine = create_engine(f"sqlite:///{tmp_path}/migrated.db")
    with engine.begin() as connection:
        migrations.upgrade(connection)
    engine.dispose()
    open_database(tmp_path / "new.db", create=True).dispose()
    new, migrated = shape(tmp_path / "new.db"), shape(tmp_path / "migrated.db")
    assert new == migrated
    assert len(new["named"]) > 20 and {"journal", "approvals"} < set(new)


def test_a_new_database_needs_no_alembic(tmp_path: Path) -> None:
    code = (
        "import sys; from backstay.storage import open_database\n"
        f"open_database({str(tmp_path / 'x.db')!r}, create=True).dispose()\n"
        "sys.exit('alembic' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_several_may_make_it_at_once(tmp_path: Path) -> None:
    def make(_: int) -> None:
        open_database(tmp_path / "x.db", create=True).dispose()

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(make, range(8)))
    with sqlite3.connect(tmp_path / "x.db") as connection:
        assert rows(connection, "SELECT count(*) FROM alembic_version") == [(1,)]
    connection.close()


@pytest.mark.parametrize(
    ("statement", "said"),
    [
        ("DELETE FROM journal", "the table journal is append-only"),
        ("UPDATE journal SET kind = 'b'", "the table journal is append-only"),
        ("DELETE FROM approval_clock", None),
    ],
)
def test_its_triggers_refuse(tmp_path: Path, statement: str, said: str | None) -> None:
    open_database(tmp_path / "x.db", create=True).dispose()
    connection = sqlite3.connect(tmp_path / "x.db")
    connection.execute("INSERT INTO journal VALUES (1, 'a', '{}', '', '')")
    if said is None:
        connection.execute(statement)
    else:
        with pytest.raises(sqlite3.IntegrityError, match=said):
            connection.execute(statement)
    connection.close()
