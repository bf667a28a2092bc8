"""Real crowd judgments as columns, and liars planted among their raters."""

import csv
import gzip
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from backstay.aggregate import VoteColumns

Floats = NDArray[np.float64]
VALUES = {
    "ukp": {"a1": 1, "a2": -1, "equal": 0},
    "sp_amt": {"0": 1, "1": -1},
}
SLEEPER_TOPICS = 2


@dataclass(frozen=True)
class Crowd:
    """Votes without gold; gold answers (I; 1, -1, 0 = none), which stand in for the truth; topics (I)."""

    columns: VoteColumns
    gold: NDArray[np.int8]
    topic: NDArray[np.int32]


@dataclass(frozen=True)
class Attacked:
    """Votes with liars planted: `bad` (R) are the liars; `anchors` (I) the gold items given away; `scored` (I)."""

    columns: VoteColumns
    bad: NDArray[np.bool_]
    anchors: NDArray[np.bool_]
    scored: NDArray[np.bool_]


def read_crowd(folder: Path, name: str) -> Crowd:
    """UKPConvArg1 (pairs of arguments) or sp_amt (labels of two classes, read as the sides of a pair)."""
    with gzip.open(folder / f"{name}_judgments.csv.gz", "rt", encoding="utf-8") as file:
        rows = sorted(csv.DictReader(file), key=lambda row: (row["task"], row["worker"]))
    with (folder / f"{name}_gold.csv").open(encoding="utf-8") as file:
        answers = {row["task"]: VALUES[name][row["gold"]] for row in csv.DictReader(file)}
    items = {task: i for i, task in enumerate(dict.fromkeys(row["task"] for row in rows))}
    raters = {rater: r for r, rater in enumerate(sorted({row["worker"] for row in rows}))}
    topics = {topic: t for t, topic in enumerate(sorted({row["topic"] for row in rows}))}
    responses: dict[str, int] = {}
    ends = np.zeros((len(items), 2), dtype=np.int32)
    topic = np.zeros(len(items), dtype=np.int32)
    for row in rows:
        i = items[row["task"]]
        left, right = (row.get("left") or f"{i}|a"), (row.get("right") or f"{i}|b")
        ends[i] = [responses.setdefault(text, len(responses)) for text in (left, right)]
        topic[i] = topics[row["topic"]]
    item = np.array([items[row["task"]] for row in rows])
    columns = VoteColumns(
        start=np.concatenate([[0], np.cumsum(np.bincount(item, minlength=len(items)))]).astype(np.int64),
        rater=np.array([raters[row["worker"]] for row in rows], dtype=np.int32),
        side=np.array([VALUES[name][row["label"]] for row in rows], dtype=np.int8),
        shown=np.ones(len(rows), dtype=np.int8),
        share=np.ones(len(rows), dtype=np.float32),
        a=ends[:, 0].copy(),
        b=ends[:, 1].copy(),
        gold=np.zeros(len(items), dtype=np.int8),
        n_raters=len(raters),
        n_responses=len(responses),
    )
    gold = np.array([answers.get(task, 0) for task in items], dtype=np.int8)
    return Crowd(columns, gold, topic)


def attacked(crowd: Crowd, attack: str, share: float, anchors: float, rng: np.random.Generator) -> Attacked:
    """Plant liars who cast about `share` of the judgments.

    flip: they invert their own vote. spam: coins. collude: all name the wrong answer. bloc: all repeat one shared coin
    an item. camouflage: wrong together on half of the items, honest else; that half is scored. sleeper: wrong together
    on two topics (a tenth of the items where topics mean nothing), honest there too on the anchors, which they know;
    those topics are scored. Wrong is against gold, or against the majority where there is none.
    """
    columns = crowd.columns
    item, size = columns.item, columns.n_items
    bad = _liars(columns, share, rng)
    lies = bad[columns.rater]
    head_count = np.sign(np.bincount(item, columns.side, size) + 0.1).astype(np.int8)
    truth = np.where(crowd.gold != 0, crowd.gold, head_count)
    shared, half = rng.choice(np.array([-1, 1], dtype=np.int8), size), rng.random(size) < 0.5
    anchor = (crowd.gold != 0) & (rng.random(size) < anchors)
    target = np.ones(size, dtype=np.bool_)
    side = columns.side.copy()
    if attack == "flip":
        side[lies] *= -1
    elif attack == "spam":
        side[lies] = rng.choice(np.array([-1, 1], dtype=np.int8), int(lies.sum()))
    elif attack == "bloc":
        side[lies] = shared[item[lies]]
    elif attack in ("collude", "camouflage", "sleeper"):
        if attack == "camouflage":
            target = half
        elif attack == "sleeper":
            target = _sleeper_items(crowd, rng)
        where = lies & target[item] & ~(anchor[item] & (attack == "sleeper"))
        side[where] = -truth[item[where]]
    elif attack != "none":
        raise ValueError(f"attack {attack!r} is not known")
    gold = np.where(anchor, crowd.gold, 0).astype(np.int8)
    return Attacked(columns._replace(side=side, gold=gold), bad, anchor, target & (crowd.gold != 0) & ~anchor)


def _liars(columns: VoteColumns, share: float, rng: np.random.Generator) -> NDArray[np.bool_]:
    if share == 0.0:
        return np.zeros(columns.n_raters, dtype=np.bool_)
    judged = np.bincount(columns.rater, minlength=columns.n_raters)
    while True:
        bad = rng.random(columns.n_raters) < share
        if abs(judged[bad].sum() / judged.sum() - share) < 0.03:
            return bad


def _sleeper_items(crowd: Crowd, rng: np.random.Generator) -> NDArray[np.bool_]:
    topics = int(crowd.topic.max()) + 1
    meant = crowd.columns.n_responses < 2 * crowd.columns.n_items
    if not meant:
        return rng.random(crowd.columns.n_items) < 0.1
    return np.isin(crowd.topic, rng.choice(topics, SLEEPER_TOPICS, replace=False))


def accuracy(log_odds: Floats, crowd: Crowd, scored: NDArray[np.bool_]) -> float:
    """Share of scored items on the right side; an exact tie counts half."""
    said = np.sign(log_odds[scored])
    return float(np.mean(np.where(said == 0, 0.5, said == crowd.gold[scored])))


def auroc(trust: Floats, bad: NDArray[np.bool_]) -> float:
    """Chance that a liar is trusted less than an honest rater, equal trust counting half."""
    order = np.sort(trust[~bad])
    below = np.searchsorted(order, trust[bad], side="left")
    upto = np.searchsorted(order, trust[bad], side="right")
    return float(np.mean(1.0 - (below + upto) / 2.0 / order.size))
