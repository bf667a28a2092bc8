"""How fast judgments are appended to the journal and walked again, on SQLite and PostgreSQL. One JSON line.

Full fsync on both. PostgreSQL is a private server of the binaries found (left out with a reason where there are none),
by unix socket. Judgments are synthetic. Rows a second of

- `alone`: one judgment a transaction, one thread, not sealed;
- `sealed`: the same, sealed after each;
- `batch`: 1,000 judgments a transaction;
- `ledger`: 8 threads, each waits for its row to be durable; one writer groups them;
- `processes`: 2 processes with 4 such threads each;
- `verify`: walking the chain, the seals and the tables.

    python benchmarks/storage/journal.py --rows 20000
"""

import argparse
import json
import multiprocessing
import os
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "tests" / "support"))

from databases import Server, binaries

from backstay.guard.ledger import Ledger, Writer
from backstay.records import Choice, Judgment, Message, Prompt, Rater, Response, Task
from backstay.storage import Store

BATCH, THREADS = 1000, 8


def set_up(store: Store) -> str:
    prompt = Prompt.make((Message(role="user", content="Which is better?"),), source="benchmark")
    answers = [Response.make(prompt.id, text, policy="benchmark") for text in ("This.", "That.")]
    task = Task.make(prompt.id, (answers[0].id, answers[1].id))
    with store.repository.batch() as batch:
        batch.add_prompts("demo", [prompt])
        batch.add_responses("demo", answers)
        batch.add_tasks("demo", [task])
        batch.add_raters("demo", [Rater(id="ann", display_name="Ann", simulated=True)])
    return task.id


def judgments(task_id: str, name: str, count: int) -> list[Judgment]:
    return [
        Judgment(
            id=f"{name}-{number}",
            task_id=task_id,
            rater_id="ann",
            order_shown=(0, 1),
            choice=Choice.prefer(number % 2, 1 - number % 2),
            duration_ms=4000,
            created_at="2026-01-01T00:00:00+00:00",
        )
        for number in range(count)
    ]


def rate(count: int, work: Callable[[], object]) -> int:
    began_s = time.perf_counter()
    work()
    return round(count / (time.perf_counter() - began_s))


def append(judgment: Judgment, writer: Writer) -> None:
    writer.batch().append_judgments("demo", [judgment])


def by_ledger(folder: Path, url: str, task_id: str, name: str, count: int, threads: int) -> None:
    with Ledger.open(url, keys_dir=folder / ".backstay" / "keys", create=False, busy_timeout_s=60) as ledger:

        def run(thread: int) -> None:
            for judgment in judgments(task_id, f"{name}-{thread}", count // threads):
                ledger.submit(partial(append, judgment)).result(60)

        running = [threading.Thread(target=run, args=(number,)) for number in range(threads)]
        for thread in running:
            thread.start()
        for thread in running:
            thread.join()


def by_processes(folder: Path, url: str, task_id: str, count: int) -> None:
    fork = multiprocessing.get_context("fork")
    made = [
        fork.Process(target=by_ledger, args=(folder, url, task_id, f"p{number}", count // 2, THREADS // 2))
        for number in range(2)
    ]
    for process in made:
        process.start()
    for process in made:
        process.join()
    if any(process.exitcode for process in made):
        raise SystemExit("a writing process failed")


def measured(folder: Path, url: str, rows: int) -> dict[str, int]:
    few = max(BATCH // 2, rows // 20)
    found: dict[str, int] = {}
    with Store(folder, create=True, seal=False, url=url) as store:
        task_id = set_up(store)
        one = judgments(task_id, "alone", few)
        found["alone"] = rate(few, lambda: [store.repository.append_judgments("demo", [row]) for row in one])
        many = judgments(task_id, "batch", rows)
        slices = [many[start : start + BATCH] for start in range(0, rows, BATCH)]
        found["batch"] = rate(rows, lambda: [store.repository.append_judgments("demo", part) for part in slices])
        store.seal()
    with Store(folder, url=url) as store:
        one = judgments(task_id, "sealed", few)
        found["sealed"] = rate(few, lambda: [store.repository.append_judgments("demo", [row]) for row in one])
    found["ledger"] = rate(rows // 4, lambda: by_ledger(folder, url, task_id, "ledger", rows // 4, THREADS))
    found["processes"] = rate(rows // 4, lambda: by_processes(folder, url, task_id, rows // 4))
    with Store(folder, url=url) as store:
        began_s = time.perf_counter()
        report = store.verify()
        found["verify"] = round(report.entries / (time.perf_counter() - began_s))
        if report.broken or report.unsealed_entries:
            raise SystemExit(f"the journal does not hold: {report}")
        found["entries"] = report.entries
    return found


@contextmanager
def server() -> Iterator[Server | None]:
    programs = binaries()
    if programs is None:
        yield None
        return
    with tempfile.TemporaryDirectory(prefix="backstay-pg-", ignore_cleanup_errors=True) as folder:
        Path(folder).chmod(0o755)
        started = Server(programs, Path(folder))
        started.stop()
        started.start(fsync="on", synchronous_commit="on", full_page_writes="on", shared_buffers="128MB")
        try:
            yield started
        finally:
            started.stop()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=20_000)
    rows = parser.parse_args().rows
    found: dict[str, Any] = {"benchmark": "storage-journal", "rows": rows, "cpus": os.cpu_count()}
    with tempfile.TemporaryDirectory() as folder:
        found["sqlite"] = measured(Path(folder), f"sqlite:///{folder}/.backstay/backstay.db", rows)
    with server() as started, tempfile.TemporaryDirectory() as folder:
        found["postgresql"] = measured(Path(folder), started.url("prepared"), rows) if started else "no binaries found"
    print(json.dumps(found))


if __name__ == "__main__":
    main()
