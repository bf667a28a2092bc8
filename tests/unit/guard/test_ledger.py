"""The ledger: rows in order, units that undo themselves, errors that every caller sees."""

import asyncio
import contextlib
import os
import threading
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest
from databases import Database
from sqlalchemy import text

from backstay.errors import ResourceError, UsageError
from backstay.guard.ledger import Ledger, Writer
from backstay.storage import Sealer, Store, VerifyReport, open_database, verify_journal
from backstay.storage.location import DATABASE_VARIABLE, seals_of


@pytest.fixture
def ledger(tmp_path: Path, database: Database) -> Iterator[Ledger]:
    opened = Ledger.open(place(tmp_path), keys_dir=tmp_path / "keys")
    yield opened
    with contextlib.suppress(ResourceError):
        opened.close()


def place(folder: Path) -> str | Path:
    """Where the ledger is: the file in the folder, or the server's database that this test has."""
    return os.environ.get(DATABASE_VARIABLE) or folder / "guard.db"


def kept(folder: Path) -> tuple[VerifyReport, list[tuple[int, str, str]]]:
    engine = open_database(place(folder))
    try:
        with engine.connect() as connection:
            rows = connection.execute(text("SELECT seq, kind, payload FROM journal ORDER BY seq")).all()
        return verify_journal(engine, Sealer(folder / "keys", seals_of(place(folder), folder)).read()), [
            (row.seq, row.kind, row.payload) for row in rows
        ]
    finally:
        engine.dispose()


def test_rows_stand_in_order_with_canonical_payloads(ledger: Ledger, tmp_path: Path) -> None:
    futures = [ledger.append("guard.decision", {"b": number, "a": "é"}) for number in range(50)]
    assert [future.result(5) for future in futures] == list(range(1, 51))
    ledger.close()
    report, rows = kept(tmp_path)
    assert report == VerifyReport(entries=50, sealed_entries=50, broken=None)
    assert rows == [(n + 1, "guard.decision", f'{{"a":"é","b":{n}}}') for n in range(50)]


def test_a_failing_unit_takes_back_its_rows_and_nothing_else(ledger: Ledger, tmp_path: Path) -> None:
    def failing(writer: Writer) -> None:
        writer.append("guard.admin", {"unit": "failing"})
        writer.connection.execute(text("CREATE TABLE gone (x INTEGER)"))
        raise KeyError("no")

    def good(writer: Writer) -> str:
        writer.append("guard.admin", {"unit": "good"})
        return "done"

    before, wrong, right = ledger.append("guard.admin", {}), ledger.submit(failing), ledger.submit(good)
    assert (before.result(5), right.result(5)) == (1, "done")
    assert isinstance(wrong.exception(5), KeyError)
    ledger.close()
    report, rows = kept(tmp_path)
    assert report.ok
    assert [payload for _, _, payload in rows] == ["{}", '{"unit":"good"}']


def test_a_unit_that_fails_alone_leaves_the_journal_as_it_was(ledger: Ledger, tmp_path: Path) -> None:
    """It has no savepoint: the whole transaction is undone, records and their journal rows included."""

    def failing(writer: Writer) -> None:
        writer.batch().add_event("console.test", {"unit": "failing"})
        raise KeyError("no")

    assert ledger.submit(lambda writer: writer.batch().add_event("console.test", {"n": 1})).result(5) is None
    assert isinstance(ledger.submit(failing).exception(5), KeyError)
    assert ledger.append("guard.admin", {"n": 2}).result(5) == 2
    ledger.close()
    report, rows = kept(tmp_path)
    assert report.ok
    assert [payload for _, _, payload in rows] == ['{"n":1}', '{"n":2}']


def test_a_failing_unit_among_others_takes_its_records_back_alone(ledger: Ledger, tmp_path: Path) -> None:
    def event(writer: Writer, number: int) -> None:
        writer.batch().add_event("console.test", {"n": number})
        if number == 1:
            raise KeyError("no")

    futures = [ledger.submit(partial(event, number=number)) for number in range(3)]
    assert [type(future.exception(5)) for future in futures] == [type(None), KeyError, type(None)]
    ledger.close()
    report, rows = kept(tmp_path)
    assert report.ok
    assert [payload for _, _, payload in rows] == ['{"n":0}', '{"n":2}']


def test_a_unit_of_work_appends_only_while_it_runs(ledger: Ledger) -> None:
    writer = ledger.submit(lambda given: given).result(5)
    with pytest.raises(ResourceError, match="has ended"):
        writer.append("guard.admin", {})


