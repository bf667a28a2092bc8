"""Active and adaptive assignment against uniform on real crowd judgments, replayed; one JSON line.

    python benchmarks/feedback/assignment.py [--data DIR] [--seeds 5] [--attack-seeds 3] [--sets ukp,sp_amt] [--tune]

Real: UKPConvArg1, sp_amt, cf_amt (as two classes: the commonest or another) and llmfao. Judgments are looked at only
where a rater really gave one. Uniform: a random judgment of every item in random order, then a second, and so on.
Active: `vote_probabilities` of `backstay.feedback.selection` picks items for 20 raters at a time, and a random rater
answers, as in uniform; routed: the most telling of the raters who really answered that item does. All are aggregated
by the same aggregator, `backstay.aggregate` or the majority, and scored against gold, which selection never sees. Gold
of UKP was made from all five judgments of an item, so only all of them agree with it fully; the reference of llmfao is
a model's verdict and no gold. Every set has judgments for a level of 4 an item and some left to choose from.
Simulated: the attackers, who cast 30 % of the judgments.
Tuned: `Ties`, `equality`, `first_votes` on four UKP topics with seeds 0 to 2 (--tune shows these); the sets here are
the other twelve topics and all else, with seeds from 10. sp_amt was looked at with seeds 0 to 3 while this was built.
"""

import argparse
import json
import os
import sys
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from crowd_replay import Active, ActiveReplay, fit_shown, revealed_columns, uniform_order
from numpy.typing import NDArray

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from crowd_data import Crowd, accuracy, attacked, of_topics, read_crowd
from seed_interval import interval

from backstay.aggregate import Fit
from backstay.aggregate.baselines import BASELINES
from backstay.feedback.selection.belief import Ties

Floats = NDArray[np.float64]
FIRST_SEED = 10
TUNED_TOPICS = range(4)
LEVELS = (2, 3, 4, 5)
HEADLINE = 4
STEP = 0.25
DENSE_UPTO = 6
ATTACKS = ("bloc", "collude")
LIARS = 0.3
TIES = {"ukp": Ties(), "sp_amt": Ties.none(), "cf_amt": Ties.none(), "llmfao": Ties()}
POLICIES = ("active", "routed")
AGGREGATORS = ("backstay", "majority")
SURE = 2
"""Column of a curve after those of the aggregators: mean certainty that the aggregate itself states."""


def budgets(crowd: Crowd) -> NDArray[np.int64]:
    """Judgments at which policies are scored: each quarter of a vote an item from 1 to 6, then 8, 10, 15 and all."""
    size, votes = crowd.columns.n_items, crowd.columns.n_votes
    levels = np.concatenate([np.arange(1, DENSE_UPTO, STEP), [DENSE_UPTO, 8, 10, 15]])
    found = np.round(levels * size).astype(np.int64)
    return np.append(found[found < votes], votes)


def curve(crowd: Crowd, order: Iterable[int], learn: Callable[[Fit], None] | None = None) -> Floats:
    """Accuracy (budgets, aggregators + 1) of what was looked at so far, and the mean certainty of our aggregate."""
    columns, scored = crowd.columns, crowd.gold != 0
    shown, rows, due = np.zeros(columns.n_votes, dtype=np.bool_), [], set(budgets(crowd).tolist())
    for count, vote in enumerate(order, start=1):
        shown[vote] = True
        if count in due:
            fit = fit_shown(columns, shown)
            majority = BASELINES["majority"](revealed_columns(columns, shown), 0).log_odds
            sure = float(np.mean(1.0 / (1.0 + np.exp(-np.abs(fit.log_odds)))))
            rows.append([accuracy(fit.log_odds, crowd, scored), accuracy(majority, crowd, scored), sure])
            if learn is not None:
                learn(fit)
    return np.array(rows)


def curves(crowd: Crowd, ties: Ties, seed: int) -> Floats:
    """Curves (1 + policies, budgets, aggregators + 1) of uniform and of each active policy."""
    found = [curve(crowd, uniform_order(crowd.columns, np.random.default_rng([seed, 0])))]
    for policy in POLICIES:
        active = Active(ties=ties, routed=policy == "routed")
        replay = ActiveReplay(crowd.columns, active, np.random.default_rng([seed, 1]))
        found.append(curve(crowd, replay.run(), replay.learn))
    return np.array(found)


