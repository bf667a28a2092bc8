"""Somebody with a shell to the database, but without the signing key, bends the feedback."""

import base64
import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from databases import ONLY_SQLITE, Database

from backstay.errors import IntegrityError
from backstay.records import (
    Choice,
    Judgment,
    Message,
    Prompt,
    Rater,
    Response,
    Retraction,
    Task,
    canonical_json,
    sha256_hex,
)
from backstay.storage import Store, VerifyReport
from backstay.storage.journal import entry_hash
from backstay.storage.keys import signing_key

pytestmark = pytest.mark.hostile
FIRST = 5
"""Seq of the first judgment: four batches of other records come before."""


@pytest.fixture
def store(tmp_path: Path, database: Database) -> Iterator[Store]:
    """Ten judgments, sealed after the fifth and after the tenth: entries 5 to 14."""
    prompt = Prompt.make((Message(role="user", content="Question"),), source="test")
    answers = [Response.make(prompt.id, text, policy="test") for text in ("Yes.", "No.")]
    task = Task.make(prompt.id, (answers[0].id, answers[1].id), gold=0)
    with Store(tmp_path, create=True) as opened:
        with opened.repository.batch() as batch:
            batch.add_prompts("demo", [prompt])
            batch.add_responses("demo", answers)
            batch.add_tasks("demo", [task])
            batch.add_raters("demo", [Rater(id="ann", display_name="Ann"), Rater(id="eve", display_name="Eve")])
        for start in (0, 5):
            made = [
                Judgment(
                    id=f"j{number}",
                    task_id=task.id,
                    rater_id="ann",
                    order_shown=(0, 1),
                    choice=Choice.prefer(0, 1),
                    created_at="2026-01-01T00:00:00+00:00",
                )
                for number in range(start, start + 5)
            ]
            opened.repository.append_judgments("demo", made)
        assert opened.verify() == VerifyReport(entries=14, sealed_entries=14, broken=None)
        yield opened


class Shell:
    """The attacker's shell: no foreign keys, no triggers."""

    def __init__(self, database: Database) -> None:
        self._connection = database.connect()
        self._mark = "?" if database.server is None else "%s"

    def run(self, statement: str, *values: object) -> list[tuple[object, ...]]:
        cursor = self._connection.cursor()
        cursor.execute(statement.replace("?", self._mark), values)
        return cursor.fetchall() if cursor.description else []

    def close(self) -> None:
        self._connection.close()


@pytest.fixture
def shell(store: Store, database: Database) -> Iterator[Shell]:
    opened = Shell(database)
    yield opened
    opened.close()


def broken(store: Store) -> str:
    report = store.verify()
    assert not report.ok
    assert report.broken is not None
    return report.broken


def rechain(shell: Shell, start: int) -> None:
    """Recompute hashes from `start` on, in journal and judgments, as somebody who read our documentation would."""
    [(previous,)] = shell.run("SELECT hash FROM journal WHERE seq = ?", start - 1)
    for seq, kind, payload in shell.run("SELECT seq, kind, payload FROM journal WHERE seq >= ? ORDER BY seq", start):
        assert isinstance(seq, int)
        found = entry_hash(seq, str(kind), str(payload), str(previous))
        shell.run("UPDATE journal SET prev_hash = ?, hash = ? WHERE seq = ?", previous, found, seq)
        shell.run("UPDATE judgments SET prev_hash = ?, hash = ? WHERE seq = ?", previous, found, seq)
        previous = found


FLIP = "replace({}, '[[0],[1]]', '[[1],[0]]')"


def flip(shell: Shell, seq: int) -> None:
    shell.run(f"UPDATE journal SET payload = {FLIP.format('payload')} WHERE seq = ?", seq)
    shell.run(f"UPDATE judgments SET record = {FLIP.format('record')} WHERE seq = ?", seq)


def test_edited_entry(store: Store, shell: Shell) -> None:
    flip(shell, 7)
    assert broken(store) == "entry 7 (judgment j2): content does not match its hash"


@ONLY_SQLITE
@pytest.mark.parametrize("column", ["kind", "payload"])
def test_entry_that_is_no_text(store: Store, shell: Shell, column: str) -> None:
    shell.run(f"UPDATE journal SET {column} = x'00ff' WHERE seq = 7")
    assert broken(store).startswith("entry 7 (")


