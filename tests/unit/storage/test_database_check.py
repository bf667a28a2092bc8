"""Each thing that can be wrong with a database is named; nothing is wrong with a sound one."""

from collections import namedtuple
from typing import TYPE_CHECKING

import pytest
from databases import ONLY_SQLITE, Database
from sqlalchemy import text

from backstay.storage import Store
from backstay.storage.database_check import check_database

if TYPE_CHECKING:
    from tests.unit.storage.conftest import Rows


def problems(store: Store) -> dict[str, str]:
    return {found.what: found.problem for found in check_database(store) if found.problem}


def test_a_sound_database_has_every_check_and_no_problem(store: Store, rows: "Rows") -> None:
    store.repository.append_judgments("demo", rows.judgments(3))
    findings = list(check_database(store))
    looked_at = ["pages", "schema", "triggers", "references", "journal", "disk"]
    assert [found.what for found in findings] == looked_at
    assert [found.problem for found in findings] == [""] * 6
    assert findings[4].text == "7 entries, 0 of them not sealed yet"


@pytest.mark.parametrize(
    ("statement", "what", "said"),
    [
        ("DELETE FROM tasks", "references", "refers to a row of tasks that is not there"),
        ("DELETE FROM prompts", "references", "refers to a row of prompts that is not there"),
        ("UPDATE judgments SET rater_id = 'bob' WHERE id = 'judgment-1'", "journal", "(now 'judgment-1') was changed"),
        ("DELETE FROM journal WHERE seq = 6", "references", "'judgment-1' refers to a row of journal"),
        ("DROP TABLE harvested_feedback", "schema", "the table harvested_feedback is missing"),
        ("ALTER TABLE harvested DROP COLUMN awaits_thumb", "schema", "harvested lacks the columns awaits_thumb"),
        ("UPDATE alembic_version SET version_num = '0003'", "schema", "revision 0003, this version needs"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_named(
    store: Store, rows: "Rows", database: Database, statement: str, what: str, said: str
) -> None:
    store.repository.append_judgments("demo", rows.judgments(3))
    store.close()
    connection = database.connect()
    connection.cursor().execute(statement)
    connection.close()
    assert said in problems(store)[what]


def test_missing_triggers_are_named(store: Store, database: Database) -> None:
    with store.engine.begin() as connection:
        if database.server is None:
            for verb in ("update", "delete"):
                connection.execute(text(f"DROP TRIGGER retractions_no_{verb}"))
        else:
            connection.execute(text("ALTER TABLE retractions DISABLE TRIGGER ALL"))
    assert problems(store) == {"triggers": "none on retractions"}


@ONLY_SQLITE
def test_damaged_indexes_are_found(store: Store, rows: "Rows", database: Database) -> None:
    store.repository.append_judgments("demo", rows.judgments(3))
    with database.connect() as connection:
        query = "SELECT rootpage FROM sqlite_master WHERE name = 'ix_judgments_dataset_rater_id'"
        [(page,)] = connection.execute(query).fetchall()
    connection.close()
    store.close()
    path = store.folder / "backstay.db"
    content = path.read_bytes()
    start, end = (page - 1) * 4096, page * 4096
    path.write_bytes(content[:start] + content[start:end].replace(b"demoann", b"demoanx") + content[end:])
    assert "is damaged" in problems(store)["pages"]


def test_a_disk_that_is_nearly_full_is_told(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    usage = namedtuple("usage", ["total", "used", "free"])
    monkeypatch.setattr("shutil.disk_usage", lambda _: usage(10, 9, 5 * 2**20))
    assert problems(store)["disk"].startswith("only 5 MiB free at ")
