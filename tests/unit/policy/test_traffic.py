import json
import sqlite3
import stat
from pathlib import Path

import pytest
from policy_texts import bundle, call, rule
from recorded_traffic import append, ledger, payload

from backstay.errors import IntegrityError, UsageError
from backstay.policy.traffic import LedgerTraffic, export_decisions, open_traffic
from backstay.records import sha256_hex
from backstay.storage import open_database
from backstay.storage.journal import head

POLICY = bundle([rule("small", "permit", "args.amount < 5")])
ROWS = [payload(POLICY, call(args={"amount": n}), f"d{n}") for n in range(4)]


def bend(path: Path, statement: str) -> None:
    """Change the journal as somebody with a shell would."""
    connection = sqlite3.connect(path)
    for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'trigger'").fetchall():
        connection.execute(f"DROP TRIGGER {name}")
    connection.execute(statement)
    connection.commit()
    connection.close()


def read(source: Path, *, verify: bool = True) -> list[str]:
    with open_traffic(source, verify=verify) as traffic:
        return [entry.payload for entry in traffic]


def test_decisions_come_in_order_with_a_proof_of_the_whole_journal(tmp_path: Path) -> None:
    path = ledger(tmp_path / "guard.db", ROWS)
    append(path, [("guard.outcome", "{}")])
    engine = open_database(path)
    with engine.connect() as connection:
        end = head(connection)
    engine.dispose()
    for verify in (True, False):
        with open_traffic(path, verify=verify) as traffic:
            assert tuple(traffic.proof) == (end.count, end.hash, verify) == (9, end.hash, verify)
            assert [entry.payload for entry in traffic] == ROWS


def test_what_is_appended_after_the_opening_is_not_read(tmp_path: Path) -> None:
    path = ledger(tmp_path / "guard.db", ROWS[:2])
    with open_traffic(path) as traffic:
        entries = iter(traffic)
        first = next(entries).payload
        append(path, [("guard.decision", ROWS[2])])
        assert [first, *(entry.payload for entry in entries)] == ROWS[:2]


def test_the_end_is_that_of_the_opening_where_the_database_keeps_no_snapshot(tmp_path: Path) -> None:
    path = ledger(tmp_path / "guard.db", ROWS[:2])
    engine = open_database(path)
    with engine.connect() as connection:
        traffic = LedgerTraffic(connection, verify=True)
        connection.rollback()
        append(path, [("guard.decision", ROWS[2])])
        assert [entry.payload for entry in traffic] == ROWS[:2]
        connection.rollback()
        bend(path, "DELETE FROM journal WHERE seq > 2")
        with pytest.raises(IntegrityError, match="ends after entry 2, not 4"):
            list(traffic)
    engine.dispose()


def test_an_empty_ledger_has_a_proof_too(tmp_path: Path) -> None:
    with open_traffic(ledger(tmp_path / "guard.db", [])) as traffic:
        assert (tuple(traffic.proof), list(traffic)) == ((0, "", True), [])


@pytest.mark.parametrize(
    ("statement", "message"),
    [
        ("UPDATE journal SET payload = replace(payload, 'allow', 'deny') WHERE seq = 4", "entry 4 .* does not match"),
        ("UPDATE journal SET kind = 'guard.decision' WHERE seq = 3", "entry 3 .* does not match"),
        ("DELETE FROM journal WHERE seq = 3", "entry 4 does not follow entry 2"),
        ("UPDATE journal SET prev_hash = hash WHERE seq = 5", "entry 5 does not follow"),
    ],
)
def test_a_changed_journal_is_refused_unless_it_is_not_verified(tmp_path: Path, statement: str, message: str) -> None:
    path = ledger(tmp_path / "guard.db", ROWS)
    bend(path, statement)
    with pytest.raises(IntegrityError, match=message):
        read(path)
    assert len(read(path, verify=False)) >= 4


