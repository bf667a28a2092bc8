"""A backup of either database restores into either, with the same digests; what stood there is kept."""

import io
import os
import sqlite3
import stat
import tarfile
import threading
import tracemalloc
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from databases import ONLY_POSTGRESQL, ONLY_SQLITE, Database
from sqlalchemy import text

from backstay.errors import IntegrityError, ResourceError, UsageError
from backstay.records import Demonstration, Retraction
from backstay.storage import Store, open_database
from backstay.storage.archived_rows import CHUNK_BYTES, chunks, columns_of, rows_of
from backstay.storage.backup import write_backup
from backstay.storage.journal import head
from backstay.storage.restore import restore_backup, verify_backup
from backstay.storage.tables import metadata

if TYPE_CHECKING:
    from databases import Server
    from tests.unit.storage.conftest import Rows

ODD = 'a "quote", a \\ backslash, a tab\t, a line\nbreak, \u2028, é, 中, \U0001f600, \\N, \\.'


@pytest.fixture
def filled(store: Store, rows: "Rows") -> Store:
    """A store with every kind of record, odd texts, and rows of tables that the journal does not vouch for."""
    repository = store.repository
    judged = [row.model_copy(update={"rationale": ODD}) for row in rows.judgments(5)]
    repository.append_judgments("demo", judged)
    taken = Retraction(id="r", judgment_id="judgment-1", rater_id="ann", reason=ODD, created_at="2026-01-01T00:00:00Z")
    repository.append_retractions("demo", [taken])
    repository.add_demonstrations("demo", [Demonstration(prompt=rows.prompts[0], text=ODD, source="test")])
    repository.add_review("pair-1", "release", "Ann", ODD)
    with store.engine.begin() as connection:
        connection.execute(
            metadata.tables["kept_answers"].insert(),
            {
                "exchange": "e1",
                "principal": "me",
                "request_digest": "x",
                "approvals": "[]",
                "sealed": bytes(range(256)),
            },
        )
        for number in (1, 2, 3):
            connection.execute(
                metadata.tables["approval_outbox"].insert(),
                {"event_id": f"e{number}", "target": "t", "body": ODD, "attempts": 0, "last_error": ""},
            )
    return store


def contents(store: Store) -> dict[str, list[tuple[object, ...]]]:
    """Every row of every table."""
    found = {}
    with store.engine.connect() as connection:
        for table in metadata.sorted_tables:
            rows = [tuple(row) for row in connection.execute(table.select())]
            found[table.name] = sorted(rows, key=repr)
    return found


KNOWN_SIZE = {
    "sqlite": "SELECT CAST(stat AS INTEGER) FROM sqlite_stat1 WHERE tbl = 'judgments'",
    "postgresql": "SELECT CAST(reltuples AS INTEGER) FROM pg_class WHERE oid = to_regclass('judgments')",
}
"""How many judgments the database believes that it holds, by which it chooses between indexes."""


def elsewhere(kind: str, tmp_path: Path, request: pytest.FixtureRequest) -> str:
    if kind == "sqlite":
        return f"sqlite:///{tmp_path}/fresh/.backstay/backstay.db"
    server: Server = request.getfixturevalue("postgresql_server")
    return server.url(server.new_database(empty=True))


@pytest.mark.parametrize("target", ["sqlite", "postgresql"])
def test_what_is_restored_is_what_was_saved(
    filled: Store, tmp_path: Path, target: str, request: pytest.FixtureRequest
) -> None:
    saved, report = contents(filled), filled.verify()
    manifest = write_backup(filled, tmp_path / "b.tar")
    url, folder = elsewhere(target, tmp_path, request), tmp_path / "fresh" / ".backstay"
    restored = restore_backup(tmp_path / "b.tar", folder, url)
    assert (restored.kept, restored.is_known_key) == ("", False)
    assert manifest.source == filled.engine.dialect.name
    with Store(tmp_path / "fresh", url=url) as store:
        assert contents(store) == saved
        assert store.repository.dataset_digest("demo") == filled.repository.dataset_digest("demo")
        assert store.verify() == report and report.ok
        with store.engine.connect() as there, filled.engine.connect() as here:
            assert head(there) == head(here)
            assert there.execute(text(KNOWN_SIZE[target])).scalars().first() == len(saved["judgments"])
        # Numbers go on behind the restored ones, and triggers are there again.
        with store.engine.begin() as connection:
            done = connection.execute(
                metadata.tables["approval_outbox"].insert(),
                {"event_id": "e4", "target": "t", "body": "", "attempts": 0, "last_error": ""},
            )
            assert done.inserted_primary_key == (4,)
        with pytest.raises(Exception, match="append-only"), store.engine.begin() as connection:
            connection.execute(text("DELETE FROM judgments"))
        store.repository.add_review("pair-2", "release", "Ann", "fine")
        assert store.verify().ok
    assert not list(folder.glob(".restoring-*"))