def rising(values: Floats) -> Floats:
    """The closest curve that never falls (pool adjacent violators), so that noise crosses no level by chance."""
    blocks: list[list[float]] = []
    for value in values:
        blocks.append([float(value), 1.0])
        while len(blocks) > 1 and blocks[-2][0] >= blocks[-1][0]:
            mean, size = blocks.pop()
            blocks[-1] = [(blocks[-1][0] * blocks[-1][1] + mean * size) / (blocks[-1][1] + size), blocks[-1][1] + size]
    return np.concatenate([np.full(int(size), mean) for mean, size in blocks])


def needed(at: NDArray[np.int64], values: Floats, target: float) -> float:
    """Judgments at which the risen curve reaches `target`; the last budget where it never does."""
    smooth = rising(values)
    i = int(np.searchsorted(smooth, target - 1e-12))
    if i in (0, smooth.size):
        return float(at[min(i, smooth.size - 1)])
    return float(at[i - 1] + (at[i] - at[i - 1]) * (target - smooth[i - 1]) / (smooth[i] - smooth[i - 1]))


def saved(at: NDArray[np.int64], uniform: Floats, active: Floats, budget: float) -> float:
    """Share of `budget` that active assignment does without at the accuracy that uniform has there."""
    return 1.0 - needed(at, active, float(np.interp(budget, at, rising(uniform)))) / budget


def pseudo_values(at: NDArray[np.int64], uniform: Floats, active: Floats, budget: float) -> list[float]:
    """Jackknife over S seeds of what is saved by the mean curves (S, budgets): S values whose mean estimates it.

    A level is read off the mean of all seeds and not off each: on a flat curve one seed may cross anywhere.
    """
    whole, size = saved(at, uniform.mean(axis=0), active.mean(axis=0), budget), len(uniform)
    if size == 1:
        return [whole]
    left_out = [np.arange(size) != s for s in range(size)]
    parts = [saved(at, uniform[left].mean(axis=0), active[left].mean(axis=0), budget) for left in left_out]
    return [size * whole - (size - 1) * part for part in parts]


def measured(crowd: Crowd, ties: Ties, seeds: range) -> tuple[dict[str, Any], Floats]:
    """Figures of a set, and the mean curves."""
    at, size = budgets(crowd), crowd.columns.n_items
    runs = np.array([curves(crowd, ties, seed) for seed in seeds])
    mean = runs.mean(axis=0)
    facts: dict[str, Any] = {
        "items": size, "judgments": crowd.columns.n_votes, "scored": int(np.sum(crowd.gold != 0)),
        "votes_per_item": np.round(at / size, 3).tolist(),
    }  # fmt: skip
    for a, aggregator in enumerate(AGGREGATORS):
        facts[aggregator] = {"uniform": np.round(mean[0, :, a], 4).tolist()}
        for p, policy in enumerate(POLICIES):
            table = {}
            for level in (level for level in LEVELS if level * size < crowd.columns.n_votes):
                pseudo = pseudo_values(at, runs[:, 0, :, a], runs[:, p + 1, :, a], level * size)
                table[str(level)] = named(pseudo) | {"pseudo_values": pseudo}
            facts[aggregator][policy] = {"curve": np.round(mean[p + 1, :, a], 4).tolist(), "saved": table}
    return facts, mean


def named(values: Sequence[float]) -> dict[str, float]:
    """Mean and interval over seeds."""
    return dict(zip(("mean", "low", "high"), interval(values), strict=True))


def under_attack(crowd: Crowd, ties: Ties, seeds: range, clean: Floats) -> dict[str, Any]:
    """Accuracy with simulated attackers, paired: uniform at the headline's budget; an active policy there; at the fewer
    judgments with which it was as good as that without attackers, and uniform there too; and where our aggregate is as
    sure as it was with these, which is where a lead who asks for a certainty would stop.
    """
    found: dict[str, Any] = {}
    for attack in ATTACKS:
        runs = []
        for seed in seeds:
            planted = attacked(crowd, attack, LIARS, 0.0, np.random.default_rng(seed))
            runs.append(curves(Crowd(planted.columns, crowd.gold, crowd.topic, crowd.time), ties, seed))
        found[attack] = {
            aggregator: {
                policy: _poisoned(crowd, np.array(runs)[:, [0, p + 1]], clean[[0, p + 1]], a)
                for p, policy in enumerate(POLICIES)
            }
            for a, aggregator in enumerate(AGGREGATORS)
        }
    return found


