"""Aggregation of real judgments with planted liars, against other methods in the same run; one JSON line.

    python benchmarks/aggregate_attacks.py [--data DIR] [--seeds 5] [--sets ukp,sp_amt] [--peer-venv DIR]

Real: UKPConvArg1 (41,750 judgments of pairs of arguments, 2,440 raters, 5,730 gold) and sp_amt. Simulated: the liars.
A tenth of the gold answers is given as anchors to the methods that take gold; the rest scores. The methods besides
`backstay` are ours (`backstay.aggregate.baselines`) and, with --peer-venv, crowd-kit's, evalica's and choix's own.
Sleepers: `audited` may ask a simulated adjudicator, who errs in 5 %, about 1.5 % of the pairs; those are not scored.
`coupling`, `position_votes` and `gold_weight` were chosen on this half of UKP with seeds 0 to 2; here seeds start at
10.
"""

import argparse
import json
import os
import subprocess
import tempfile
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from crowd_data import Attacked, Crowd, accuracy, attacked, auroc, read_crowd
from seed_interval import interval

from backstay.aggregate import AggregateSettings, Fit, VoteColumns, fit_columns
from backstay.aggregate.baselines import BASELINES
from backstay.aggregate.calibration import calibration_error, cooled, fit_temperature
from backstay.aggregate.content import witnessed
from backstay.aggregate.contexts import Suspicion, adopt_topics, draw_audit, split_topics, suspected, suspicions
from backstay.aggregate.shifts import LEAST, earlier_votes, find_shifts
from backstay.aggregate.trust import groups_of, known_of, own_voice
from backstay.aggregate.voices import Voices, set_apart
from backstay.aggregate.votes import Floats

SETTINGS = AggregateSettings()
METHODS = ("majority", "dawid-skene", "one-coin", "mace", "bradley-terry", "noisy-bradley-terry")
CASES = [("none", 0.0)] + [
    (attack, share) for share in (0.2, 0.3, 0.4) for attack in ("flip", "spam", "collude", "bloc", "camouflage")
]
ADAPTIVE = [(attack, share) for share in (0.3, 0.4) for attack in ("noisy", "push", "known")]
WITHOUT_GOLD = [("none", 0.0), ("flip", 0.3), ("spam", 0.3), ("bloc", 0.3)]
ADJUDICATOR_ERRS = 0.05
FIRST_SEED = 10
CALIBRATED = 0.25
"""Share of liars below which calibration is measured; it takes five more fits."""

MANY = 10
"""Judgments from which on a rater is one of many judgments."""


def ours(crowd: Crowd, planted: Attacked, seed: int) -> dict[str, float]:
    """Accuracy, trust and flags of the reliability model."""
    started = time.process_time()
    fit = fit_columns(planted.columns, SETTINGS)
    seconds = time.process_time() - started
    groups = groups_of(planted.columns, fit)
    trust = known_of(planted.columns, fit, SETTINGS).accuracy * own_voice(groups, planted.columns.n_raters)
    named = np.zeros(planted.bad.size, dtype=np.bool_)
    for group in groups:
        named |= (group.bloc.membership >= SETTINGS.bloc_membership) & (not group.preference)
    result = {"backstay": accuracy(fit.log_odds, crowd, planted.scored), "cpu_s": seconds, "blocs": float(len(groups))}
    if planted.bad.any():
        many = np.bincount(planted.columns.rater, minlength=trust.size) >= MANY
        result |= {
            "auroc": auroc(trust, planted.bad),
            "auroc_many": auroc(trust[many], planted.bad[many]),
            "auroc_known_answers": auroc(known_answers(crowd, planted.columns), planted.bad),
            "liars_named": float(named[planted.bad].mean()),
        }
    if planted.anchors.any() and planted.bad.mean() < CALIBRATED:
        result["ece"] = calibration(crowd, fit, planted, seed)
    return result | {"honest_named": float(named[~planted.bad].mean())}