def test_an_export_reads_as_the_ledger_does(tmp_path: Path) -> None:
    path, output = ledger(tmp_path / "guard.db", ROWS), tmp_path / "out.jsonl"
    count, proof = export_decisions(path, output)
    assert (count, proof.entries, proof.verified) == (4, 8, True)
    assert stat.S_IMODE(output.stat().st_mode) == 0o600
    assert read(output) == ROWS
    with open_traffic(output) as traffic:
        assert traffic.proof == proof
    again = tmp_path / "again.jsonl"
    export_decisions(output, again)
    assert again.read_bytes() == output.read_bytes()


def test_each_line_is_json_whose_hash_anyone_can_check(tmp_path: Path) -> None:
    output = tmp_path / "out.jsonl"
    export_decisions(ledger(tmp_path / "guard.db", ROWS), output)
    *lines, end = [json.loads(line) for line in output.read_text().splitlines()]
    assert end["decisions"] == len(lines) == 4
    for line, row in zip(lines, ROWS, strict=True):
        text = f'{{"kind":"guard.decision","payload":{row},"prev_hash":"{line["prev_hash"]}","seq":{line["seq"]}}}'
        assert sha256_hex(text.encode()) == line["hash"]
        assert line["payload"] == json.loads(row)


def test_an_export_that_was_not_verified_never_says_that_it_was(tmp_path: Path) -> None:
    output = tmp_path / "out.jsonl"
    export_decisions(ledger(tmp_path / "guard.db", ROWS), output, verify=False)
    with open_traffic(output) as traffic:
        assert not traffic.proof.verified


def test_a_changed_export_is_refused(tmp_path: Path) -> None:
    output = tmp_path / "out.jsonl"
    export_decisions(ledger(tmp_path / "guard.db", ROWS), output)
    lines = output.read_bytes().splitlines(keepends=True)
    for changed, message in (
        ([*lines[:2], lines[2].replace(b'"d2"', b'"d9"'), *lines[3:]], r":3: the decision does not match its hash"),
        ([lines[1], lines[0], *lines[2:]], r":2: entry \d is out of order"),
        ([lines[0], lines[0], *lines[2:]], r":2: entry \d is out of order"),
        ([*lines[:3], lines[4]], r":4: no decision as it is exported"),
        ([*lines[:4], lines[3], lines[4]], "holds more decisions than the 4"),
        ([lines[0].replace(b'{"hash"', b'{ "hash"'), *lines[1:]], ":1: no decision as it is exported"),
        ([lines[0].replace(b"guard.decision", b"guard.outcomes"), *lines[1:]], ":1: no decision as it is exported"),
        ([b"\xff" * 400 + b"\n", *lines[1:]], ":1: no decision as it is exported"),
    ):
        output.write_bytes(b"".join(changed))
        with pytest.raises(IntegrityError, match=message):
            read(output)


@pytest.mark.parametrize(
    "content", [b"", b"\n", b"{}", b"x" * 1000, b'{"decisions":-1,"entries":0,"head":"","verified":true}\n']
)
def test_what_is_neither_is_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "file"
    path.write_bytes(content)
    with pytest.raises(UsageError, match="neither a ledger nor a whole export"):
        read(path)


def test_a_cut_export_is_refused(tmp_path: Path) -> None:
    output = tmp_path / "out.jsonl"
    export_decisions(ledger(tmp_path / "guard.db", ROWS), output)
    whole = output.read_bytes()
    for size in (len(whole) - 1, len(whole) - 200, len(whole) // 2):
        output.write_bytes(whole[:size])
        with pytest.raises(UsageError, match="neither a ledger nor a whole export"):
            read(output)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no ledger or export at"):
        read(tmp_path / "none")


def test_an_export_that_fails_leaves_no_file(tmp_path: Path) -> None:
    path = ledger(tmp_path / "guard.db", ROWS)
    bend(path, "DELETE FROM journal WHERE seq = 3")
    with pytest.raises(IntegrityError):
        export_decisions(path, tmp_path / "out.jsonl")
    assert not (tmp_path / "out.jsonl").exists()
