"""Groups and seals under the ledger: what is due when, and how groups form."""

import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import Future
from pathlib import Path

import pytest
from sqlalchemy import text

from backstay.errors import BackstayError, ResourceError
from backstay.guard import durable
from backstay.guard.durable import DurableJournal
from backstay.guard.ledger import Ledger, Writer
from backstay.guard.ledger_group import Job, journal_item
from backstay.storage import Sealer, open_database
from backstay.storage.journal import head


class Clock:
    def __init__(self) -> None:
        self.now_s = 1000.0

    def monotonic(self) -> float:
        return self.now_s


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    made = Clock()
    monkeypatch.setattr(durable, "time", made)
    return made


@pytest.fixture
def journal(tmp_path: Path, clock: Clock) -> Iterator[DurableJournal]:
    engine = open_database(tmp_path / "guard.db", create=True)
    yield DurableJournal(engine, sealer(tmp_path), seal_rows=5, seal_s=60.0)
    engine.dispose()


def sealer(folder: Path) -> Sealer:
    return Sealer(folder / "keys", folder / "guard.seals.jsonl")


def counts(folder: Path) -> list[int]:
    return [seal.count for seal in sealer(folder).read().seals]


def rows(number: int) -> list[Job]:
    return [Job(Future(), journal_item("guard.admin", {"n": n}), None, 0.0) for n in range(number)]


def test_a_seal_is_due_after_rows_or_seconds(journal: DurableJournal, tmp_path: Path, clock: Clock) -> None:
    assert counts(tmp_path) == [0]
    assert (journal.seal_in_s(), journal.seal_overdue()) == (None, False)
    assert journal.write(rows(4)) is None
    assert (journal.seal_in_s(), journal.seal_overdue()) == (60.0, False)
    clock.now_s += 59
    assert journal.write(rows(0)) is None
    assert (journal.seal_in_s(), journal.seal_overdue()) == (1.0, False)
    clock.now_s += 1
    assert journal.seal_overdue()
    journal.seal()
    assert (counts(tmp_path), journal.seal_overdue(), journal.seal_in_s()) == ([0, 4], False, None)
    assert journal.write(rows(5)) is None
    assert journal.seal_overdue()
    assert journal.write(rows(1)) is None
    assert counts(tmp_path) == [0, 4, 9]


def test_a_tail_that_a_killed_process_left_is_sealed_at_the_next_opening(tmp_path: Path, clock: Clock) -> None:
    for expected in ([0], [0, 3]):
        engine = open_database(tmp_path / "guard.db", create=True)
        opened = DurableJournal(engine, sealer(tmp_path), seal_rows=5, seal_s=60.0)
        assert counts(tmp_path) == expected
        assert opened.write(rows(3)) is None
        engine.dispose()


def test_an_error_of_a_driver_does_not_quote_what_was_written(journal: DurableJournal) -> None:
    with journal.engine.begin() as connection:
        connection.execute(text("DROP TABLE judgments"))
        connection.execute(text("ALTER TABLE journal RENAME COLUMN payload TO other"))
    error = journal.write([Job(Future(), journal_item("guard.admin", {"secret": "hush"}), None, 0.0)])
    assert isinstance(error, ResourceError)
    assert "no column named payload" in str(error)
    assert "hush" not in str(error)


def test_nothing_of_a_group_stands_when_its_commit_fails(
    journal: DurableJournal, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: object) -> None:
        raise OSError("disk")

    with monkeypatch.context() as patch:
        patch.setattr(durable, "write_group", broken)
        assert "could not write the journal: disk" in str(journal.write(rows(2)))
    with journal.engine.connect() as connection:
        assert head(connection).count == 0


class Spied:
    """Sizes of the groups that a ledger writes."""

    def __init__(self, ledger: Ledger) -> None:
        self.sizes: list[int] = []
        self._write = ledger._journal.write
        ledger._journal.write = self  # type: ignore[method-assign]  # to see what the thread hands over

    def __call__(self, group: Sequence[Job]) -> BackstayError | None:
        self.sizes.append(len(group))
        return self._write(group)


@pytest.mark.parametrize(("max_batch", "sizes"), [(1024, [1, 100]), (40, [1, 40, 40, 20])])
def test_what_comes_during_a_commit_is_the_next_group(tmp_path: Path, max_batch: int, sizes: list[int]) -> None:
    began, gate = threading.Event(), threading.Event()

    def block(_: Writer) -> None:
        began.set()
        gate.wait(10)

    with Ledger.open(tmp_path / "guard.db", keys_dir=tmp_path / "keys", max_batch=max_batch, max_wait_ms=0) as ledger:
        spied = Spied(ledger)
        blocked = ledger.submit(block)
        assert began.wait(10)
        futures = [ledger.append("guard.admin", {"n": n}) for n in range(100)]
        gate.set()
        blocked.result(10)
        assert [future.result(10) for future in futures] == list(range(1, 101))
    assert spied.sizes == sizes


def test_a_lone_row_does_not_wait_for_company(tmp_path: Path) -> None:
    with Ledger.open(tmp_path / "guard.db", keys_dir=tmp_path / "keys", max_wait_ms=1e7) as ledger:
        spied = Spied(ledger)
        for number in range(5):
            assert ledger.append("guard.admin", {"n": number}).result(10) == number + 1
    assert spied.sizes == [1] * 5