def others(crowd: Crowd, planted: Attacked, seed: int, peers: Path | None) -> dict[str, float]:
    """Accuracy of the other methods; a peer's NaN is a crash or a refusal."""
    found = {name: accuracy(BASELINES[name](planted.columns, seed).log_odds, crowd, planted.scored) for name in METHODS}
    if peers is None:
        return found
    with tempfile.TemporaryDirectory() as folder:
        votes = Path(folder) / "votes.npz"
        c = planted.columns
        np.savez(votes, item=c.item, rater=c.rater, side=c.side, a=c.a, b=c.b, gold=c.gold)
        script = Path(__file__).with_name("aggregate_peer.py")
        subprocess.run([peers / "bin" / "python", script, votes, folder], check=True, capture_output=True)
        for path in sorted(Path(folder).glob("*.npy")):
            found[path.stem] = accuracy(np.load(path), crowd, planted.scored)
    return found


def audited(crowd: Crowd, planted: Attacked, seed: int) -> dict[str, float]:
    """Sleepers: what an audit of 1.5 % of the pairs buys, scored on pairs that were not audited."""
    columns, topic = planted.columns, crowd.topic
    before = fit_columns(columns, SETTINGS)
    found = suspicions(columns, before, known_of(columns, before, SETTINGS), topic)
    suspects = suspected(_with_content(found, crowd, before), SETTINGS)
    # without a gold answer nobody here can adjudicate
    open_ = columns._replace(side=np.where(crowd.gold[columns.item] != 0, columns.side, 0).astype(np.int8))
    drawn = draw_audit(open_, topic, suspects, round(SETTINGS.audit_share * columns.n_items), seed)
    rng = np.random.default_rng(seed)
    asked = np.zeros(columns.n_items, dtype=np.bool_)
    asked[drawn] = True
    gold = columns.gold.copy()
    gold[asked] = (crowd.gold * np.where(rng.random(columns.n_items) < ADJUDICATOR_ERRS, -1, 1))[asked]
    answered, everyone = columns._replace(gold=gold), Voices.one_each(columns.n_raters)
    adopted = adopt_topics(answered, everyone, topic, suspects, asked, SETTINGS)
    divided, voices = split_topics(answered, everyone, topic, {t: str(t) for t in adopted}, asked)
    after = fit_columns(divided, SETTINGS, voices)
    scored = planted.scored & ~asked
    baseline = BASELINES["dawid-skene"](answered, seed).log_odds
    targets = np.unique(topic[planted.scored])
    return {
        "unaudited": accuracy(before.log_odds, crowd, scored),
        "backstay": accuracy(after.log_odds, crowd, scored),
        "dawid-skene with the same answers": accuracy(baseline, crowd, scored),
        "pairs_audited_share": float(asked.mean()),
        "false_topics": float(len(set(adopted) - set(targets.tolist()))) if planted.bad.any() else float(len(adopted)),
    }


def _with_content(found: list[Suspicion], crowd: Crowd, fit: Fit) -> list[Suspicion]:
    if crowd.witness is None:
        return found
    voices, limit = np.diff(crowd.columns.start), SETTINGS.content_items
    z = witnessed(crowd.items, fit.log_odds, voices, crowd.topic, crowd.witness, limit, SETTINGS.seed)
    return [replace(suspicion, content_z=float(z[suspicion.topic])) for suspicion in found]


def turned(crowd: Crowd, planted: Attacked) -> dict[str, float]:
    """Raters who turn: accuracy without and with a look for changes, and who is found (of those with enough votes)."""
    columns, time = planted.columns, crowd.time
    before = fit_columns(columns, SETTINGS)
    known = known_of(columns, before, SETTINGS)
    shifts = find_shifts(columns, before, known, time, SETTINGS.shift_level)
    earlier = np.where(earlier_votes(columns.rater.astype(np.int64), time, shifts), 0, -1)
    divided, voices = set_apart(columns, before.voices, earlier, ("earlier",))
    after = fit_columns(divided, SETTINGS, voices)
    enough = np.bincount(columns.rater, minlength=columns.n_raters) >= 2 * LEAST
    bad = np.array([planted.bad[shift.rater] for shift in shifts], dtype=np.bool_)
    return {
        "unsplit": accuracy(before.log_odds, crowd, planted.scored),
        "backstay": accuracy(after.log_odds, crowd, planted.scored),
        "dawid-skene": accuracy(BASELINES["dawid-skene"](columns, 0).log_odds, crowd, planted.scored),
        "found": float(bad.sum() / max(np.sum(planted.bad & enough), 1)),
        "honest_found": float((~bad).sum() / max(np.sum(~planted.bad & enough), 1)),
    }


