import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from kept_traffic import AT_MS, decided, said

from backstay.errors import UsageError
from backstay.guard.harvest import HarvestStore, Turn
from backstay.guard.harvest.defences import Bounds
from backstay.guard.harvest.folder import Harvest
from backstay.guard.ledger import Ledger
from backstay.records import file_sha256
from backstay.storage.journal import read_entries

MAIL = "maria.keller@firma-nord.de"
NOW_MS = AT_MS + 1000


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[Ledger]:
    with Ledger.open(tmp_path / "guard.db", keys_dir=tmp_path / "keys") as opened:
        yield opened


@pytest.fixture
def store(ledger: Ledger) -> HarvestStore:
    store = HarvestStore(ledger)
    store.keep(said(1, "how?", "like this", effect="deny")).result(5)
    store.keep(said(2, "what?", "that", effect="deny", principal="bob")).result(5)
    return store


def lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_a_harvest_says_what_it_is_and_the_journal_knows_of_it(
    tmp_path: Path, ledger: Ledger, store: HarvestStore
) -> None:
    report = Harvest().write(store, tmp_path / "out", NOW_MS)
    manifest = json.loads((tmp_path / "out" / "manifest.json").read_text())
    assert report.counts == {
        "suspect_thumbs": 0,
        "tasks.jsonl": 2,
        "prompts.jsonl": 0,
        "redteam.jsonl": 2,
        "policy_tests.yaml": 4,
    }
    assert manifest["taken"] == [said(1, "").exchange, said(2, "").exchange]
    for name, digest in manifest["files"].items():
        assert digest == file_sha256(tmp_path / "out" / name)
    with ledger.read() as connection:
        last = [json.loads(entry.payload) for entry in read_entries(connection, "guard.harvest")][-1]
    assert (last["event"], last["exchanges"]) == ("harvested", 2)
    assert last["files"] == manifest["files"] | {"manifest.json": file_sha256(tmp_path / "out" / "manifest.json")}


@pytest.mark.parametrize(
    ("kind", "files"),
    [
        ("tasks", {"tasks.jsonl", "prompts.jsonl", "manifest.json"}),
        ("redteam", {"redteam.jsonl", "policy_tests.yaml", "manifest.json"}),
    ],
)
def test_only_what_is_asked_for_is_written(tmp_path: Path, store: HarvestStore, kind: Any, files: set[str]) -> None:
    Harvest(kind).write(store, tmp_path / "out", NOW_MS)
    assert {path.name for path in (tmp_path / "out").iterdir()} == files


def test_since(tmp_path: Path, store: HarvestStore) -> None:
    report = Harvest(since_ms=AT_MS + 2).write(store, tmp_path / "out", NOW_MS)
    assert (report.exchanges, report.principals) == (1, 1)


def test_a_folder_that_holds_something_is_left_alone(tmp_path: Path, store: HarvestStore) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "x").write_text("mine")
    with pytest.raises(UsageError, match="is not empty"):
        Harvest().write(store, tmp_path / "out", NOW_MS)
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["x"]


def test_too_few_principals(tmp_path: Path, store: HarvestStore) -> None:
    with pytest.raises(UsageError, match="2 principals stand behind what is kept, fewer than 3"):
        Harvest(bounds=Bounds(min_principals=3)).write(store, tmp_path / "out", NOW_MS)
    assert not (tmp_path / "out").exists()


def test_what_slipped_through_the_redaction_is_in_no_file(tmp_path: Path, store: HarvestStore) -> None:
    """Kept as it was said, as a redaction with a fault would: every record with it is dropped and counted."""
    store.keep(said(3, f"mail {MAIL}", "yes, really so", effect="deny")).result(5)
    store.keep(said(4, "who is it?", f"it is {MAIL}", effect="deny")).result(5)
    turns = (Turn(role="user", text="hello"), Turn(role="tool", text=MAIL, tool="look"))
    store.keep(said(5, "hello", "hello, you there", effect="deny", turns=turns)).result(5)
    call = decided("model.tool_call", "deny", args={"source": {"id": MAIL}}, tool="t")
    store.keep(said(6, "pay", effect="deny", decisions=(call,))).result(5)
    report = Harvest().write(store, tmp_path / "out", NOW_MS)
    assert MAIL.encode() not in b"".join(path.read_bytes() for path in (tmp_path / "out").iterdir())
    assert report.counts["tasks.jsonl"] == report.counts["redteam.jsonl"] == 2
    assert report.left_out["unclean"] >= 5
    assert {case["text"] for case in lines(tmp_path / "out" / "redteam.jsonl")} == {"like this", "that"}