def test_edited_entry_with_its_own_hash_recomputed(store: Store, shell: Shell) -> None:
    flip(shell, 7)
    [(payload, previous)] = shell.run("SELECT payload, prev_hash FROM journal WHERE seq = 7")
    found = entry_hash(7, "judgment", str(payload), str(previous))
    shell.run("UPDATE journal SET hash = ? WHERE seq = 7", found)
    shell.run("UPDATE judgments SET hash = ? WHERE seq = 7", found)
    assert broken(store) == "entry 8 (judgment j3): does not follow the entry before it"


def test_whole_chain_recomputed_is_found_by_the_seal(store: Store, shell: Shell) -> None:
    flip(shell, 12)
    rechain(shell, 12)
    assert broken(store) == (
        "entry 14 (judgment j9): hash is not the sealed one: something in entries 10 to 14 was rewritten"
    )


def test_row_edited_in_the_judgments_table_only(store: Store, shell: Shell) -> None:
    shell.run(f"UPDATE judgments SET record = {FLIP.format('record')} WHERE id = 'j4'")
    assert broken(store) == "entry 9 (judgment j4): its row in the judgments table (now 'j4') was changed"


@pytest.mark.parametrize(
    "change", ["rater_id = 'eve'", "id = 'jx'", "dataset = 'other'", "hash = 'x'", "prev_hash = ''"]
)
def test_column_edited_in_the_judgments_table_only(store: Store, shell: Shell, change: str) -> None:
    shell.run(f"UPDATE judgments SET {change} WHERE id = 'j4'")
    assert broken(store).startswith("entry 9 (judgment j4): its row in the judgments table")


@pytest.mark.parametrize("tables", [("journal", "judgments"), ("journal",)])
def test_deleted_entry(store: Store, shell: Shell, tables: tuple[str, ...]) -> None:
    for table in tables:
        shell.run(f"DELETE FROM {table} WHERE seq = 8")
    named = " (judgment 'j3' still stands in its table)" if tables == ("journal",) else ""
    assert broken(store) == f"entry 8 missing{named}"


def test_row_deleted_from_the_judgments_table_only(store: Store, shell: Shell) -> None:
    shell.run("DELETE FROM judgments WHERE id = 'j3'")
    assert broken(store) == "entry 8 (judgment j3): its row in the judgments table is missing"


def test_deleted_and_renumbered(store: Store, shell: Shell) -> None:
    for table in ("journal", "judgments"):
        shell.run(f"DELETE FROM {table} WHERE seq = 8")
        for seq in range(9, 15):
            shell.run(f"UPDATE {table} SET seq = ? WHERE seq = ?", seq - 1, seq)
    assert broken(store) == "entry 8 (judgment j4): does not follow the entry before it"
    rechain(shell, 8)
    assert broken(store).startswith("entry 9 (judgment j5): hash is not the sealed one: something in entries 5 to 9")


@pytest.mark.parametrize("everything", [False, True])
def test_two_entries_swapped(store: Store, shell: Shell, everything: bool) -> None:
    for table in ("journal", "judgments"):
        for old, new in ((7, -1), (8, 7), (-1, 8)):
            shell.run(f"UPDATE {table} SET seq = ? WHERE seq = ?", new, old)
    if everything:
        rechain(shell, 7)
        assert broken(store).startswith("entry 9 (judgment j4): hash is not the sealed one")
    else:
        assert broken(store) == "entry 7 (judgment j3): does not follow the entry before it"


@pytest.mark.parametrize("first_cut", [14, 12, 10, 6, 1])
def test_cut_tail(store: Store, shell: Shell, first_cut: int) -> None:
    for table in ("judgments", "journal"):
        shell.run(f"DELETE FROM {table} WHERE seq >= ?", first_cut)
    which = "entry 14" if first_cut == 14 else f"entries {first_cut} to 14"
    assert broken(store) == f"{which} missing: the tail was cut, the last seal counts 14 entries"


def test_tail_cut_in_the_journal_only(store: Store, shell: Shell) -> None:
    shell.run("DELETE FROM journal WHERE seq = 14")
    assert "entry 14 missing (judgment 'j9' still stands in its table)" in broken(store)


