"""`guard explain` and `guard audit` on a ledger that was written through the audit."""

import json
import sqlite3
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from backstay.cli.main import cli
from backstay.errors import BackstayError, IntegrityError, UsageError
from backstay.guard.audit import AuditLog
from backstay.guard.ledger import Ledger
from backstay.policy import Decision, Request
from backstay.storage import Inclusion, inclusion_fault
from backstay.storage.keys import public_keys


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Three decisions in two exchanges, an outcome, and a row of somebody else's that holds the same words."""
    with Ledger.open(tmp_path / "guard.db", keys_dir=tmp_path / "keys") as ledger:
        log = AuditLog(ledger)
        denied = Decision("deny", ("no-mail",), (), ("Mail is \x1b[31mclosed.",), (), "ab" * 32)
        allowed = Decision("allow", (), (), (), (), "ab" * 32)
        call = Request(
            point="model.tool_call", tool="send_mail", principal="ann", args={"to": "bob"}, findings={"secret": 2}
        )
        facts: dict[str, Any] = {"session": "s", "cost_us": 9}
        log.decision(call, denied, exchange="ex-1", decision_id="d-1", **facts)
        log.decision(Request(point="response.final"), allowed, exchange="ex-1", decision_id="d-2", **facts)
        log.decision(
            Request(point="model.tool_call", tool="read"), allowed, exchange="ex_1", decision_id="d-3", **facts
        )
        log.outcome("d-1", exchange="ex-1", session="s", status="refused")
        ledger.append("guard.admin", {"id": "d-1"}).result(5)
    return tmp_path


def call(folder: Path, *arguments: str, proof: bool = False) -> str:
    command = [
        "guard",
        *arguments,
        "--database",
        str(folder / "guard.db"),
        *(["--keys", str(folder / "keys")] if proof else []),
    ]
    result = CliRunner().invoke(cli, command, catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return result.output


def seqs(output: str) -> list[int]:
    value = json.loads(output)
    return [row["seq"] for row in (value["rows"] if isinstance(value, dict) else value)]


def test_a_decision_is_explained_with_its_outcome(folder: Path) -> None:
    text = call(folder, "explain", "d-1")
    lines = [line.split(maxsplit=1) for line in text.splitlines()]
    for name, value in (
        ("tool", "send_mail"),
        ("effect", "deny"),
        ("rules", "no-mail"),
        ("reasons", r"Mail is \x1b[31mclosed."),
        ("findings", '{"secret": 2}'),
        ("args_shape", '{"to": "string"}'),
        ("policy", "ab" * 32),
        ("status", "refused"),
        ("decision", "d-1"),
    ):
        assert [name, value] in lines
    assert text.count("entry ") == 2
    assert "\x1b" not in text


def test_an_exchange_and_an_id_are_found_exactly(folder: Path) -> None:
    assert seqs(call(folder, "explain", "ex-1", "--json")) == [1, 2, 4]
    assert seqs(call(folder, "explain", "ex_1", "--json")) == [3]
    assert seqs(call(folder, "explain", "d-1", "--json")) == [1, 4]
    assert "rules          -" in call(folder, "explain", "d-2")


@pytest.mark.parametrize("unknown", ["d", "d-9", "%", "send_mail", "", 'a"b'])
def test_an_unknown_id_says_so(folder: Path, unknown: str) -> None:
    with pytest.raises(UsageError, match="holds no decision or exchange"):
        call(folder, "explain", unknown)


def test_an_entry_stands_for_its_exchange(folder: Path) -> None:
    assert seqs(call(folder, "explain", "2", "--json")) == seqs(call(folder, "explain", "ex-1", "--json")) == [1, 2, 4]


def test_each_row_can_be_proven_without_the_database(folder: Path) -> None:
    rows = json.loads(call(folder, "explain", "ex-1", "--json", "--proof", proof=True))["rows"]
    keys = public_keys(folder / "keys")
    for row in rows:
        assert row["proof"]["holds"]
        found = Inclusion.model_validate(row["proof"]["inclusion"])
        assert inclusion_fault(found, keys) is None
        assert json.loads(found.body) == row["payload"]
        assert (found.index, found.size) == (row["seq"] - 1, 5)
    text = call(folder, "explain", "d-1", "--proof", proof=True)
    assert "leaf 0 of 5 under root" in text
    assert "whose signature holds" in text


def test_a_row_that_was_changed_has_no_proof(folder: Path) -> None:
    with sqlite3.connect(folder / "guard.db") as connection:
        connection.execute("DROP TRIGGER journal_no_update")
        connection.execute("UPDATE journal SET payload = replace(payload, 'no-mail', 'no-sale') WHERE seq = 1")
    connection.close()
    assert "proof          none: the entry is not under the seal's root" in call(
        folder, "explain", "d-1", "--proof", proof=True
    )


def test_the_newest_decisions_come_first_and_can_be_chosen(folder: Path) -> None:
    assert seqs(call(folder, "audit", "--json")) == [3, 2, 1]
    assert seqs(call(folder, "audit", "--json", "--limit", "1")) == [3]
    assert seqs(call(folder, "audit", "--json", "--effect", "deny")) == [1]
    assert seqs(call(folder, "audit", "--json", "--tool", "read")) == [3]
    assert seqs(call(folder, "audit", "--json", "--rule", "no-mail", "--session-id", "s")) == [1]
    assert seqs(call(folder, "audit", "--json", "--session-id", "t")) == []
    assert "send_mail" in call(folder, "audit")


def test_a_damaged_row_is_named(folder: Path) -> None:
    with sqlite3.connect(folder / "guard.db") as connection:
        connection.execute("DROP TRIGGER journal_no_update")
        connection.execute("""UPDATE journal SET payload = '["d-2"]' WHERE seq = 2""")
    connection.close()
    for arguments in (("explain", "d-2"), ("audit",)):
        with pytest.raises(IntegrityError, match=r"entry 2 \(guard.decision\) is damaged"):
            call(folder, *arguments)


def test_a_database_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(BackstayError, match="no database at"):
        call(tmp_path, "audit")
