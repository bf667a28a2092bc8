"""The guard's audit on this machine's disk: durable appends, latency of one, and verification.

    python benchmarks/guard/audit.py [--rows N] [--folder DIR]

Decisions are synthetic, with fresh ids, arguments and digests; SQLite runs with synchronous=FULL and group commit, and
the audit's own work (digests, canonical JSON) is part of every append. Latency is from the call to the resolved future,
once with nothing else to write and once beside a thread that appends 2,000 rows a second in bursts.

Prints one JSON line.
"""

import argparse
import json
import shutil
import tempfile
import threading
import time
from collections import deque
from concurrent.futures import Future
from pathlib import Path
from typing import Any

from backstay.guard.audit import AuditLog
from backstay.guard.ledger import Ledger
from backstay.policy import Decision, Request
from backstay.storage import Sealer, open_database, verify_journal

WINDOW = 8000
DECISION = Decision("allow", ("permit-mail",), (), ("Support may send mail.",), (), "ab" * 32)
PROBES = 400
LOAD_ROWS_PER_S = 2000
BURST = 20


def request(number: int) -> Request:
    """A tool call that no earlier one equals."""
    return Request(
        point="model.tool_call",
        action="call",
        tool="send_mail",
        principal=f"user-{number % 1000}",
        roles=("support",),
        args={"to": f"a{number}@example.org", "amount": number, "body": f"{number} " + "x" * 400},
        findings={"secret": 0, "personal": 1},
        provenance={"to": ("user",), "amount": ("user",), "body": ("model",)},
        counters={"sent": number % 7, "spent": number / 4},
    )


def decide(log: AuditLog, number: int) -> Future[int]:
    """Audit one decision."""
    return log.decision(
        request(number),
        DECISION,
        exchange=f"ex-{number // 2}",
        session=f"s-{number % 500}",
        cost_us=30,
        counted={"sent": 1},
    )


def append_rate(ledger: Ledger, rows: int) -> dict[str, float]:
    """Durable rows a second, with at most WINDOW waiting; CPU time of the whole process a row."""
    log = AuditLog(ledger)
    waiting: deque[Future[int]] = deque()
    wall, cpu = time.perf_counter(), time.process_time()
    for number in range(rows):
        waiting.append(decide(log, number))
        if len(waiting) >= WINDOW:
            waiting.popleft().result()
    for future in waiting:
        future.result()
    wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
    return {"rows_per_s": round(rows / wall), "cpu_us_per_row": round(cpu / rows * 1e6, 1)}


def latency_ms(ledger: Ledger, first: int) -> dict[str, float]:
    """From handing over one decision until it is durable."""
    log, taken = AuditLog(ledger), []
    for number in range(PROBES):
        began = time.perf_counter()
        decide(log, first + number).result()
        taken.append((time.perf_counter() - began) * 1e3)
        time.sleep(0.003)
    taken.sort()
    return {"p50": round(taken[PROBES // 2], 2), "p99": round(taken[PROBES * 99 // 100], 2)}


class Load(threading.Thread):
    """Appends bursts at a steady rate until told to stop."""

    def __init__(self, ledger: Ledger) -> None:
        super().__init__()
        self._log, self.stop, self.sent = AuditLog(ledger), threading.Event(), 0

    def run(self) -> None:
        due = time.perf_counter()
        while not self.stop.is_set():
            for _ in range(BURST):
                decide(self._log, 10_000_000 + self.sent)
                self.sent += 1
            due += BURST / LOAD_ROWS_PER_S
            time.sleep(max(0.0, due - time.perf_counter()))


def loaded_latency_ms(ledger: Ledger) -> dict[str, float]:
    """`latency_ms` beside a Load."""
    load = Load(ledger)
    load.start()
    try:
        return latency_ms(ledger, 20_000_000)
    finally:
        load.stop.set()
        load.join()


def verify_rate(folder: Path) -> dict[str, Any]:
    """Rows a second of `backstay verify`'s walk over journal, seals, roots and pages."""
    engine = open_database(folder / "guard.db")
    wall, cpu = time.perf_counter(), time.process_time()
    report = verify_journal(engine, Sealer(folder / "keys", folder / "guard.seals.jsonl").read())
    wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
    engine.dispose()
    if not report.ok or report.unsealed_entries:
        raise RuntimeError(f"the benchmark's journal does not verify: {report}")
    return {
        "rows": report.entries,
        "rows_per_s": round(report.entries / wall),
        "rows_per_cpu_s": round(report.entries / cpu),
    }


def measure(folder: Path, rows: int) -> dict[str, Any]:
    """Everything, on one growing journal."""
    with Ledger.open(folder / "guard.db", keys_dir=folder / "keys") as ledger:
        idle = latency_ms(ledger, 0)
        append = append_rate(ledger, rows)
        loaded = loaded_latency_ms(ledger)
    size = (folder / "guard.db").stat().st_size
    verify = verify_rate(folder)
    return {
        "append": append,
        "latency_idle_ms": idle,
        "latency_loaded_ms": {**loaded, "load_rows_per_s": LOAD_ROWS_PER_S},
        "verify": verify,
        "bytes_per_row": round(size / verify["rows"]),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=300_000)
    parser.add_argument(
        "--folder", type=Path, help="where the database is made and removed [default: a temporary folder]"
    )
    arguments = parser.parse_args()
    folder = Path(tempfile.mkdtemp(dir=arguments.folder))
    try:
        print(json.dumps({"benchmark": "guard/audit", **measure(folder, arguments.rows)}))
    finally:
        shutil.rmtree(folder)


if __name__ == "__main__":
    main()
