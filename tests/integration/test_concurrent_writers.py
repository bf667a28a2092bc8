"""Processes and threads append at once, by Repository and Ledger, and some are killed: one sound chain, nothing lost.

What a writer was told is stored goes down a pipe, which survives its death.
"""

import multiprocessing
import os
import signal
import threading
from collections.abc import Callable
from pathlib import Path

import pytest
from databases import Database

from backstay.guard.ledger import Ledger
from backstay.records import Choice, Judgment, Message, Prompt, Rater, Response, Retraction, Task
from backstay.storage import Store
from backstay.storage.journal import read_entries

pytestmark = pytest.mark.integration
WRITERS, ROWS = 3, 12
KILLED = {1: 5, 2: 11}
"""Which writers are killed, and after how many acknowledgements."""


def add_task(store: Store) -> str:
    prompt = Prompt.make((Message(role="user", content="Question"),), source="test")
    answers = [Response.make(prompt.id, text, policy="test") for text in ("Yes.", "No.")]
    task = Task.make(prompt.id, (answers[0].id, answers[1].id))
    with store.repository.batch() as batch:
        batch.add_prompts("demo", [prompt])
        batch.add_responses("demo", answers)
        batch.add_tasks("demo", [task])
        batch.add_raters("demo", [Rater(id="ann", display_name="Ann")])
    return task.id


def judged(task_id: str, name: str) -> Judgment:
    return Judgment(
        id=name,
        task_id=task_id,
        rater_id="ann",
        order_shown=(0, 1),
        choice=Choice.prefer(0, 1),
        created_at="2026-01-01T00:00:00+00:00",
    )


class Writing:
    """One process with four threads; each acknowledges a name once its row is durable."""

    def __init__(self, folder: Path, url: str, task_id: str, name: str, pipe: int) -> None:
        self._task_id, self._name, self._pipe = task_id, name, pipe
        self._store = Store(folder, url=url)
        self._ledger = Ledger.open(
            url, keys_dir=folder / ".backstay" / "keys", create=False, seal_rows=7, busy_timeout_s=30
        )

    def run(self) -> None:
        """Write everything."""
        kinds: list[Callable[[str], object]] = [self._by_repository, self._by_row, self._by_unit, self._retracting]
        threads = [threading.Thread(target=self._each, args=(kind,)) for kind in kinds]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        self._ledger.close()
        self._store.close()

    def _each(self, kind: Callable[[str], object]) -> None:
        for number in range(ROWS):
            name = f"{self._name}-{kind.__name__}-{number}"
            kind(name)
            os.write(self._pipe, f"{name}\n".encode())

    def _by_repository(self, name: str) -> None:
        self._store.repository.append_judgments("demo", [judged(self._task_id, name)])

    def _by_row(self, name: str) -> None:
        self._ledger.append("guard.admin", {"name": name}).result(60)

    def _by_unit(self, name: str) -> None:
        judgment = judged(self._task_id, name)
        self._ledger.submit(lambda writer: writer.batch().append_judgments("demo", [judgment])).result(60)

    def _retracting(self, name: str) -> None:
        made = judged(self._task_id, name)
        taken = Retraction(id=name, judgment_id=name, rater_id="ann", created_at=made.created_at)
        with self._store.repository.batch() as batch:
            batch.append_judgments("demo", [made])
            batch.append_retractions("demo", [taken])


def start(folder: Path, url: str, task_id: str, name: str) -> tuple[multiprocessing.process.BaseProcess, int]:
    reading, writing = os.pipe()
    process = multiprocessing.get_context("fork").Process(
        target=lambda: Writing(folder, url, task_id, name, writing).run()
    )
    process.start()
    os.close(writing)
    return process, reading


def collect(pipe: int, process: multiprocessing.process.BaseProcess, kill_after: int | None, into: list[str]) -> None:
    with os.fdopen(pipe, encoding="utf-8") as lines:
        for count, line in enumerate(lines, start=1):
            if line.endswith("\n"):
                into.append(line.strip())
            if count == kill_after and process.pid is not None:
                os.kill(process.pid, signal.SIGKILL)


def test_every_acknowledged_row_stands_once_in_one_chain(database: Database, tmp_path: Path) -> None:
    with Store(tmp_path, create=True) as store:
        task_id = add_task(store)
    writers = [start(tmp_path, database.url, task_id, f"w{number}") for number in range(WRITERS)]
    told: list[list[str]] = [[] for _ in writers]
    readers = [
        threading.Thread(target=collect, args=(pipe, process, KILLED.get(number), told[number]))
        for number, (process, pipe) in enumerate(writers)
    ]
    for thread in readers:
        thread.start()
    for thread, (process, _) in zip(readers, writers, strict=True):
        thread.join()
        process.join()
    assert [process.exitcode for process, _ in writers] == [0, -signal.SIGKILL, -signal.SIGKILL]
    assert len(told[0]) == 4 * ROWS and all(len(told[number]) >= least for number, least in KILLED.items())
    with Store(tmp_path) as store:
        report = store.verify()
        assert report.broken is None
        stored = [row.id for row in store.repository.all_judgments("demo")]
        taken = [row.id for row in store.repository.retractions("demo")]
        with store.engine.connect() as connection:
            seqs = [entry.seq for entry in read_entries(connection)]
            noted = [entry.payload for entry in read_entries(connection, "guard.admin")]
        store.repository.append_judgments("demo", [judged(task_id, "after")])
        assert store.verify().unsealed_entries == 0
    assert seqs == list(range(1, report.entries + 1))
    assert sorted(name for name in stored if "_retracting" in name) == sorted(taken)
    kept = [*stored, *(payload.split('"')[3] for payload in noted)]
    assert len(kept) == len(set(kept))
    assert {name for names in told for name in names} <= set(kept)
