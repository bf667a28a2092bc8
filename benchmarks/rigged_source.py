"""A share of the judges pushes one source of responses: how far it moves, and whether it is named; one JSON line.

usage: python benchmarks/rigged_source.py [--data DIR] [--seeds N] [--honest N]

Simulated, after the size of WMT13 fr-en: 218 judges rank five of 13 systems at a time, 10,000 rankings, so about
100,000 pairwise votes. Judges differ in how much they judge, in sharpness, in taste for systems, and a twentieth clicks
at random. Planted: judges with the stated share of votes put the tenth system first in every ranking that shows it
and are honest otherwise. Real: llmfao, 124 raters on 59 language models, too sparse for the robust ranking; planted
there: raters who choose one model always. Bradley-Terry and Elo are computed here, for reference.
"""

import argparse
import csv
import gzip
import json
import os
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy.stats import kendalltau
from seed_interval import interval

from backstay.aggregate import VoteColumns
from backstay.aggregate.sources import SourceRanking, rank_sources, source_ranks

Floats = NDArray[np.float64]
Table = tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]
"""Rater, first source, second source, side of each vote."""
SYSTEMS, JUDGES, RANKINGS, SHOWN = 13, 218, 10_000, 5
TARGET_RANK = 10
SHARES = (0.05, 0.1, 0.2, 0.3, 0.4)
SIDES = {"left": 1, "right": -1, "tie": 0}


def crowd(seed: int) -> tuple[Floats, NDArray[np.int64], NDArray[np.int64], Floats, NDArray[np.int64]]:
    """True scores, judge and systems of each ranking, utilities that were felt (n, SHOWN), and their ties' widths."""
    rng = np.random.default_rng(seed)
    scores = np.sort(rng.normal(0.0, 0.45, SYSTEMS))[::-1].copy()
    activity = rng.lognormal(0.0, 1.0, JUDGES)
    judge = rng.choice(JUDGES, RANKINGS, p=activity / activity.sum())
    systems = np.argsort(rng.random((RANKINGS, SYSTEMS)), axis=1)[:, :SHOWN]
    sharpness = np.where(rng.random(JUDGES) < 0.05, 0.0, rng.lognormal(0.0, 0.4, JUDGES))
    taste = rng.normal(0.0, 0.2, (JUDGES, SYSTEMS))
    felt = (sharpness[:, None] * scores + taste)[judge[:, None], systems] + rng.gumbel(size=systems.shape)
    return scores, judge, systems, felt, rng.permutation(JUDGES)


def pushed(judge: NDArray[np.int64], order: NDArray[np.int64], share: float) -> NDArray[np.bool_]:
    """The first judges in `order` that hold the share of rankings, or as near as whole judges come."""
    held = np.cumsum(np.bincount(judge, minlength=JUDGES)[order]) / judge.size
    bad = np.zeros(JUDGES, dtype=np.bool_)
    bad[order[: int(np.sum(held <= share + 0.01))]] = share > 0.0
    return bad


def pairwise(judge: NDArray[np.int64], systems: NDArray[np.int64], felt: Floats) -> Table:
    first, second = np.triu_indices(SHOWN, 1)
    difference = felt[:, first] - felt[:, second]
    side = np.where(np.abs(difference) < 0.35, 0, np.sign(difference)).astype(np.int64)
    return np.repeat(judge, first.size), systems[:, first].ravel(), systems[:, second].ravel(), side.ravel()


def columns_of(table: Table, n_raters: int, n_sources: int, share: float) -> VoteColumns:
    rater, first, second, side = table
    return VoteColumns(
        start=np.arange(rater.size + 1), rater=rater.astype(np.int32), side=side.astype(np.int8),
        shown=np.zeros(rater.size, dtype=np.int8), share=np.full(rater.size, share, dtype=np.float32),
        a=first.astype(np.int32), b=second.astype(np.int32), gold=np.zeros(rater.size, dtype=np.int8),
        n_raters=n_raters, n_responses=n_sources,
    )  # fmt: skip


def elo(table: Table, n_sources: int, seed: int) -> Floats:
    """Elo from 1000 in random order, K = 4, base 10, scale 400; mean of three orders."""
    _, first, second, side = table
    total = np.zeros(n_sources)
    for k in range(3):
        rating = [1000.0] * n_sources
        for j in np.random.default_rng([seed, k]).permutation(side.size).tolist():
            a, b = int(first[j]), int(second[j])
            expected = 1.0 / (1.0 + 10.0 ** ((rating[b] - rating[a]) / 400.0))
            change = 4.0 * ((side[j] + 1.0) / 2.0 - expected)
            rating[a] += change
            rating[b] -= change
        total += np.array(rating)
    return total / 3.0


def bradley_terry(table: Table, n_sources: int) -> Floats:
    """Log-strengths by Zermelo's iteration with one virtual draw against a fixed opponent, ties as half a win."""
    _, first, second, side = table
    score = (side + 1.0) / 2.0
    cell = np.bincount(first * n_sources + second, minlength=n_sources**2).reshape(n_sources, -1)
    games = cell + cell.T + 0.0
    wins = np.bincount(first, score, n_sources) + np.bincount(second, 1.0 - score, n_sources) + 0.5
    strength = np.ones(n_sources)
    for _ in range(3000):
        rate = (games / (strength[:, None] + strength[None, :])).sum(axis=1) + 1.0 / (strength + 1.0)
        strength = wins / rate
    return np.log(strength)


def numbered(n: int) -> list[str]:
    return [f"s{k:02d}" for k in range(n)]


def named_first(found: SourceRanking, target: int) -> bool:
    return bool(found.alarms) and found.alarms[0].source == f"s{target:02d}"