def test_nothing_is_appended_behind_a_cut_tail(store: Store, shell: Shell) -> None:
    for table in ("judgments", "journal"):
        shell.run(f"DELETE FROM {table} WHERE seq >= 13")
    with pytest.raises(IntegrityError, match="the journal does not match its last seal"):
        store.repository.add_review("pair-1", "release", "Ann", "fine")
    assert store.repository.reviews() == []


def test_entry_put_before_the_first(store: Store, shell: Shell) -> None:
    shell.run("INSERT INTO journal VALUES (0, 'note', '{}', '', 'x')")
    assert broken(store).startswith("entry 0 (note): does not follow")


def test_judgment_smuggled_into_the_table(store: Store, shell: Shell) -> None:
    columns = "dataset, 'jx', 99, record, task_id, rater_id, prev_hash, hash"
    shell.run(f"INSERT INTO judgments SELECT {columns} FROM judgments WHERE id = 'j0'")
    assert broken(store) == "judgments row 'jx' has no journal entry"


def test_forged_judgment_appended_to_chain_and_table_is_only_an_unsealed_tail(store: Store, shell: Shell) -> None:
    """What a chain without a signature cannot show, and why the report counts unsealed entries."""
    [(payload, previous)] = shell.run("SELECT payload, hash FROM journal WHERE seq = 14")
    forged = str(payload).replace('"j9"', '"jx"')
    found = entry_hash(15, "judgment", forged, str(previous))
    record = json.dumps(json.loads(forged)["judgment"], separators=(",", ":"), sort_keys=True)
    shell.run("INSERT INTO journal VALUES (15, 'judgment', ?, ?, ?)", forged, previous, found)
    columns = "dataset, 'jx', 15, ?, task_id, rater_id, ?, ?"
    shell.run(f"INSERT INTO judgments SELECT {columns} FROM judgments WHERE id = 'j9'", record, previous, found)
    assert store.verify() == VerifyReport(entries=15, sealed_entries=14, broken=None)


@pytest.mark.parametrize(
    ("statement", "complaint"),
    [
        (
            "UPDATE tasks SET record = replace(record, '\"gold\":0', '\"gold\":1')",
            "entry 3 (records tasks): one of the 1",
        ),
        ("UPDATE prompts SET split = 'heldout'", "entry 1 (records prompts): prompts row 'prompt-"),
        ("UPDATE raters SET id = 'ann2' WHERE id = 'ann'", "entry 4 (records raters): raters row 'ann2' was changed"),
        ("UPDATE raters SET dataset = 'x' WHERE id = 'ann'", "entry 4 (records raters): raters row 'ann' was changed"),
        ("DELETE FROM raters WHERE id = 'eve'", "entry 4 (records raters): raters holds 1 of the 2 rows"),
        ("INSERT INTO raters VALUES ('demo', 'bob', 4, '{\"id\":\"bob\"}')", "raters holds 3 of the 2 rows"),
        ("INSERT INTO raters VALUES ('demo', 'bob', 7, '{\"id\":\"bob\"}')", "raters row 'bob' has no journal entry"),
        ("UPDATE raters SET record = 'x'", "raters row 'ann' was changed"),
    ],
)
def test_other_records_are_vouched_for_too(store: Store, shell: Shell, statement: str, complaint: str) -> None:
    shell.run(statement)
    assert complaint in broken(store)


@pytest.mark.parametrize("value", ["'[' || payload", "'[[[['", "''", "'{\"judgment\":7}'"])
def test_odd_payloads_are_broken_entries_not_crashes(store: Store, shell: Shell, value: str) -> None:
    shell.run(f"UPDATE journal SET payload = {value} WHERE seq = 7")
    assert broken(store).startswith("entry 7 (judgment")


@ONLY_SQLITE
def test_records_and_payloads_that_are_no_text(store: Store, shell: Shell) -> None:
    shell.run("UPDATE raters SET record = CAST(record AS BLOB)")
    assert "raters row 'ann' was changed" in broken(store)
    shell.run("UPDATE journal SET payload = CAST(payload AS BLOB) WHERE seq = 3")
    assert broken(store).startswith("entry 3 (records")


@ONLY_SQLITE
def test_text_that_is_not_utf8_is_an_integrity_error(store: Store, shell: Shell) -> None:
    shell.run("UPDATE journal SET payload = CAST(x'ff' AS TEXT) WHERE seq = 7")
    with pytest.raises(IntegrityError, match="is damaged"):
        store.verify()


