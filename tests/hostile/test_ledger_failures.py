"""The ledger's database is locked, gone, read-only or full, or its process is killed: every caller hears of it."""

import json
import os
import shutil
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import Future
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import text

from backstay.errors import BackstayError, IntegrityError, ResourceError
from backstay.guard.ledger import Ledger
from backstay.storage import Sealer, VerifyReport, open_database, verify_journal

pytestmark = pytest.mark.hostile


def opened(folder: Path, **options: Any) -> Ledger:
    return Ledger.open(folder / "guard.db", keys_dir=folder / "keys", **options)


@pytest.fixture
def shell(tmp_path: Path) -> Iterator[sqlite3.Connection]:
    open_database(tmp_path / "guard.db", create=True).dispose()
    connection = sqlite3.connect(tmp_path / "guard.db", isolation_level=None)
    yield connection
    connection.close()


def verified(folder: Path) -> VerifyReport:
    engine = open_database(folder / "guard.db")
    try:
        return verify_journal(engine, Sealer(folder / "keys", folder / "guard.seals.jsonl").read())
    finally:
        engine.dispose()


def rows(folder: Path) -> list[dict[str, Any]]:
    with sqlite3.connect(folder / "guard.db") as connection:
        found = [json.loads(row[0]) for row in connection.execute("SELECT payload FROM journal ORDER BY seq")]
    connection.close()
    return found


def test_locked_database_fails_the_group_and_nothing_after_it(tmp_path: Path, shell: sqlite3.Connection) -> None:
    with opened(tmp_path, busy_timeout_s=0.05) as ledger:
        shell.execute("BEGIN IMMEDIATE")
        lost: list[Future[Any]] = [
            ledger.append("guard.admin", {"n": 1}),
            ledger.submit(lambda writer: writer.append("guard.admin", {})),
        ]
        for future in lost:
            with pytest.raises(ResourceError, match="locked by another process"):
                future.result(5)
        shell.execute("ROLLBACK")
        assert ledger.append("guard.admin", {"n": 2}).result(5) == 1
    assert rows(tmp_path) == [{"n": 2}]


def test_close_on_a_locked_database_fails_what_waits_at_once(tmp_path: Path, shell: sqlite3.Connection) -> None:
    ledger = opened(tmp_path, busy_timeout_s=0.2, max_batch=1)
    shell.execute("BEGIN IMMEDIATE")
    futures = [ledger.append("guard.admin", {"n": n}) for n in range(100)]
    ledger.close()
    assert all(isinstance(future.exception(0), ResourceError) for future in futures)
    shell.execute("ROLLBACK")
    assert verified(tmp_path).entries == 0


@pytest.mark.parametrize("suffix", ["", "-wal"])
@pytest.mark.parametrize("replaced", [False, True])
def test_removed_file_is_noticed_though_sqlite_goes_on_writing(tmp_path: Path, suffix: str, replaced: bool) -> None:
    ledger = opened(tmp_path)
    assert ledger.append("guard.admin", {}).result(5) == 1
    path = tmp_path / f"guard.db{suffix}"
    if replaced:
        shutil.copy(path, tmp_path / "copy")
        (tmp_path / "copy").replace(path)
    else:
        path.unlink()
    for _ in range(2):
        with pytest.raises(ResourceError, match="removed or replaced"):
            ledger.append("guard.admin", {}).result(5)
    with pytest.raises(ResourceError, match="removed or replaced"):
        ledger.close()


