"""What liars cost the reward model, and what aggregation saves of it, on real judgments; one JSON line.

    python benchmarks/aggregate_reward.py [--data DIR] [--seeds 5]

Real: UKPConvArg1 judgments and the texts of the arguments. Simulated: liars who cast 30 % of the judgments. A linear
Bradley-Terry reward on hashed words is trained on the pairs of 12 topics, labelled by the aggregate, and tested on the
gold pairs of the 4 other topics; every topic is tested once a seed. A tenth of the gold answers are anchors. `saved` is
(reliability - majority) / (clean - majority), where clean is reliability without liars: 1 = nothing is lost.
"""

import argparse
import csv
import gzip
import json
import os
from pathlib import Path

import numpy as np
from crowd_data import Crowd, attacked, read_crowd
from numpy.typing import NDArray
from scipy import sparse
from scipy.special import expit
from seed_interval import interval

from backstay.aggregate import AggregateSettings, VoteColumns, fit_columns
from backstay.aggregate.baselines import BASELINES
from backstay.screen.margins import fit_sparse_bt
from backstay.screen.text_features import frequent_columns, pair_difference

Floats = NDArray[np.float64]
ATTACKS = ("flip", "spam", "collude", "bloc", "camouflage")
SHARE = 0.3
FOLDS = 4
RIDGE = 1.0
SURE = 3.9


def features(folder: Path, crowd: Crowd, names: list[str]) -> sparse.csr_array:
    """Differences of the two arguments' features for each pair."""
    with gzip.open(folder / "ukp_items.jsonl.gz", "rt", encoding="utf-8") as file:
        texts = {row["item"]: row["text"] for row in map(json.loads, file)}
    first = [texts[names[r]] for r in crowd.columns.a]
    second = [texts[names[r]] for r in crowd.columns.b]
    return pair_difference([""] * len(first), first, second)


def labels(columns: VoteColumns, method: str) -> Floats:
    """Probability of a for each pair."""
    if method == "reliability":
        log_odds = fit_columns(columns, AggregateSettings()).log_odds
    else:
        log_odds = BASELINES[method](columns, 0).log_odds
    p_a: Floats = expit(np.clip(log_odds, -SURE, SURE))
    return p_a


def reward_accuracy(difference: sparse.csr_array, p_a: Floats, crowd: Crowd, fold: NDArray[np.int64]) -> float:
    """Share of gold pairs of held-out topics that the reward orders rightly."""
    right = []
    for f in range(FOLDS):
        train, test = fold[crowd.topic] != f, (fold[crowd.topic] == f) & (crowd.gold != 0)
        kept = frequent_columns(sparse.csr_array(difference[train]), 3)
        inside = sparse.csr_array(difference[:, kept])
        weights = fit_sparse_bt(sparse.csr_array(inside[train]), p_a[train], np.ones(int(train.sum())), ridge=RIDGE)
        said = np.asarray(inside[test] @ weights)
        right.append((said > 0) == (crowd.gold[test] > 0))
    return float(np.mean(np.concatenate(right)))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, default=Path(os.environ.get("BACKSTAY_DATA", "../shared/data")))
    parser.add_argument("--seeds", type=int, default=5)
    options = parser.parse_args()
    folder = options.data / "crowd"
    if not (folder / "ukp_items.jsonl.gz").exists():
        print(json.dumps({"benchmark": "aggregate_reward", "skipped": f"no ukp_items.jsonl.gz in {folder}"}))
        return
    crowd = read_crowd(folder, "ukp")
    difference = features(folder, crowd, response_names(folder))
    topics = int(crowd.topic.max()) + 1
    rows: dict[str, list[list[float]]] = {attack: [] for attack in ATTACKS}
    for seed in range(10, 10 + options.seeds):
        fold = np.random.default_rng(seed).permutation(topics) % FOLDS
        honest = attacked(crowd, "none", 0.0, 0.1, np.random.default_rng(seed))
        clean = reward_accuracy(difference, labels(honest.columns, "reliability"), crowd, fold)
        for attack in ATTACKS:
            columns = attacked(crowd, attack, SHARE, 0.1, np.random.default_rng(seed)).columns
            arms = [reward_accuracy(difference, labels(columns, m), crowd, fold) for m in ("majority", "reliability")]
            rows[attack].append([clean, *arms])
    results = {}
    for attack, found in rows.items():
        clean, majority, own = np.array(found).T
        lost = float(np.mean(clean - majority))
        results[attack] = {
            "clean": interval(clean.tolist()),
            "majority": interval(majority.tolist()),
            "reliability": interval(own.tolist()),
            "lost_by_majority": round(lost, 4),
            "saved": round(float(np.mean(own - majority)) / lost, 3) if lost > 0 else None,
        }
    print(json.dumps({"benchmark": "aggregate_reward", "seeds": options.seeds, "share": SHARE, "results": results}))


def response_names(folder: Path) -> list[str]:
    """Names of the responses in the order in which `read_crowd` numbers them."""
    with gzip.open(folder / "ukp_judgments.csv.gz", "rt", encoding="utf-8") as file:
        rows = sorted(csv.DictReader(file), key=lambda row: (row["task"], row["worker"]))
    return list(dict.fromkeys(name for row in rows for name in (row["left"], row["right"])))


if __name__ == "__main__":
    main()