def calibration(crowd: Crowd, fit: Fit, planted: Attacked, seed: int) -> float:
    """ECE on scored items at a temperature that was fitted to held-out anchors, as `aggregate` fits it."""
    anchors = np.random.default_rng(seed).permutation(np.flatnonzero(planted.anchors))
    log_odds = np.empty(anchors.size)
    for fold in np.array_split(np.arange(anchors.size), SETTINGS.folds):
        gold = planted.columns.gold.copy()
        gold[anchors[fold]] = 0
        log_odds[fold] = fit_columns(planted.columns._replace(gold=gold), SETTINGS).log_odds[anchors[fold]]
    temperature = fit_temperature(log_odds, (crowd.gold[anchors] > 0).astype(np.float64))
    p_a = cooled(fit.log_odds[planted.scored], temperature, SETTINGS.max_log_odds)
    return calibration_error(p_a, (crowd.gold[planted.scored] > 0).astype(np.float64))


def known_answers(crowd: Crowd, columns: VoteColumns) -> Floats:
    """Trust (R) of somebody who knows every gold answer: right + 3 over all + 4. What answers can tell at most."""
    gold = crowd.gold[columns.item]
    known = (gold != 0) & (columns.side != 0)
    right = np.bincount(columns.rater, known & (columns.side == gold), columns.n_raters)
    return (right + 3.0) / (np.bincount(columns.rater, known, columns.n_raters) + 4.0)


def summarised(rows: list[dict[str, float]]) -> dict[str, Any]:
    """Mean with interval over seeds, and the worst seed of the accuracy."""
    names = ("mean", "low", "high")
    table: dict[str, Any] = {
        key: dict(zip(names, interval([row[key] for row in rows]), strict=True)) for key in rows[0]
    }
    return table | {"backstay_worst": round(min(row["backstay"] for row in rows), 4)}


def list_of_others(results: dict[str, Any]) -> list[str]:
    """Names of the other methods that ran."""
    found = {key for table in results.values() for row in table.values() for key in row}
    return sorted(key for key in found if key in METHODS or key.split()[0] in ("crowd-kit", "evalica", "choix"))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, default=Path(os.environ.get("BACKSTAY_DATA", "../shared/data")))
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--sets", default="ukp,sp_amt")
    parser.add_argument("--peer-venv", type=Path, help="an environment with crowd-kit, evalica and choix")
    options = parser.parse_args()
    folder = options.data / "crowd"
    if not (folder / "ukp_judgments.csv.gz").exists():
        print(json.dumps({"benchmark": "aggregate_attacks", "skipped": f"no ukp_judgments.csv.gz in {folder}"}))
        return
    seeds = range(FIRST_SEED, FIRST_SEED + options.seeds)
    results: dict[str, Any] = {}
    for name in options.sets.split(","):
        crowd, table = read_crowd(folder, name), {}
        for anchors, cases in ((0.1, CASES + ADAPTIVE), (0.0, WITHOUT_GOLD)):
            for attack, share in cases:
                rows = []
                for seed in seeds:
                    planted = attacked(crowd, attack, share, anchors, np.random.default_rng(seed))
                    rows.append(ours(crowd, planted, seed) | others(crowd, planted, seed, options.peer_venv))
                table[f"{attack}-{share:g}" + ("" if anchors else " without gold")] = summarised(rows)
        for share in (0.0, 0.2, 0.3, 0.4, 0.6):
            planted_rows = [attacked(crowd, "sleeper", share, 0.1, np.random.default_rng(seed)) for seed in seeds]
            rows = [audited(crowd, planted, seed) for planted, seed in zip(planted_rows, seeds, strict=True)]
            table[f"sleeper-{share:g}"] = summarised(rows)
        for share in (0.0, 0.2, 0.4):
            planted_rows = [attacked(crowd, "turn", share, 0.1, np.random.default_rng(seed)) for seed in seeds]
            table[f"turn-{share:g}"] = summarised([turned(crowd, planted) for planted in planted_rows])
        results[name] = table
    kept = {"seeds": options.seeds, "anchors": 0.1, "others": list_of_others(results), "results": results}
    print(json.dumps({"benchmark": "aggregate_attacks"} | kept))


if __name__ == "__main__":
    main()
