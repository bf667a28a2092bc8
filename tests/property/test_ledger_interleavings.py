"""Whatever threads write in whatever order: what was acknowledged stands in one sound chain, in each one's order."""

import json
import tempfile
import threading
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sqlalchemy import text

from backstay.guard.ledger import Ledger, Writer
from backstay.storage import Sealer, open_database, verify_journal
from backstay.storage.journal import read_entries

pytestmark = pytest.mark.property
STEPS = st.lists(st.sampled_from(["append", "unit", "failing unit", "empty unit", "wait"]), max_size=12)


class Thread(threading.Thread):
    """Writes its steps; knows which rows must stand, in order."""

    def __init__(self, ledger: Ledger, name: str, steps: list[str]) -> None:
        super().__init__()
        self._ledger, self._steps, self.label = ledger, steps, name
        self.expected: list[tuple[str, int, int]] = []
        self.units: list[str] = []
        self.seqs: list[int] = []
        self.problem: str | None = None

    def run(self) -> None:
        waiting = [self._step(number, step) for number, step in enumerate(self._steps)]
        for step, future in zip(self._steps, waiting, strict=True):
            if step == "failing unit":
                if not isinstance(future.exception(10), LookupError):
                    self.problem = "a failing unit did not raise its own error"
            elif step in ("append", "wait"):
                self.seqs.append(future.result(10))
            elif future.result(10) != self.label:
                self.problem = "a unit returned something else"

    def _step(self, number: int, step: str):  # type: ignore[no-untyped-def]  # futures of several types
        if step in ("append", "wait"):
            self.expected.append((self.label, number, 0))
            future = self._ledger.append("guard.decision", {"t": self.label, "n": number, "part": 0})
            if step == "wait":
                future.result(10)
            return future
        if step == "unit":
            self.expected += [(self.label, number, 0), (self.label, number, 1)]
            self.units.append(f"{self.label}-{number}")
        return self._ledger.submit(lambda writer: self._unit(writer, number, step))

    def _unit(self, writer: Writer, number: int, step: str) -> str:
        for part in range(0 if step == "empty unit" else 2):
            writer.append("guard.admin", {"t": self.label, "n": number, "part": part})
        if step != "empty unit":
            writer.connection.execute(text("INSERT INTO side VALUES (:name)"), {"name": f"{self.label}-{number}"})
        if step == "failing unit":
            raise LookupError(self.label)
        return self.label


@settings(max_examples=25, deadline=None)
@given(st.lists(STEPS, min_size=1, max_size=4), st.integers(1, 5), st.sampled_from([0.0, 2.0]), st.integers(1, 9))
def test_any_interleaving(plans: list[list[str]], max_batch: int, max_wait_ms: float, seal_rows: int) -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        ledger = Ledger.open(
            folder / "guard.db",
            keys_dir=folder / "keys",
            max_batch=max_batch,
            max_wait_ms=max_wait_ms,
            seal_rows=seal_rows,
        )
        ledger.submit(lambda writer: writer.connection.execute(text("CREATE TABLE side (name TEXT)")).close()).result(
            10
        )
        threads = [Thread(ledger, f"t{number}", steps) for number, steps in enumerate(plans)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        ledger.close()
        check(folder, threads)


def check(folder: Path, threads: list[Thread]) -> None:
    engine = open_database(folder / "guard.db")
    try:
        report = verify_journal(engine, Sealer(folder / "keys", folder / "guard.seals.jsonl").read())
        with engine.connect() as connection:
            rows = [(entry.seq, json.loads(entry.payload)) for entry in read_entries(connection)]
            side = set(connection.execute(text("SELECT name FROM side")).scalars())
    finally:
        engine.dispose()
    assert report.ok
    assert (report.entries, report.unsealed_entries) == (sum(len(thread.expected) for thread in threads), 0)
    for thread in threads:
        assert thread.problem is None
        mine = [(row["t"], row["n"], row["part"]) for _, row in rows if row["t"] == thread.label]
        assert mine == thread.expected
        stored = dict(rows)
        assert all(stored[seq]["t"] == thread.label for seq in thread.seqs)
        assert thread.seqs == sorted(set(thread.seqs))
    assert side == {unit for thread in threads for unit in thread.units}
