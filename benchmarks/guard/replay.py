"""Rows per second of `guard replay` over a ledger, with and without walking its hash chain, and peak memory.

    python benchmarks/guard/replay.py [--rows N] [--rules N]

Traffic is made up: payments of random amounts, contents recorded in full, decided by one policy and replayed by another
one of so many rules. Memory is the peak of the whole process, which also made the ledger. Prints one JSON line.
"""

import argparse
import json
import random
import resource
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "tests" / "support"))

from policy_texts import bundle, call, rule
from recorded_traffic import append, payload

from backstay.policy import PolicyBundle
from backstay.policy.recorded import KIND
from backstay.policy.replay import Replay
from backstay.policy.traffic import export_decisions, open_traffic

CHUNK = 10_000


def policy(most: int, rules: int) -> PolicyBundle:
    """A permit, a hold, and fillers on the same tool."""
    fillers = [rule(f"f{i}", when=f'args.to == "x{i}" && "r{i}" in principal.roles') for i in range(rules - 2)]
    return bundle(
        [rule("small", "permit", f"args.amount <= {most}"), rule("ask", "hold", "args.amount > 90"), *fillers]
    )


def rows(count: int, rng: random.Random, old: PolicyBundle) -> Iterator[str]:
    """Recorded decisions; every 100th request is decided anew, the others repeat it under another id."""
    written = ""
    for i in range(count):
        if i % 100 == 0:
            args = {"amount": rng.randint(1, 100), "to": f"user{i}@example.org", "body": "x" * 200}
            written = payload(old, call(args=args, roles=("clerk",)), "ID")
        yield written.replace('"ID"', f'"d{i}"')


def measure(source: Path, candidate: PolicyBundle, *, verify: bool) -> dict[str, Any]:
    """Replay all rows once."""
    compared = Replay(candidate)
    wall, cpu = time.perf_counter(), time.process_time()
    with open_traffic(source, verify=verify) as traffic:
        for entry in traffic:
            compared.add(entry.payload, str(entry.seq))
    cpu_s, wall_s = time.process_time() - cpu, time.perf_counter() - wall
    counts = {"same": compared.same, "changed": compared.changed, "unknown": compared.unknown}
    return {"rows_per_cpu_s": round(compared.decisions / cpu_s), "wall_s": round(wall_s, 2), **counts}


def main() -> None:
    """Measure and print one JSON line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=100_000)
    parser.add_argument("--rules", type=int, default=10)
    options = parser.parse_args()
    old, new = policy(50, 2), policy(40, options.rules)
    row: dict[str, Any] = {"benchmark": "guard.replay", "rows": options.rows, "rules": options.rules}
    with tempfile.TemporaryDirectory() as folder:
        ledger, export = Path(folder) / "guard.db", Path(folder) / "decisions.jsonl"
        made = rows(options.rows, random.Random(5), old)  # noqa: S311  made-up traffic, the same each time
        for start in range(0, options.rows, CHUNK):
            append(ledger, [(KIND, next(made)) for _ in range(min(CHUNK, options.rows - start))])
        row["payload_bytes"] = ledger.stat().st_size // options.rows
        base = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        row["verified"] = measure(ledger, new, verify=True)
        row["unverified"] = measure(ledger, new, verify=False)
        export_decisions(ledger, export)
        row["export"] = measure(export, new, verify=True)
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    row["peak_mb"], row["grown_mb"] = peak // 1024, (peak - base) // 1024
    json.dump(row, sys.stdout)
    print()


if __name__ == "__main__":
    main()
