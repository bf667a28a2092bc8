"""Up, down and up again on both databases; going back never loses rows unless that was asked for."""

import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from databases import Database
from sqlalchemy import Engine, inspect, text

from backstay.errors import UsageError
from backstay.records import Demonstration, Retraction
from backstay.storage import Store, migrations, open_database
from backstay.storage.engine import revision_of, schema_transaction
from backstay.storage.new_database import triggers
from backstay.storage.tables import SCHEMA_HEAD, metadata

if TYPE_CHECKING:
    from tests.unit.storage.conftest import Rows

SAMPLE: dict[str, Any] = {"String": "x", "Text": "{}", "Integer": 1, "BigInteger": 1, "LargeBinary": b"x", "Float": 0.5}


@pytest.fixture
def empty(database: Database) -> Iterator[Engine]:
    engine = open_database(database.another(empty=True), create=True, migrate=False)
    yield engine
    engine.dispose()


def go(engine: Engine, revision: str, *, back: bool = False, drop_data: bool = False) -> None:
    with schema_transaction(engine) as connection:
        if back:
            migrations.downgrade(connection, revision, drop_data=drop_data)
        else:
            migrations.upgrade(connection, revision)


def state(engine: Engine) -> tuple[str | None, set[str], list[Any]]:
    """Revision, tables, and on PostgreSQL the functions that are left."""
    with engine.connect() as connection:
        tables = set(inspect(connection).get_table_names()) - {"alembic_version"}
        functions: list[Any] = []
        if connection.dialect.name == "postgresql":
            query = "SELECT proname FROM pg_proc WHERE pronamespace = 'public'::regnamespace"
            functions = list(connection.execute(text(query)).scalars())
        return revision_of(connection), tables, functions


def test_every_step_can_be_taken_back_and_again(empty: Engine) -> None:
    steps = migrations.revisions()
    assert steps == sorted(steps) and steps[-1] == SCHEMA_HEAD
    seen = {}
    for revision in steps:
        go(empty, revision)
        seen[revision] = state(empty)
    for revision in reversed(steps[:-1]):
        go(empty, revision, back=True)
        assert state(empty) == seen[revision]
    go(empty, "base", back=True)
    assert state(empty) == ("none", set(), [])
    go(empty, "head")
    assert state(empty) == seen[SCHEMA_HEAD]
    with empty.connect() as connection:
        assert compare_metadata(MigrationContext.configure(connection), metadata) == []


def test_data_of_a_store_survives_down_and_up(store: Store, rows: "Rows") -> None:
    repository = store.repository
    repository.append_judgments("demo", rows.judgments(4))
    repository.add_demonstrations("demo", [Demonstration(prompt=rows.prompts[0], text="Yes.", source="test")])
    before, report = repository.dataset_digest("demo"), store.verify()
    go(store.engine, "0001", back=True)
    assert state(store.engine)[0] == "0001"
    assert not inspect(store.engine).has_table("approvals")
    go(store.engine, "head")
    assert (repository.dataset_digest("demo"), store.verify()) == (before, report)
    repository.append_judgments("demo", [rows.judgment(4)])


def test_the_first_table_with_rows_stops_the_way_back_and_nothing_is_changed(store: Store, rows: "Rows") -> None:
    store.repository.append_judgments("demo", rows.judgments(2))
    taken = Retraction(id="r", judgment_id="judgment-1", rater_id="ann", created_at="2026-01-01T00:00:00+00:00")
    store.repository.append_retractions("demo", [taken])
    before = state(store.engine)
    with pytest.raises(UsageError, match="would delete the 1 row of the table retractions\n  cure: make a backup"):
        go(store.engine, "0003", back=True)
    assert state(store.engine) == before and store.verify().ok
    go(store.engine, "0001", back=True, drop_data=True)
    with pytest.raises(UsageError, match="would delete the 2 rows of the table judgments"):
        go(store.engine, "base", back=True)
    go(store.engine, "base", back=True, drop_data=True)
    assert state(store.engine)[1] == set()


def fill(engine: Engine, name: str) -> None:
    """One row of arbitrary values in a table, whatever it refers to."""
    columns = metadata.tables[name].columns
    values = [SAMPLE[type(column.type).__name__] for column in columns]
    names, marks = ", ".join(f'"{column.name}"' for column in columns), ", ".join("?" for _ in columns)
    statement = f"INSERT INTO {name} ({names}) VALUES ({marks})"
    if engine.dialect.name == "sqlite":
        with sqlite3.connect(str(engine.url.database)) as plain:
            plain.execute(statement, values)
        plain.close()
        return
    with engine.begin() as connection:
        connection.exec_driver_sql("SET LOCAL session_replication_role = replica")
        connection.exec_driver_sql(statement.replace("?", "%s"), tuple(values))


@pytest.mark.parametrize("name", ["approvals", "approval_votes", "kept_answers", "harvested", "accounts", "projects"])
def test_each_table_is_guarded(empty: Engine, name: str) -> None:
    go(empty, "head")
    fill(empty, name)
    with pytest.raises(UsageError, match=f"the 1 row of the table {name}"):
        go(empty, "base", back=True)
    assert state(empty)[0] == SCHEMA_HEAD


def test_unknown_revisions_are_named(empty: Engine) -> None:
    go(empty, "head")
    with pytest.raises(UsageError, match="does not know"):
        go(empty, "0042", back=True)


def test_a_new_file_and_the_migrations_have_the_same_triggers(tmp_path: Path) -> None:
    engine = open_database(tmp_path / "x.db", create=True, migrate=False)
    go(engine, "head")
    with engine.connect() as connection:
        found = set(connection.execute(text("SELECT sql FROM sqlite_master WHERE type = 'trigger'")).scalars())
    engine.dispose()
    assert found == set(triggers())
