"""Accuracy of aggregation on UKPConvArg1 crowd judgments, clean and with planted liars; one JSON line.

usage: python benchmarks/aggregate_ukp.py [--data DIR] [--seeds N] [--anchors SHARE]

Real: 41,750 judgments of 2,440 raters on 8,369 pairs of arguments, 5,730 with a gold answer. Simulated: the liars, a
random set of raters with about the stated share of judgments. flip = they invert their own vote; bloc = they all give
one shared random answer per pair. By default a tenth of the gold answers goes to the aggregation as anchors, and the
rest scores it.
"""

import argparse
import csv
import gzip
import json
import os
import time
from pathlib import Path

import numpy as np

from backstay.aggregate import AggregateSettings, aggregate
from backstay.records import Choice, Judgment, Task

SIDES = {"a1": 1, "a2": -1, "equal": 0}
CHOICES = {1: Choice.prefer(0, 1), -1: Choice.prefer(1, 0), 0: Choice.tie()}


def read(folder: Path) -> tuple[list[dict[str, str]], dict[str, int]]:
    with gzip.open(folder / "ukp_judgments.csv.gz", "rt", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    with (folder / "ukp_gold.csv").open(encoding="utf-8") as file:
        gold = {row["task"]: SIDES[row["gold"]] for row in csv.DictReader(file)}
    return rows, gold


def liars(rows: list[dict[str, str]], share: float, rng: np.random.Generator) -> set[str]:
    raters = sorted({row["worker"] for row in rows})
    while True:
        chosen = {rater for rater in raters if rng.random() < share}
        if abs(sum(row["worker"] in chosen for row in rows) / len(rows) - share) < 0.03:
            return chosen


def votes(rows: list[dict[str, str]], attack: str, bad: set[str], rng: np.random.Generator) -> list[int]:
    shared = {task: int(rng.choice([-1, 1])) for task in sorted({row["task"] for row in rows})}
    sides = []
    for row in rows:
        side = SIDES[row["label"]]
        if row["worker"] in bad:
            side = -side if attack == "flip" else shared[row["task"]]
        sides.append(side)
    return sides


def records(
    rows: list[dict[str, str]], sides: list[int], anchors: dict[str, int]
) -> tuple[dict[str, Task], list[Judgment]]:
    tasks: dict[str, Task] = {}
    for row in rows:
        side = anchors.get(row["task"])
        gold = None if side is None else int(side < 0)
        tasks[row["task"]] = Task.make(row["task"], (row["left"], row["right"]), gold=gold)
    judgments = [
        Judgment(
            id=str(number),
            task_id=tasks[row["task"]].id,
            rater_id=row["worker"],
            order_shown=(0, 1),
            choice=CHOICES[side],
            created_at=row["t1"],
            hash=str(number),
        )
        for number, (row, side) in enumerate(zip(rows, sides, strict=True))
    ]
    return tasks, judgments


def right(p_a: float, side: int) -> float:
    return 0.5 if p_a == 0.5 else float((p_a > 0.5) == (side > 0))


def measure(
    rows: list[dict[str, str]], gold: dict[str, int], attack: str, share: float, anchor_share: float, seed: int
) -> dict[str, float]:
    rng = np.random.default_rng(seed)
    bad = liars(rows, share, rng) if share else set()
    anchors = {task: side for task, side in sorted(gold.items()) if rng.random() < anchor_share}
    tasks, judgments = records(rows, votes(rows, attack, bad, rng), anchors)
    result = {}
    for algorithm in ("majority", "reliability"):
        settings = AggregateSettings(algorithm=algorithm, folds=5 if algorithm == "reliability" else 0)
        start = time.process_time()
        found = aggregate(tasks.values(), judgments, settings)
        result[f"{algorithm}_cpu_s"] = time.process_time() - start
        scored = [right(p.p_a, gold[p.prompt_id]) for p in found.pairs if p.prompt_id in gold.keys() - anchors.keys()]
        result[f"{algorithm}_accuracy"] = float(np.mean(scored))
    held = found.summary["held_out_gold"]
    if held["items"]:
        result |= {key: held[key] for key in ("ece_raw", "ece_cooled", "ece_majority")}
        result["held_out_estimate"] = held["reliability_accuracy"]
    if bad:
        trust = np.array([t.trust for t in found.trust])
        is_bad = np.array([t.rater_id in bad for t in found.trust])
        below = trust[is_bad][:, None] < trust[~is_bad][None, :]
        result["trust_auroc"] = float(below.mean())
    return {key: round(float(value), 4) for key, value in result.items()}


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--data", type=Path, default=Path(os.environ.get("BACKSTAY_DATA", "../shared/data")))
    parser.add_argument("--seeds", type=int, default=2)
    parser.add_argument("--anchors", type=float, default=0.1)
    options = parser.parse_args()
    folder = options.data / "crowd"
    if not (folder / "ukp_judgments.csv.gz").exists():
        print(json.dumps({"benchmark": "aggregate_ukp", "skipped": f"no ukp_judgments.csv.gz in {folder}"}))
        return
    rows, gold = read(folder)
    cases = [("none", 0.0), ("flip", 0.3), ("flip", 0.4), ("bloc", 0.3), ("bloc", 0.4)]
    results = {}
    for attack, share in cases:
        runs = [measure(rows, gold, attack, share, options.anchors, seed) for seed in range(options.seeds)]
        results[f"{attack}-{share:g}"] = {key: round(float(np.mean([r[key] for r in runs])), 4) for key in runs[0]}
    print(
        json.dumps(
            {"benchmark": "aggregate_ukp", "seeds": options.seeds, "anchors": options.anchors, "results": results}
        )
    )


if __name__ == "__main__":
    main()