def simulated(seed: int, share: float, simulations: int, *, pushes: float = 1.0, split: int = 0) -> dict[str, float]:
    """Ranks of the target under the plain and robust rankings with a planted share of judges.

    A rigged ranking is dishonest with probability `pushes`; with `split`, riggers use a new account each so many.
    """
    truth, judge, systems, felt, order = crowd(seed)
    bad = pushed(judge, order, share)
    target = TARGET_RANK - 1
    lies = bad[judge] & (np.random.default_rng([seed, 1]).random(judge.size) < pushes)
    felt = np.where((systems == target) & lies[:, None], 1e3, felt)
    if split:
        judge = np.where(bad[judge], JUDGES + (np.cumsum(bad[judge]) - 1) // split, judge)
        bad = np.arange(int(judge.max()) + 1) >= JUDGES
    table = pairwise(judge, systems, felt)
    found = rank_sources(
        columns_of(table, bad.size, SYSTEMS, 2.0 / SHOWN), numbered(SYSTEMS), simulations=simulations, seed=seed
    )
    fits = {"robust": found.robust, "bt": bradley_terry(table, SYSTEMS), "elo": elo(table, SYSTEMS, seed)}
    result: dict[str, float] = {f"{name}_rank": float(source_ranks(x)[target]) for name, x in fits.items()}
    result |= {f"{name}_tau": float(kendalltau(x, truth).statistic) for name, x in fits.items()}
    raters = {r for alarm in found.alarms for r in alarm.raters}
    return result | {
        "named_first": float(named_first(found, target)),
        "others_named": float(sum(alarm.source != f"s{target:02d}" for alarm in found.alarms)),
        "target_z": float(found.dispersion_z[target]),
        "false_alarm_rate": found.false_alarm_rate,
        "riggers_named": len(raters & set(np.flatnonzero(bad))) / max(bad.sum(), 1),
        "honest_named": len(raters - set(np.flatnonzero(bad))) / max((~bad).sum(), 1),
    }


def real(data: Path, seed: int, share: float) -> dict[str, float]:
    """Llmfao with planted raters who always choose the model at rank 45."""
    with gzip.open(data / "crowd" / "llmfao_judgments.csv.gz", "rt", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    models = sorted({row["left"] for row in rows} | {row["right"] for row in rows})
    raters = sorted({row["worker"] for row in rows})
    table: Table = (
        np.array([raters.index(row["worker"]) for row in rows]),
        np.array([models.index(row["left"]) for row in rows]),
        np.array([models.index(row["right"]) for row in rows]),
        np.array([SIDES[row["label"]] for row in rows]),
    )
    clean = bradley_terry(table, len(models))
    target = int(np.argsort(-clean)[44])
    order = np.random.default_rng(seed).permutation(len(raters))
    held = np.cumsum(np.bincount(table[0])[order]) / len(rows)
    bad = np.isin(table[0], order[: int(np.sum(held <= share + 0.01))]) & (share > 0.0)
    side = np.where(bad & (table[1] == target), 1, np.where(bad & (table[2] == target), -1, table[3]))
    table = (*table[:3], side)
    found = rank_sources(columns_of(table, len(raters), len(models), 1.0), numbered(len(models)), seed=seed)
    reference = bradley_terry(table, len(models))
    return {
        "dense": float(found.dense),
        "bt_rank": float(source_ranks(reference)[target]),
        "robust_rank": float(source_ranks(found.robust)[target]),
        "tau_to_bt": float(kendalltau(found.robust, reference).statistic),
        "tau_to_clean_bt": float(kendalltau(found.robust, clean).statistic),
        "named_first": float(named_first(found, target)),
        "alarms": float(len(found.alarms)),
        "target_z": float(found.dispersion_z[target]),
        "false_alarm_rate": found.false_alarm_rate,
    }


def over_seeds(runs: list[dict[str, float]]) -> dict[str, list[float]]:
    return {key: interval([run[key] for run in runs]) for key in runs[0]}


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--data", type=Path, default=Path(os.environ.get("BACKSTAY_DATA", "../shared/data")))
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--honest", type=int, default=40, help="honest data sets on which alarms are counted")
    options = parser.parse_args()
    seeds = range(options.seeds)
    planted = {f"{share:g}": over_seeds([simulated(seed, share, 199) for seed in seeds]) for share in (0.0, *SHARES)}
    adaptive = {
        "0.3 of judges, in half of their rankings": over_seeds([simulated(s, 0.3, 199, pushes=0.5) for s in seeds]),
        "0.3 of rankings, five to an account": over_seeds([simulated(s, 0.3, 199, split=5) for s in seeds]),
        "0.3 of rankings, two to an account": over_seeds([simulated(s, 0.3, 199, split=2) for s in seeds]),
    }
    honest = [simulated(1000 + seed, 0.0, 199) for seed in range(options.honest)]
    result = {
        "benchmark": "rigged_source",
        "seeds": options.seeds,
        "simulated": "judges, systems and rigging; 218 judges, 13 systems, 100,000 pairwise votes from 10,000 rankings",
        "target_rank": TARGET_RANK,
        "planted_share": planted,
        "adaptive": adaptive,
        "honest_sets": options.honest,
        "honest_sets_with_alarm": int(sum(run["named_first"] + run["others_named"] > 0 for run in honest)),
    }
    if (options.data / "crowd" / "llmfao_judgments.csv.gz").exists():
        cases = {f"{share:g}": over_seeds([real(options.data, seed, share) for seed in seeds]) for share in (0.0, 0.3)}
        result["llmfao"] = cases
    print(json.dumps(result))


if __name__ == "__main__":
    main()