@pytest.mark.parametrize("kind", ["judgment", "records", "review", "Guard", "", "x" * 41])
def test_kinds_of_other_writers_are_refused(ledger: Ledger, kind: str) -> None:
    with pytest.raises(UsageError, match="kind"):
        ledger.append(kind, {})


@pytest.mark.parametrize("value", [float("nan"), 2**53, {1}, "\ud800"])
def test_what_json_cannot_hold_is_refused_at_once(ledger: Ledger, value: object) -> None:
    with pytest.raises(UsageError, match="not JSON"):
        ledger.append("guard.admin", {"value": value})


def test_a_cancelled_waiter_does_not_take_its_row_with_it(ledger: Ledger) -> None:
    future = ledger.append("guard.admin", {})
    assert not future.cancel()
    assert future.result(5) == 1


def test_a_cancelled_task_loses_the_answer_and_not_the_row(ledger: Ledger, tmp_path: Path) -> None:
    gate = threading.Event()

    async def client() -> None:
        ledger.submit(lambda _: gate.wait(10))
        waiting = asyncio.ensure_future(asyncio.wrap_future(ledger.append("guard.admin", {"n": 1})))
        await asyncio.sleep(0)
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting
        gate.set()
        assert await asyncio.wrap_future(ledger.append("guard.admin", {"n": 2})) == 2

    asyncio.run(client())
    ledger.close()
    assert [payload for _, _, payload in kept(tmp_path)[1]] == ['{"n":1}', '{"n":2}']


def test_too_much_that_waits_is_refused_at_once(tmp_path: Path) -> None:
    gate = threading.Event()
    with Ledger.open(tmp_path / "guard.db", keys_dir=tmp_path / "keys", max_pending=3) as ledger:
        blocked = ledger.submit(lambda _: gate.wait(10))
        waiting = [ledger.append("guard.admin", {}) for _ in range(2)]
        with pytest.raises(ResourceError, match="3 rows"):
            ledger.append("guard.admin", {})
        gate.set()
        assert blocked.result(5) is True
        assert [future.result(5) for future in waiting] == [1, 2]
        assert ledger.append("guard.admin", {}).result(5) == 3


def test_a_dead_writer_makes_every_call_raise(ledger: Ledger) -> None:
    def end(_: Writer) -> None:
        raise SystemExit

    gate = threading.Event()
    ledger.submit(lambda _: gate.wait(10))
    dead, waiting = ledger.submit(end), ledger.append("guard.admin", {})
    gate.set()
    for future in (dead, waiting):
        assert isinstance(future.exception(5), ResourceError)
    with pytest.raises(ResourceError, match="writer ended"):
        ledger.append("guard.admin", {})
    with pytest.raises(ResourceError, match="writer ended"), ledger.read():
        pass


def test_close_writes_what_waits_and_then_refuses(ledger: Ledger, tmp_path: Path) -> None:
    futures = [ledger.append("guard.admin", {"n": n}) for n in range(10)]
    ledger.close()
    ledger.close()
    assert [future.result(0) for future in futures] == list(range(1, 11))
    with pytest.raises(ResourceError, match="closed"):
        ledger.append("guard.admin", {})
    assert len(kept(tmp_path)[1]) == 10


def test_digests_are_keyed_by_the_project(ledger: Ledger, tmp_path: Path) -> None:
    key = tmp_path / "keys" / "digest.key"
    assert key.stat().st_mode & 0o777 == 0o600
    with Ledger.open(tmp_path / "other.db", keys_dir=tmp_path / "keys", seal_path=tmp_path / "other.jsonl") as same:
        assert same.digest(b"text") == ledger.digest(b"text") != ledger.digest(b"texts")
    with Ledger.open(tmp_path / "b" / "guard.db", keys_dir=tmp_path / "b" / "keys") as other:
        assert other.digest(b"text") != ledger.digest(b"text")


def test_the_guard_and_the_project_share_a_folder_and_no_seals(tmp_path: Path) -> None:
    state = tmp_path / ".backstay"
    with Ledger.open(state / "guard.db", keys_dir=state / "keys") as ledger:
        ledger.append("guard.decision", {"a": 1}).result()
    with Store(tmp_path, create=True) as store:
        store.seal()
        assert store.verify().broken is None
    with Ledger.open(state / "guard.db", keys_dir=state / "keys") as ledger:
        ledger.append("guard.decision", {"a": 2}).result()
