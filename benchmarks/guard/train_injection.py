"""Train the three heads of backstay.scan.injection, set their levels and write the weights; one JSON line.

usage: python benchmarks/guard/train_injection.py [--data DIR] [--write] [--folds DIR]

--write puts the weights into the package; --folds writes, for benchmarks/guard/injection.py, the heads of each fold.

Every row of a real source is scored by a model that saw nothing of its group (five folds; a BIPIA category, a cluster
of jailbreaks, a package is a group). The levels from which on a stretch is a finding are set on those scores of benign
rows alone. The weights that ship are fitted on all rows. The same data and packages give the same file.
"""

import argparse
import importlib.metadata
import json
import os
import zlib
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from injection_corpora import FOLDS, LICENCES, PACKAGES, Row, injection_rows, jailbreak_rows
from injection_fit import BITS, Instances, best_scores, levels_of, pieces_of, refined

from backstay.scan.injection_model import FORMAT, HEADS, HeadName
from backstay.scan.safetensors_file import write_tensors

WEIGHTS = Path(__file__).parents[2] / "src" / "backstay" / "scan" / "weights" / "injection.safetensors"
L2 = 1e-5
ROUNDS = {"jailbreak": 1, "takeover": 0, "task": 0}
SCALES_USED = {"jailbreak": (0, 1, 2, 3, 4), "takeover": (0, 1, 2, 3), "task": (0,)}
TASK_CATEGORIES = (
    "text:Information Retrieval", "text:Content Creation", "text:Learning and Tutoring", "text:Language Translation",
    "text:Programming Help",
)  # fmt: skip
LONE = ("injecguard/wildguard", "moderation/unflagged", "own/trigger_words", "own/harmless_role")
"""What people ask, as the whole of a text: a quarter of it teaches `task`, from which it differs by its place alone."""
LEVELS_ON = {
    "jailbreak": ("injecguard/wildguard", "moderation/unflagged", "hh-rlhf/request"),
    "takeover": (
        "injecguard/wildguard",
        "moderation/unflagged",
        "hh-rlhf/answer",
        "presidio/sentence",
        "packages/source",
    ),
    "task": ("hh-rlhf/answer", "presidio/sentence", "packages/source", "bipia/mail"),
}
FALSE_ALARMS = {"jailbreak": 0.008, "takeover": 0.006, "task": 0.008}
"""Share of the benign rows of LEVELS_ON, every source weighing alike, that may reach a level."""


@dataclass(frozen=True)
class Trained:
    """A head's weights and levels, and for each row its held-out best scores."""

    weights: np.ndarray
    bias: float
    levels: np.ndarray
    rows: Sequence[Row]
    held_out: np.ndarray
    folds: tuple[tuple[np.ndarray, float], ...]
    """Weights and bias fitted without each fold."""

    @property
    def found(self) -> np.ndarray:
        return (self.held_out >= self.levels).any(axis=1)


def rows_of(head: HeadName, data: Path) -> list[Row]:
    if head == "jailbreak":
        return jailbreak_rows(data)
    rows = injection_rows(data)
    if head == "task":
        return [row for row in rows if row.source not in LONE or zlib.crc32(row.text.encode()) % 4 == 0]
    return [row for row in rows if not (row.source == "own/task" or row.group in TASK_CATEGORIES)]


def trained(head: HeadName, data: Path) -> Trained:
    rows = rows_of(head, data)
    pieces = pieces_of(rows)
    found, folds = Instances(rows, pieces), np.array([row.fold for row in rows])
    best = np.zeros((len(rows), 5))
    without = []
    for fold in range(FOLDS):
        weights, bias = rounded(*refined(found, (folds != fold)[found.owner], L2, ROUNDS[head]))
        without.append((weights, bias))
        inside = np.flatnonzero(folds == fold)
        best[inside] = best_scores([pieces[i] for i in inside], weights, bias)
    weights, bias = rounded(*refined(found, np.ones(len(found.owner), bool), L2, ROUNDS[head]))
    own = np.flatnonzero(folds < 0)
    best[own] = best_scores([pieces[i] for i in own], weights, bias)
    return Trained(weights, bias, levels(head, rows, best), rows, best, tuple(without))


def rounded(weights: np.ndarray, bias: float) -> tuple[np.ndarray, float]:
    """Weights as they are after being stored in signed bytes."""
    scale = np.abs(weights).max() / 127
    return np.rint(weights / scale) * scale, bias


def levels(head: HeadName, rows: Sequence[Row], best: np.ndarray) -> np.ndarray:
    """Levels that FALSE_ALARMS of the held-out benign rows reach, every source weighing alike."""
    benign = [i for i, row in enumerate(rows) if row.source in LEVELS_ON[head] and not row.label]
    sizes = Counter(rows[i].source for i in benign)
    mass = np.array([1 / sizes[rows[i].source] for i in benign])
    return levels_of(best[benign], mass, FALSE_ALARMS[head], SCALES_USED[head])


def packed(heads: dict[HeadName, Trained], fold: int | None = None) -> bytes:
    """The file of the heads fitted on all rows, or without a fold; the levels are the same."""
    tensors, numbers = {}, {}
    for name, head in heads.items():
        weights, bias = (head.weights, head.bias) if fold is None else head.folds[fold]
        scale = np.abs(weights).max() / 127
        tensors[name] = np.rint(weights / scale).astype(np.int8)
        numbers[name] = {
            "scale": float(scale),
            "bias": bias,
            "levels": head.levels.tolist(),
        }
    return write_tensors(
        tensors, {"format": FORMAT, "heads": json.dumps(numbers, sort_keys=True), "card": "docs/scan/injection-card.md"}
    )


def shares(head: Trained) -> dict[str, dict[str, float]]:
    """For each source: rows, and the share held out that reaches a level."""
    found = {}
    for source in sorted({row.source for row in head.rows}):
        hit = head.found[[row.source == source for row in head.rows]]
        found[source] = {"rows": len(hit), "share": round(float(hit.mean()), 3)}
    return found


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--data", type=Path, default=Path(os.environ.get("BACKSTAY_DATA", "../shared/data")))
    parser.add_argument("--write", action="store_true", help="put the weights into the package")
    parser.add_argument("--folds", type=Path, help="a folder for the heads of each fold")
    args = parser.parse_args()
    if not (args.data / "bipia").is_dir():
        print(json.dumps({"benchmark": "train_injection", "skipped": f"no {args.data / 'bipia'}"}))
        return
    heads = {name: trained(name, args.data) for name in HEADS}
    raw = packed(heads)
    if args.write:
        WEIGHTS.write_bytes(raw)
    if args.folds:
        args.folds.mkdir(parents=True, exist_ok=True)
        for fold in range(FOLDS):
            (args.folds / f"injection-{fold}.safetensors").write_bytes(packed(heads, fold))
    packages = {name: importlib.metadata.version(name.removeprefix("_")) for name in PACKAGES}
    results = {
        name: {"levels": head.levels.round(3).tolist(), "held_out": shares(head)} for name, head in heads.items()
    }
    print(
        json.dumps(
            {
                "benchmark": "train_injection",
                "bytes": len(raw),
                "bits": BITS,
                "licences": LICENCES,
                "packages": packages,
                "results": results,
            }
        )
    )


if __name__ == "__main__":
    main()