def test_full_database_refuses_whole_groups_and_recovers(tmp_path: Path, shell: sqlite3.Connection) -> None:
    ledger = opened(tmp_path)

    def limit(pages: int) -> None:
        ledger.submit(lambda w: w.connection.execute(text(f"PRAGMA max_page_count = {pages}")).close()).result(5)

    limit(shell.execute("PRAGMA page_count").fetchone()[0] + 2)
    futures = [ledger.append("guard.decision", {"text": "x" * 2000}) for _ in range(40)]
    kept = sum(future.exception(5) is None for future in futures)
    assert kept < 40
    with pytest.raises(ResourceError, match="no space left"):
        futures[-1].result(5)
    limit(1_000_000)
    assert ledger.append("guard.decision", {"text": "after"}).result(5) == kept + 1
    ledger.close()
    assert verified(tmp_path) == VerifyReport(entries=kept + 1, sealed_entries=kept + 1, broken=None)


def test_unit_that_meets_a_full_database_fails_the_group(tmp_path: Path, shell: sqlite3.Connection) -> None:
    with opened(tmp_path) as ledger:
        most = shell.execute("PRAGMA page_count").fetchone()[0]
        ledger.submit(lambda w: w.connection.execute(text(f"PRAGMA max_page_count = {most}")).close()).result(5)
        work = ledger.submit(lambda writer: writer.connection.execute(text("CREATE TABLE wide (x TEXT)")).close())
        with pytest.raises(BackstayError, match="no space left"):
            work.result(5)
        ledger.submit(lambda w: w.connection.execute(text("PRAGMA max_page_count = 1000000")).close()).result(5)
        assert ledger.append("guard.admin", {}).result(5) == 1
    assert verified(tmp_path).ok


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everything")
def test_read_only_file_is_refused(tmp_path: Path, shell: sqlite3.Connection) -> None:
    (tmp_path / "guard.db").chmod(0o400)
    with pytest.raises(ResourceError):
        opened(tmp_path)


def test_database_that_turns_read_only_fails_every_group(tmp_path: Path, shell: sqlite3.Connection) -> None:
    ledger = opened(tmp_path)
    ledger.submit(lambda writer: writer.connection.execute(text("PRAGMA query_only = ON")).close()).result(5)
    for _ in range(2):
        with pytest.raises(ResourceError, match="cannot read or write"):
            ledger.append("guard.admin", {}).result(5)
    ledger.close()
    assert verified(tmp_path).entries == 0


def test_rows_cut_off_while_it_runs_stop_it(tmp_path: Path, shell: sqlite3.Connection) -> None:
    ledger = opened(tmp_path)
    assert [ledger.append("guard.admin", {"n": n}).result(5) for n in range(3)] == [1, 2, 3]
    shell.execute("DROP TRIGGER journal_no_delete")
    shell.execute("DELETE FROM journal WHERE seq = 3")
    for _ in range(2):
        with pytest.raises(IntegrityError, match="entry 3 of the journal was cut off"):
            ledger.append("guard.admin", {}).result(5)
    with pytest.raises(IntegrityError, match="cut off"):
        ledger.close()
    assert [seal.count for seal in Sealer(tmp_path / "keys", tmp_path / "guard.seals.jsonl").read().seals] == [0]


def test_journal_that_differs_from_its_seal_is_not_opened(tmp_path: Path, shell: sqlite3.Connection) -> None:
    with opened(tmp_path) as ledger:
        ledger.append("guard.admin", {}).result(5)
    shell.execute("DROP TRIGGER journal_no_delete")
    shell.execute("DELETE FROM journal")
    with pytest.raises(IntegrityError, match="does not match its last seal"):
        opened(tmp_path)


def test_seal_that_cannot_be_written_stops_further_rows_until_it_can(tmp_path: Path) -> None:
    ledger = opened(tmp_path, seal_rows=2)
    seals = tmp_path / "guard.seals.jsonl"
    seals.rename(tmp_path / "aside")
    seals.mkdir()
    assert ledger.append("guard.admin", {}).result(5) == 1
    assert ledger.append("guard.admin", {}).result(5) == 2
    with pytest.raises(BackstayError):
        ledger.append("guard.admin", {}).result(5)
    seals.rmdir()
    (tmp_path / "aside").rename(seals)
    assert ledger.append("guard.admin", {}).result(5) == 3
    ledger.close()
    assert verified(tmp_path) == VerifyReport(entries=3, sealed_entries=3, broken=None)