def _poisoned(crowd: Crowd, runs: Floats, clean: Floats, a: int) -> dict[str, Any]:
    """Of curves (seeds, 2, budgets, columns) of uniform and a policy under attack; (2, budgets, columns) without."""
    at, full = budgets(crowd), HEADLINE * crowd.columns.n_items
    fewer = full * (1.0 - saved(at, *clean[..., a], full))
    wanted = float(np.interp(fewer, at, clean[1, :, SURE]))
    stops = [needed(at, run[1, :, SURE], wanted) for run in runs]
    uniform = np.array([np.interp(full, at, run[0, :, a]) for run in runs])
    found = {
        "same_judgments": [np.interp(full, at, run[1, :, a]) for run in runs],
        "fewer_judgments": [np.interp(fewer, at, run[1, :, a]) for run in runs],
        "uniform_fewer_judgments": [np.interp(fewer, at, run[0, :, a]) for run in runs],
        "same_certainty": [np.interp(stop, at, run[1, :, a]) for stop, run in zip(stops, runs, strict=True)],
    }
    return {
        "uniform": named(uniform.tolist()),
        **{name: named(values) for name, values in found.items()},
        **{f"{name}_less_uniform": named((np.array(values) - uniform).tolist()) for name, values in found.items()},
        "fewer": round(fewer / full, 4),
        "judgments_to_same_certainty": named([stop / full for stop in stops]),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, default=Path(os.environ.get("BACKSTAY_DATA", "../shared/data")))
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--attack-seeds", type=int, default=3)
    parser.add_argument("--sets", default="ukp,sp_amt,cf_amt,llmfao")
    parser.add_argument("--tune", action="store_true", help="the four topics on which parameters were chosen")
    parser.add_argument("--merge", type=Path, nargs="+", help="put lines together that were printed set by set")
    options = parser.parse_args()
    if options.merge:
        print(json.dumps(_merged([json.loads(path.read_text()) for path in options.merge])))
        return
    folder = options.data / "crowd"
    if not (folder / "ukp_judgments.csv.gz").exists():
        print(json.dumps({"benchmark": "assignment", "skipped": f"no ukp_judgments.csv.gz in {folder}"}))
        return
    first = 0 if options.tune else FIRST_SEED
    seeds, attack_seeds = range(first, first + options.seeds), range(first, first + options.attack_seeds)
    sets: dict[str, Any] = {}
    for name in ["ukp"] if options.tune else options.sets.split(","):
        crowd = read_crowd(folder, name)
        if name == "ukp":
            crowd = of_topics(crowd, [t for t in range(crowd.topic.max() + 1) if (t in TUNED_TOPICS) == options.tune])
        sets[name], clean = measured(crowd, TIES[name], seeds)
        if options.attack_seeds and name in ("ukp", "sp_amt"):
            sets[name]["attacked"] = under_attack(crowd, TIES[name], attack_seeds, clean)
        print(name, {p: sets[name]["backstay"][p]["saved"] for p in POLICIES}, file=sys.stderr)
    print(json.dumps({"benchmark": "assignment", "seeds": options.seeds, "attack_seeds": options.attack_seeds,
                      "level": HEADLINE, "liars": LIARS, "saved": _together(sets), "sets": sets}))  # fmt: skip


def _merged(lines: list[dict[str, Any]]) -> dict[str, Any]:
    """One line of several with equal seeds; `attack_seeds` is the least."""
    sets = {name: found for line in lines for name, found in line["sets"].items()}
    least = min(line["attack_seeds"] for line in lines)
    return lines[0] | {"attack_seeds": least, "saved": _together(sets), "sets": sets}


def _together(sets: dict[str, Any]) -> dict[str, Any]:
    """Savings on the sets together: of all their judgments, and the mean of the sets."""
    weights = [sets[name]["items"] for name in sets]
    found: dict[str, Any] = {}
    for aggregator in AGGREGATORS:
        for policy in POLICIES:
            rows = [sets[name][aggregator][policy]["saved"][str(HEADLINE)]["pseudo_values"] for name in sets]
            found.setdefault(aggregator, {})[policy] = {
                "of_all_judgments": named(np.average(rows, axis=0, weights=weights).tolist()),
                "mean_of_sets": named(np.mean(rows, axis=0).tolist()),
            }
    return found


if __name__ == "__main__":
    main()