def test_a_backup_is_one_snapshot_while_others_append(filled: Store, tmp_path: Path, rows: "Rows") -> None:
    going, stop = threading.Event(), threading.Event()

    def write() -> None:
        number = 100
        while not stop.is_set() and number < 400:
            with Store(tmp_path) as other:
                other.repository.append_judgments("demo", [rows.judgment(number)])
            number += 1
            going.set()

    writer = threading.Thread(target=write)
    writer.start()
    going.wait(20)
    manifests = [write_backup(filled, tmp_path / f"{number}.tar") for number in range(2)]
    stop.set()
    writer.join()
    for number, manifest in enumerate(manifests):
        assert verify_backup(tmp_path / f"{number}.tar", filled.sealer.keys_dir).manifest == manifest
    assert manifests[0].entries <= manifests[1].entries <= filled.verify().entries
    assert filled.verify().ok


def test_private_keys_are_in_it_only_on_demand_and_the_file_is_private(filled: Store, tmp_path: Path) -> None:
    plain, whole = tmp_path / "plain.tar", tmp_path / "whole.tar"
    write_backup(filled, plain)
    write_backup(filled, whole, with_keys=True)
    assert stat.S_IMODE(plain.stat().st_mode) == stat.S_IMODE(whole.stat().st_mode) == 0o600
    with tarfile.open(plain) as one, tarfile.open(whole) as other:
        public = [name for name in one.getnames() if name.startswith("keys/")]
        assert all(name.endswith(".pub") for name in public) and public
        assert sorted(set(other.getnames()) - set(one.getnames())) == ["keys/journal.pem"]
    pem = (filled.sealer.keys_dir / "journal.pem").read_bytes()
    assert pem not in plain.read_bytes() and pem in whole.read_bytes()
    url = f"sqlite:///{tmp_path}/fresh/.backstay/backstay.db"
    restore_backup(whole, tmp_path / "fresh" / ".backstay", url)
    key = tmp_path / "fresh" / ".backstay" / "keys" / "journal.pem"
    assert key.read_bytes() == pem and stat.S_IMODE(key.stat().st_mode) == 0o600
    with pytest.raises(UsageError, match="exists already"):
        write_backup(filled, plain)


def test_a_target_with_rows_is_replaced_only_by_force_and_kept(
    filled: Store, tmp_path: Path, rows: "Rows", database: Database
) -> None:
    write_backup(filled, tmp_path / "b.tar")
    before = contents(filled)
    filled.repository.append_judgments("demo", [rows.judgment(77)])
    later, folder = contents(filled), tmp_path / ".backstay"
    later_seals = filled.sealer.seal_path.read_bytes()
    filled.close()
    with pytest.raises(UsageError, match="holds rows of .* already"):
        restore_backup(tmp_path / "b.tar", folder, database.url)
    with Store(tmp_path) as store:
        assert contents(store) == later
    kept = restore_backup(tmp_path / "b.tar", folder, database.url, force=True).kept
    with Store(tmp_path) as store:
        assert contents(store) == before and store.verify().ok
        with store.engine.connect() as connection:
            if database.server is not None:
                schema = kept.removeprefix("schema ")
                query = text(f"SELECT count(*) FROM {schema}.judgments")
                assert connection.execute(query).scalar_one() == len(later["judgments"])
    if database.server is None:
        old = open_database(kept)
        with old.connect() as connection:
            assert len(connection.execute(text("SELECT * FROM judgments")).all()) == len(later["judgments"])
        old.dispose()
    [seals] = folder.glob("*.seals.jsonl.before-*")
    assert seals.read_bytes() == later_seals


@ONLY_SQLITE
def test_a_file_that_others_have_open_is_not_replaced(filled: Store, tmp_path: Path, database: Database) -> None:
    write_backup(filled, tmp_path / "b.tar")
    filled.close()
    reader = sqlite3.connect(tmp_path / ".backstay" / "backstay.db", isolation_level=None)
    reader.execute("BEGIN")
    reader.execute("SELECT count(*) FROM journal").fetchall()
    with pytest.raises(ResourceError, match="is in use"):
        restore_backup(tmp_path / "b.tar", tmp_path / ".backstay", database.url, force=True)
    reader.close()
    assert filled.verify().ok
    assert not list((tmp_path / ".backstay").glob("*before*"))