WRITING = """
import sys
from pathlib import Path
from backstay.guard.ledger import Ledger
folder, name, rows = Path(sys.argv[1]), sys.argv[2], int(sys.argv[3])
ledger = Ledger.open(folder / "guard.db", keys_dir=folder / "keys", seal_rows=50, busy_timeout_s=30)
print("open", flush=True)
sys.stdin.readline()
for start in range(0, rows, 7):
    futures = [ledger.append("guard.decision", {"by": name, "n": start + n}) for n in range(7)]
    for number, future in enumerate(futures):
        sys.stdout.write(f"{future.result()} {start + number}\\n")
    sys.stdout.flush()
ledger.close()
print("closed", flush=True)
"""


def writer(folder: Path, name: str, rows_wanted: int) -> "subprocess.Popen[str]":
    process = subprocess.Popen(
        [sys.executable, "-c", WRITING, str(folder), name, str(rows_wanted)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "open\n"
    return process


def start(process: "subprocess.Popen[str]") -> None:
    assert process.stdin is not None
    process.stdin.write("\n")
    process.stdin.flush()


@pytest.mark.parametrize("acknowledged", [1, 40, 333])
def test_killed_in_the_middle_every_acknowledged_row_is_there(tmp_path: Path, acknowledged: int) -> None:
    process = writer(tmp_path, "killed", 1_000_000)
    start(process)
    assert process.stdout is not None
    heard = [process.stdout.readline() for _ in range(acknowledged)]
    process.send_signal(signal.SIGKILL)
    rest, _ = process.communicate()
    heard += [line + "\n" for line in rest.splitlines() if rest.endswith("\n") or line != rest.splitlines()[-1]]
    report = verified(tmp_path)
    assert report.ok
    stored = rows(tmp_path)
    assert len(stored) == report.entries >= len(heard) >= acknowledged
    for line in heard:
        seq, number = map(int, line.split())
        assert stored[seq - 1] == {"by": "killed", "n": number}
    with opened(tmp_path) as ledger:
        assert ledger.append("guard.admin", {}).result(10) == report.entries + 1
    assert verified(tmp_path).unsealed_entries == 0


def test_two_processes_share_one_chain(tmp_path: Path) -> None:
    processes = [writer(tmp_path, name, 210) for name in ("one", "two")]
    for process in processes:
        start(process)
    answers = {}
    for name, process in zip(("one", "two"), processes, strict=True):
        out, _ = process.communicate(timeout=60)
        assert out.splitlines()[-1] == "closed"
        answers[name] = [tuple(map(int, line.split())) for line in out.splitlines()[:-1]]
    stored = rows(tmp_path)
    assert verified(tmp_path) == VerifyReport(entries=420, sealed_entries=420, broken=None)
    for name, lines in answers.items():
        assert [number for _, number in lines] == list(range(210))
        assert all(stored[seq - 1] == {"by": name, "n": number} for seq, number in lines)
    assert len({seq for lines in answers.values() for seq, _ in lines}) == 420


def test_a_child_of_a_fork_is_refused(tmp_path: Path) -> None:
    code = """
import os, sys
from pathlib import Path
from backstay.errors import ResourceError
from backstay.guard.ledger import Ledger
folder = Path(sys.argv[1])
ledger = Ledger.open(folder / "guard.db", keys_dir=folder / "keys")
ledger.append("guard.admin", {}).result()
child = os.fork()
if child == 0:
    try:
        ledger.append("guard.admin", {})
    except ResourceError as error:
        os._exit(7 if "before a fork" in str(error) else 1)
    os._exit(0)
assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 7
assert ledger.append("guard.admin", {}).result() == 2
ledger.close()
"""
    subprocess.run([sys.executable, "-c", code, str(tmp_path)], check=True, timeout=60)
