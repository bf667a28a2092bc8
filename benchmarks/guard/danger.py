"""Recall, false alarms and CPU time of the scanners of danger, and of the default bundle. One JSON line.

python benchmarks/guard/danger.py [--texts N] [--seed S]

The cases are made up and labelled by one author; `held_out` were written before the scanners and not developed with,
`developed_with` are the others. A case is found when its kind is; a false alarm is a finding of medium weight or more.
"""

import argparse
import json
import random
import statistics
import sys
import time
from collections.abc import Callable, Iterable
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "tests" / "support"))

from danger_cases import CASES
from danger_held_out import HELD_OUT
from hostile_code import PYTHON_BOMBS, SHELL_BOMBS, SQL_BOMBS
from hostile_texts import prose

from backstay.scan import Scanner, View
from backstay.scan.bundle import ScanSettings, bundle_of
from backstay.scan.code_danger import CodeDanger, python_dangers
from backstay.scan.danger import Danger
from backstay.scan.scanner import NO_LIMIT
from backstay.scan.shell_danger import ShellDanger, shell_dangers
from backstay.scan.sql_danger import SqlDanger, sql_dangers

LOOK: dict[str, Callable[[str], tuple[Danger, ...]]] = {
    "sql": sql_dangers,
    "shell": shell_dangers,
    "python": python_dangers,
}
SCANNERS: dict[str, Scanner] = {
    "sql": SqlDanger(assume=True),
    "shell": ShellDanger(assume=True),
    "python": CodeDanger(assume=True),
}
BOMBS = {"sql": SQL_BOMBS, "shell": SHELL_BOMBS, "python": PYTHON_BOMBS}


def counted(cases: Iterable[tuple[str, str, str]]) -> dict[str, dict[str, str]]:
    """Found and false alarms of how many, by surface."""
    table = {surface: [0, 0, 0, 0] for surface in LOOK}
    for surface, kind, text in cases:
        dangers, row = LOOK[surface](text), table[surface]
        if kind:
            row[0] += any(danger.kind == kind for danger in dangers)
            row[1] += 1
        else:
            row[2] += any(danger.severity in ("medium", "high", "critical") for danger in dangers)
            row[3] += 1
    return {name: {"found": f"{a}/{b}", "false_alarms": f"{c}/{d}"} for name, (a, b, c, d) in table.items()}


def cost_us(work: Callable[..., object], *given: object) -> float:
    begin = time.thread_time_ns()
    work(*given)
    return (time.thread_time_ns() - begin) / 1e3


def spread(costs: Iterable[float]) -> dict[str, float]:
    ordered = sorted(costs)
    return {"p50": round(statistics.median(ordered), 1), "p99": round(ordered[int(0.99 * len(ordered))], 1)}


def bundle_costs(rng: random.Random, texts: int) -> dict[str, object]:
    bundle = bundle_of(ScanSettings())
    bundle.warm()
    small = [cost_us(bundle.scan, prose(rng, 2000), "response.final") for _ in range(texts)]
    large = [cost_us(bundle.scan, prose(rng, 100_000), "response.final") for _ in range(5)]
    fenced = [
        cost_us(bundle.scan, f"{prose(rng, 900)}\n```{tag}\n{text}\n```\n{prose(rng, 900)}", "response.final")
        for tag, _, text in CASES
    ]
    return {
        "prose_2kB_us": spread(small),
        "prose_100kB_ms_p50": round(statistics.median(large) / 1e3, 2),
        "answer_2kB_with_code_us": spread(fenced),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--texts", type=int, default=300)
    parser.add_argument("--seed", type=int, default=1)
    args = parser.parse_args()
    rng = random.Random(args.seed)  # noqa: S311 - made-up texts
    everything = [*CASES, *HELD_OUT]
    figures: dict[str, object] = {
        "held_out": counted(HELD_OUT),
        "developed_with": counted(CASES),
        "statement_us": {
            name: spread(
                cost_us(SCANNERS[name].scan, View.of(text), NO_LIMIT)
                for surface, _, text in everything
                if surface == name
            )
            for name in LOOK
        },
        "bundle": bundle_costs(rng, args.texts),
    }
    worst = {}
    for name, bombs in BOMBS.items():
        costs = [(cost_us(SCANNERS[name].scan, View.of(text), NO_LIMIT) / 1e3, len(text)) for text in bombs]
        worst[name] = {
            "ms": round(max(ms for ms, _ in costs), 1),
            "ms_per_kB": round(max(ms / (size / 1000) for ms, size in costs if size >= 1000), 2),
        }
    print(json.dumps({**figures, "adversarial_worst": worst}))


if __name__ == "__main__":
    main()