@ONLY_POSTGRESQL
def test_a_restore_that_fails_leaves_no_schema_behind(
    filled: Store, tmp_path: Path, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_backup(filled, tmp_path / "b.tar")
    before = contents(filled)

    def broken(*_: object) -> None:
        raise IntegrityError("what the backup holds is broken")

    monkeypatch.setattr("backstay.storage.restore._verify", broken)
    with pytest.raises(IntegrityError):
        restore_backup(tmp_path / "b.tar", tmp_path / ".backstay", database.url, force=True)
    assert database.server is not None
    names = database.server.execute("SELECT nspname FROM pg_namespace WHERE nspname LIKE 'backstay%'", database.name)
    assert names == [] and contents(filled) == before


def test_an_unsealed_journal_is_saved_and_restored(store: Store, tmp_path: Path) -> None:
    store.sealer.seal_path.unlink()
    write_backup(store, tmp_path / "b.tar")
    assert verify_backup(tmp_path / "b.tar", store.sealer.keys_dir).manifest.entries == 4


def test_a_broken_source_gives_a_backup_that_does_not_verify(filled: Store, tmp_path: Path, database: Database) -> None:
    bent = database.connect()
    bent.cursor().execute("UPDATE judgments SET rater_id = 'bob' WHERE id = 'judgment-3'")
    bent.close()
    write_backup(filled, tmp_path / "b.tar")
    with pytest.raises(IntegrityError, match="what the backup holds is broken: .*'judgment-3'.* was changed"):
        verify_backup(tmp_path / "b.tar", filled.sealer.keys_dir)


def test_a_stranger_s_backup_needs_their_key_named(filled: Store, tmp_path: Path, database: Database) -> None:
    with Store(tmp_path / "other", create=True, url=database.another()) as other:
        other.repository.add_review("pair-1", "release", "Eve", "mine")
        write_backup(other, tmp_path / "eve.tar")
    keys = filled.sealer.keys_dir
    with pytest.raises(
        IntegrityError, match="not among the trusted ones\n  cure: .*--trust-key ([0-9a-f]{64})"
    ) as told:
        verify_backup(tmp_path / "eve.tar", keys)
    key = str(told.value).split()[-1]
    assert verify_backup(tmp_path / "eve.tar", keys, key).key == key
    with pytest.raises(IntegrityError, match="not among the trusted ones"):
        verify_backup(tmp_path / "eve.tar", keys, "0" * 64)


def test_every_table_can_be_saved() -> None:
    for table in metadata.sorted_tables:
        assert len(columns_of(table)) == len(table.columns)


def test_rows_are_cut_into_pieces_and_come_back() -> None:
    rows = [(f"x{number}" * 1000, number, None, b"\0\xff", 0.1) for number in range(9000)]
    columns = (("a", "text"), ("b", "integer"), ("c", "text"), ("d", "bytes"), ("e", "real"))
    pieces = list(chunks(iter(rows), "t"))
    assert len(pieces) > 5 and max(map(len, pieces)) <= CHUNK_BYTES
    assert [row for piece in pieces for row in rows_of(piece, columns, "p")] == rows


@pytest.mark.parametrize("line", [b"[1]", b'["x"]', b"[true]", b"[[1]]", b'[{"b":"!"}]', b"{}", b"x", b"[" * 9999])
def test_a_line_that_is_no_row_is_refused(line: bytes) -> None:
    good = (("n", "integer"),)
    if line == b"[1]":
        assert list(rows_of(line, good, "p")) == [(1,)]
        return
    with pytest.raises(IntegrityError, match="line 2 of p in the backup is no row"):
        list(rows_of(b"[7]\n" + line, good, "p"))


def test_memory_stays_flat(tmp_path: Path, rows: "Rows", monkeypatch: pytest.MonkeyPatch) -> None:
    """Three times the judgments, hardly more memory: of backup and of restore, as Python counts it."""
    monkeypatch.setattr("backstay.storage.archived_rows.CHUNK_BYTES", 100_000)
    for module in ("journal", "chained_rows"):
        monkeypatch.setattr(f"backstay.storage.{module}.PAGE", 100)
    peaks = []
    for number, count in enumerate((600, 1800)):
        folder, url = tmp_path / str(number), f"sqlite:///{tmp_path}/{number}/x.db"
        with Store(folder, create=True, url=url) as store:
            rows.add_to(store)
            given = [row.model_copy(update={"rationale": os.urandom(400).hex()}) for row in rows.judgments(count)]
            store.repository.append_judgments("demo", given)
            tracemalloc.start()
            write_backup(store, tmp_path / f"{number}.tar")
            restore_backup(tmp_path / f"{number}.tar", folder / "b" / ".backstay", f"sqlite:///{folder}/b/x.db")
            peaks.append(tracemalloc.get_traced_memory()[1])
            tracemalloc.stop()
    assert (tmp_path / "1.tar").stat().st_size > 1_000_000
    assert peaks[1] < peaks[0] + 1_000_000


def test_it_is_a_plain_tar(filled: Store, tmp_path: Path) -> None:
    write_backup(filled, tmp_path / "b.tar")
    with tarfile.open(tmp_path / "b.tar") as plain:
        members = plain.getmembers()
    assert all(member.isreg() and member.mode == 0o600 for member in members)
    assert [member.name for member in members][-2:] == ["manifest.json", "manifest.sig"]
    assert io.BytesIO((tmp_path / "b.tar").read_bytes()).getbuffer().nbytes % 512 == 0
