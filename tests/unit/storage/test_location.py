"""Where the database is, and that no password ever shows."""

import json
from pathlib import Path

import pytest

from backstay.cli.failures import report_failure
from backstay.errors import BackstayError, UsageError
from backstay.storage import Store, open_database
from backstay.storage.location import DATABASE_VARIABLE, database_url, may_exist, project_database, seals_of, shown

SECRET = "hunter2"


@pytest.mark.parametrize(
    ("given", "driver", "said"),
    [
        ("x/y.db", "sqlite", "x/y.db"),
        ("sqlite:///x/y.db", "sqlite", "x/y.db"),
        (f"postgresql://me:{SECRET}@db.example:6543/feedback", "postgresql+psycopg", "postgresql://me@db.example:6543/feedback"),
        (f"postgres://me:{SECRET}@db.example/f", "postgresql+psycopg", "postgresql://me@db.example/f"),
        (f"postgresql+psycopg:///f?host=/run/pg&password={SECRET}", "postgresql+psycopg", "postgresql:///run/pg/f"),
        ("postgresql:///f", "postgresql+psycopg", "postgresql://localhost/f"),
    ],
)  # fmt: skip
def test_urls_get_the_installed_driver_and_are_shown_without_secrets(given: str, driver: str, said: str) -> None:
    assert database_url(given).drivername == driver
    assert shown(given) == said


@pytest.mark.parametrize(
    "given",
    [
        f"postgresql://me:{SECRET}@x@db/f",
        f"postgresql://me:a@{SECRET}/b@db/f",
        f"postgresql://me:x@db:{SECRET}/f",
        f"://{SECRET}",
        f"mysql://me:{SECRET}@db/f",
    ],
)
def test_what_cannot_be_read_is_refused_without_quoting_it(
    given: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv(DATABASE_VARIABLE, given)
    with pytest.raises(UsageError) as raised:
        Store(tmp_path)
    assert report_failure(raised.value, as_json=True) == 2
    out = capsys.readouterr().out
    assert SECRET not in out and SECRET not in str(raised.value.__cause__) and not list(tmp_path.iterdir())
    assert "%40" in json.loads(out)["error"]["message"]


def test_the_variable_goes_before_the_projects_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(DATABASE_VARIABLE, raising=False)
    state = tmp_path / ".backstay"
    assert project_database(state).database == str(state / "backstay.db")
    assert not may_exist(state)
    monkeypatch.setenv(DATABASE_VARIABLE, f"sqlite:///{tmp_path}/elsewhere.db")
    assert not Store.may_exist(tmp_path)
    with Store(tmp_path, create=True) as store:
        store.repository.add_review("pair-1", "release", "Ann", "fine")
    assert Store.may_exist(tmp_path) and not (state / "backstay.db").exists()
    assert sorted(path.name for path in state.iterdir()) == ["elsewhere.seals.jsonl", "keys"]
    monkeypatch.setenv(DATABASE_VARIABLE, "")
    assert not may_exist(state)
    monkeypatch.setenv(DATABASE_VARIABLE, "postgresql:///f")
    assert may_exist(state)


@pytest.mark.parametrize(
    ("database", "name"),
    [
        ("a/backstay.db", "journal.seals.jsonl"),
        ("sqlite:///a/backstay.db", "journal.seals.jsonl"),
        ("a/guard.db", "guard.seals.jsonl"),
        ("postgresql://u:p@one:1/feedback", "postgresql-feedback.seals.jsonl"),
        ("postgresql+psycopg://two/feedback", "postgresql-feedback.seals.jsonl"),
        ("postgresql:///..%2F..%2Fx", "postgresql-______x.seals.jsonl"),
    ],
)
def test_each_database_has_its_own_seals(database: str, name: str, tmp_path: Path) -> None:
    found = seals_of(database, tmp_path)
    assert (found.name, found.parent) == (name, tmp_path)


def test_a_driver_that_is_not_installed_names_the_extra() -> None:
    with pytest.raises(BackstayError, match=r"no driver for postgresql\+pg8000.*\n  cure: pip install"):
        open_database("postgresql+pg8000://localhost/x")