def seal_lines(store: Store) -> list[bytes]:
    return store.sealer.seal_path.read_bytes().splitlines(keepends=True)


def test_missing_seal_file(store: Store) -> None:
    store.sealer.seal_path.unlink()
    assert "cannot show that nothing was cut" in broken(store)
    store.sealer.seal_path.touch()
    assert broken(store) == "the seal file is empty; this cannot show that nothing was cut"


def test_last_seals_removed_leaves_a_tail_that_is_reported(store: Store) -> None:
    store.sealer.seal_path.write_bytes(b"".join(seal_lines(store)[:-1]))
    assert store.verify() == VerifyReport(entries=14, sealed_entries=9, broken=None)


def test_first_seal_removed(store: Store) -> None:
    store.sealer.seal_path.write_bytes(b"".join(seal_lines(store)[1:]))
    assert "seal 1: does not follow the seal before it" in broken(store)


def test_seals_swapped(store: Store) -> None:
    first, second, third = seal_lines(store)
    store.sealer.seal_path.write_bytes(first + third + second)
    assert "seal 2: does not follow the seal before it" in broken(store)


def forge(line: bytes, count: int) -> bytes:
    value = json.loads(line)
    value["statement"]["count"] = count
    return canonical_json(value) + b"\n"


def test_forged_count_to_hide_a_cut_tail(store: Store, shell: Shell) -> None:
    for table in ("judgments", "journal"):
        shell.run(f"DELETE FROM {table} WHERE seq >= 13")
    lines = seal_lines(store)
    store.sealer.seal_path.write_bytes(b"".join(lines[:-1]) + forge(lines[-1], 12))
    assert "seal 3: has a forged or damaged signature" in broken(store)


def test_seal_signed_with_another_key(store: Store, tmp_path: Path) -> None:
    lines = seal_lines(store)
    key = signing_key(tmp_path / "attacker")
    value = json.loads(lines[-1])
    value["signature"] = base64.b64encode(key.sign(canonical_json(value["statement"]))).decode()
    store.sealer.seal_path.write_bytes(b"".join(lines[:-1]) + canonical_json(value) + b"\n")
    assert "seal 3: has a forged or damaged signature" in broken(store)
    value["statement"]["key"] = sha256_hex(b"attacker")
    store.sealer.seal_path.write_bytes(b"".join(lines[:-1]) + canonical_json(value) + b"\n")
    assert "which is not among the project's public keys" in broken(store)


@pytest.mark.parametrize(
    "line", [b"\n", b"{}\n", b"[1]\n", b"\xff\xfe\n", b"[" * 50_000 + b"\n", b'{"statement":{}}\n']
)
def test_garbage_in_the_seal_file(store: Store, line: bytes) -> None:
    with store.sealer.seal_path.open("ab") as file:
        file.write(line)
    assert "seal 4: is not a seal" in broken(store)
    with pytest.raises(IntegrityError, match="does not match its last seal"):
        store.repository.add_review("pair-1", "release", "Ann", "fine")


def test_retractions_are_walked_in_step_with_the_journal(store: Store, shell: Shell) -> None:
    made = [
        Retraction(id=f"r{n}", judgment_id=f"j{n}", rater_id="ann", created_at="2026-01-01T00:00:00+00:00")
        for n in range(3)
    ]
    store.repository.append_retractions("demo", made)
    assert store.verify() == VerifyReport(entries=17, sealed_entries=17, broken=None)
    shell.run("UPDATE retractions SET judgment_id = 'j9' WHERE id = 'r1'")
    assert broken(store) == "entry 16 (retraction r1): its row in the retractions table (now 'r1') was changed"
    shell.run("DELETE FROM retractions WHERE id = 'r1'")
    assert broken(store) == "entry 16 (retraction r1): its row in the retractions table is missing"
    record = made[1].to_json()
    shell.run("INSERT INTO retractions VALUES ('demo', 'r1', 16, ?, 'j1', 'ann')", record)
    assert store.verify().ok
    shell.run("INSERT INTO retractions VALUES ('demo', 'r8', 40, ?, 'j8', 'ann')", record)
    assert broken(store) == "retractions row 'r8' has no journal entry"
