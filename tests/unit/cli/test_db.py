"""`backstay db` from the command line, on both databases."""

import json
from pathlib import Path
from typing import Any

import pytest
from databases import ONLY_POSTGRESQL, PASSWORD, Database

from backstay.cli.main import main
from backstay.records import Rater
from backstay.storage import Store
from backstay.storage.migrations import revisions
from backstay.storage.tables import SCHEMA_HEAD


@pytest.fixture
def project(database: Database, tmp_path: Path) -> Path:
    """A project with one rater and one review."""
    (tmp_path / "backstay.yaml").write_text("")
    with Store(tmp_path, create=True) as store:
        store.repository.add_raters("demo", [Rater(id="ann", display_name="Ann")])
        store.repository.add_review("pair-1", "release", "Ann", "fine")
    return tmp_path


def run(project: Path, *arguments: str) -> int:
    with pytest.raises(SystemExit) as ended:
        main(["db", *arguments, "--project", str(project)])
    assert isinstance(ended.value.code, int)
    return ended.value.code


def told(project: Path, capsys: pytest.CaptureFixture[str], *arguments: str) -> dict[str, Any]:
    assert run(project, *arguments, "--json") == 0
    found: dict[str, Any] = json.loads(capsys.readouterr().out)
    return found


def test_backup_and_restore(project: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = str(tmp_path / "b.tar")
    saved = told(project, capsys, "backup", path, "--verify")
    assert (saved["rows"], saved["entries"], saved["verified"], saved["private_keys"]) == (3, 2, True, False)
    with Store(project) as store:
        digest = store.repository.dataset_digest("demo")
        store.repository.add_raters("demo", [Rater(id="eve", display_name="Eve")])
    assert told(project, capsys, "restore", path, "--verify")["head_hash"] == saved["head_hash"]
    assert run(project, "restore", path) == 2
    assert "give --force" in capsys.readouterr().err
    restored = told(project, capsys, "restore", path, "--force")
    assert (restored["key_known"], restored["head_hash"]) == (True, saved["head_hash"])
    assert "before" in restored["kept"]
    with Store(project) as store:
        assert store.repository.dataset_digest("demo") == digest
    assert run(project, "backup", path) == 2
    assert run(project, "backup", str(tmp_path / "c.tar")) == 0
    assert "3 rows, 2 journal entries" in capsys.readouterr().out
    assert run(project, "restore", str(tmp_path / "c.tar"), "--force") == 0
    assert "restored: 2 journal entries" in capsys.readouterr().out


def test_check(project: Path, database: Database, capsys: pytest.CaptureFixture[str]) -> None:
    found = told(project, capsys, "check")
    assert found["ok"] and [row["what"] for row in found["checks"]][:2] == ["pages", "schema"]
    assert run(project, "check") == 0
    assert "ok     journal: 2 entries" in capsys.readouterr().out
    bent = database.connect()
    bent.cursor().execute("DELETE FROM raters")
    bent.close()
    assert run(project, "check") == 4
    said = capsys.readouterr()
    assert "BROKEN journal: entry 1 (records raters): raters holds 0 of the 1 rows" in said.out
    assert "cure: " in said.err


def test_down_and_up(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert told(project, capsys, "downgrade") == {"from": SCHEMA_HEAD, "to": revisions()[-2]}
    assert run(project, "check") == 4
    capsys.readouterr()
    assert told(project, capsys, "downgrade", "0001") == {"from": revisions()[-2], "to": "0001"}
    assert run(project, "downgrade", "base") == 2
    assert "would delete the 1 row of the table raters" in capsys.readouterr().err
    assert told(project, capsys, "upgrade") == {"from": "0001", "to": SCHEMA_HEAD}
    assert run(project, "upgrade") == 0
    assert f"schema {SCHEMA_HEAD}, unchanged" in capsys.readouterr().out
    with Store(project) as store:
        assert store.verify().ok
    assert told(project, capsys, "downgrade", "base", "--drop-data")["to"] == "none"


def test_no_database_is_a_plain_error(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "backstay.yaml").write_text("")
    for arguments in (("check",), ("upgrade",), ("backup", str(tmp_path / "b.tar"))):
        assert run(tmp_path, *arguments) == 2
        assert "no database at" in capsys.readouterr().err
    assert run(tmp_path, "restore", str(tmp_path / "backstay.yaml")) == 4
    assert "no sound backup" in capsys.readouterr().err


@ONLY_POSTGRESQL
def test_a_password_is_in_no_output(
    project: Path, database: Database, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert database.server is not None
    monkeypatch.setenv("BACKSTAY_DATABASE_URL", database.server.url_by_password(database.name, PASSWORD))
    for statement in ("GRANT SELECT ON ALL TABLES IN SCHEMA public TO rater",):
        database.server.execute(statement, database.name)
    for arguments in (
        ("check",),
        ("backup", str(project / "b.tar")),
        ("restore", str(project / "b.tar")),
        ("upgrade",),
    ):
        run(project, *arguments, "--json")
        run(project, *arguments)
        said = capsys.readouterr()
        for secret in (PASSWORD, PASSWORD.replace(":", "%3A").replace(" ", "%20")):
            assert secret not in said.out + said.err
        assert "Traceback" not in said.err and "crash" not in said.err
