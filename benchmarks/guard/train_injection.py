"""Train the three heads of backstay.scan.injection, set their thresholds and write the weights; one JSON line.

usage: python benchmarks/guard/train_injection.py [--data DIR] [--write]

Every row of a real source is scored by a model that saw nothing of its group (five folds; a BIPIA category, a cluster of
jailbreaks, a package is a group). Thresholds and the mix of scales are set on those scores: thresholds on benign rows
alone. The weights that ship are fitted on all rows. The same data and packages give the same file.
"""

import argparse
import importlib.metadata
import json
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from injection_corpora import FOLDS, LICENCES, PACKAGES, Row, injection_rows, jailbreak_rows
from injection_fit import BITS, Instances, best_scores, fit_weights, mixed, pieces_of

from backstay.scan.injection_model import FORMAT, HEADS, HeadName, probability
from backstay.scan.safetensors_file import write_tensors

WEIGHTS = Path(__file__).parents[2] / "src" / "backstay" / "scan" / "weights" / "injection.safetensors"
L2 = {"jailbreak": 1e-5, "takeover": 1e-5, "task": 1e-5}
TASK_CATEGORIES = (
    "text:Information Retrieval", "text:Content Creation", "text:Learning and Tutoring", "text:Language Translation",
    "text:Programming Help",
)  # fmt: skip
LONE = ("injecguard/wildguard", "moderation/unflagged", "own/trigger_words", "own/harmless_role")
"""What people ask, as the whole of a text: no takeover; as a task it is judged beside other matter only."""
THRESHOLD_ON = {
    "jailbreak": ("injecguard/wildguard", "moderation/unflagged", "hh-rlhf/request"),
    "takeover": ("injecguard/wildguard", "moderation/unflagged", "hh-rlhf/answer", "presidio/sentence", "packages/source"),
    "task": ("hh-rlhf/answer", "presidio/sentence", "packages/source", "bipia/mail"),
}
FALSE_ALARMS = {"jailbreak": 0.01, "takeover": 0.005, "task": 0.007}
"""Share of the benign rows of THRESHOLD_ON, every source weighing alike, that may reach the threshold."""


@dataclass(frozen=True)
class Trained:
    """A head's weights, its mix of scales and its threshold, and the held-out probability of each row."""

    weights: np.ndarray
    bias: float
    mix: np.ndarray
    offset: float
    threshold: float
    rows: Sequence[Row]
    held_out: np.ndarray


def rows_of(head: HeadName, data: Path) -> list[Row]:
    if head == "jailbreak":
        return jailbreak_rows(data)
    rows = injection_rows(data)
    if head == "task":
        return [row for row in rows if row.source not in LONE]
    return [row for row in rows if not (row.source == "own/task" or row.group in TASK_CATEGORIES)]


def trained(head: HeadName, data: Path) -> Trained:
    rows = rows_of(head, data)
    pieces = pieces_of(rows)
    found, folds = Instances(rows, pieces), np.array([row.fold for row in rows])
    best = np.zeros((len(rows), 5))
    for fold in range(FOLDS):
        weights, bias = fit_weights(found, (folds != fold)[found.owner], L2[head])
        inside = np.flatnonzero(folds == fold)
        best[inside] = best_scores([pieces[i] for i in inside], weights, bias)
    weights, bias = rounded(*fit_weights(found, np.ones(len(found.owner), bool), L2[head]))
    own = np.flatnonzero(folds < 0)
    best[own] = best_scores([pieces[i] for i in own], weights, bias)
    mix, offset = mixed(best[folds >= 0], [row for row in rows if row.fold >= 0])
    chances = np.array([probability(logit) for logit in best @ mix + offset])
    return Trained(weights, bias, mix, offset, threshold(head, rows, chances), rows, chances)


def rounded(weights: np.ndarray, bias: float) -> tuple[np.ndarray, float]:
    """Weights as they are after being stored in signed bytes."""
    scale = np.abs(weights).max() / 127
    return np.rint(weights / scale) * scale, bias


def threshold(head: HeadName, rows: Sequence[Row], chances: np.ndarray) -> float:
    """The least probability that the allowed share of benign rows reaches, every source weighing alike."""
    mass, values = [], []
    for source in THRESHOLD_ON[head]:
        scores = [chance for row, chance in zip(rows, chances, strict=True) if row.source == source and not row.label]
        values += scores
        mass += [1 / len(scores)] * len(scores)
    order = np.argsort(values)[::-1]
    above = np.cumsum(np.array(mass)[order]) / sum(mass)
    at = int(np.searchsorted(above, FALSE_ALARMS[head], side="right"))
    return float(np.round(np.array(values)[order][at] + 1e-6, 6))


def packed(heads: dict[HeadName, Trained]) -> bytes:
    tensors, numbers = {}, {}
    for name, head in heads.items():
        scale = np.abs(head.weights).max() / 127
        tensors[name] = np.rint(head.weights / scale).astype(np.int8)
        numbers[name] = {
            "scale": float(scale),
            "bias": head.bias,
            "mix": head.mix.tolist(),
            "offset": head.offset,
            "threshold": head.threshold,
        }
    return write_tensors(tensors, {"format": FORMAT, "heads": json.dumps(numbers, sort_keys=True), "card": "docs/scan/injection-card.md"})


def shares(head: Trained) -> dict[str, dict[str, float]]:
    """For each source: rows, and the share held out that reaches the threshold."""
    found = {}
    for source in sorted({row.source for row in head.rows}):
        scores = head.held_out[[row.source == source for row in head.rows]]
        found[source] = {"rows": len(scores), "share": round(float((scores >= head.threshold).mean()), 3)}
    return found


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--data", type=Path, default=Path(os.environ.get("BACKSTAY_DATA", "../shared/data")))
    parser.add_argument("--write", action="store_true", help="put the weights into the package")
    args = parser.parse_args()
    if not (args.data / "bipia").is_dir():
        print(json.dumps({"benchmark": "train_injection", "skipped": f"no {args.data / 'bipia'}"}))
        return
    heads = {name: trained(name, args.data) for name in HEADS}
    raw = packed(heads)
    if args.write:
        WEIGHTS.write_bytes(raw)
    packages = {name: importlib.metadata.version(name.removeprefix("_")) for name in PACKAGES}
    results = {
        name: {"threshold": head.threshold, "mix": head.mix.round(3).tolist(), "offset": round(head.offset, 3), "held_out": shares(head)}
        for name, head in heads.items()
    }
    print(json.dumps({"benchmark": "train_injection", "bytes": len(raw), "bits": BITS, "licences": LICENCES, "packages": packages, "results": results}))


if __name__ == "__main__":
    main()
