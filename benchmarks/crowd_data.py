"""Real crowd judgments as columns, and liars planted among their raters."""

import csv
import gzip
import json
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from backstay.aggregate import VoteColumns
from backstay.aggregate.content import Witness
from backstay.aggregate.votes import Item
from backstay.records import Message, Prompt, Response
from backstay.screen import text_witness

Floats = NDArray[np.float64]
VALUES = {
    "ukp": {"a1": 1, "a2": -1, "equal": 0},
    "sp_amt": {"0": 1, "1": -1},
    "cf_amt": {"2": 1, "0": -1, "1": -1, "3": -1, "4": -1},
    "llmfao": {"left": 1, "right": -1, "tie": 0},
}
"""What a label says of a pair. cf_amt has five classes: here, whether it is the commonest or another."""

GOLD_FILES = {"llmfao": "llmfao_gpt4_reference.csv"}
"""Where the answers are that stand in for the truth, if not in NAME_gold.csv; those of llmfao are a model's."""

SLEEPER_TOPICS = 2
NOISY_COPIES = 0.7
ATTACKS = ("none", "flip", "spam", "collude", "bloc", "camouflage", "sleeper", "noisy", "push", "known", "turn")


@dataclass(frozen=True)
class Crowd:
    """Votes without gold; gold answers (I; 1, -1, 0 = none), which stand in for the truth; topics (I).

    `time` (N) orders the votes, by chance where the data say nothing; `items` (I) and the `witness` of their texts are
    there where texts are.
    """

    columns: VoteColumns
    gold: NDArray[np.int8]
    topic: NDArray[np.int32]
    time: NDArray[np.int64]
    items: tuple[Item, ...] = ()
    witness: Witness | None = None


@dataclass(frozen=True)
class Attacked:
    """Votes with liars planted: `bad` (R) are the liars; `anchors` (I) the gold items given away; `scored` (I)."""

    columns: VoteColumns
    bad: NDArray[np.bool_]
    anchors: NDArray[np.bool_]
    scored: NDArray[np.bool_]


def read_crowd(folder: Path, name: str) -> Crowd:
    """UKPConvArg1 or llmfao (pairs of texts); sp_amt or cf_amt (labels of two classes, read as sides of a pair)."""
    with gzip.open(folder / f"{name}_judgments.csv.gz", "rt", encoding="utf-8") as file:
        rows = sorted(csv.DictReader(file), key=lambda row: (row["task"], row["worker"]))
    with (folder / GOLD_FILES.get(name, f"{name}_gold.csv")).open(encoding="utf-8") as file:
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
    moments = [row.get("t1") or "" for row in rows]
    known = len(set(moments)) > 1
    time = np.unique(moments, return_inverse=True)[1] if known else np.random.default_rng(0).permutation(len(rows))
    crowd = Crowd(columns, gold, topic, time.astype(np.int64))
    path = folder / f"{name}_items.jsonl.gz"
    return crowd if not path.exists() else _with_texts(crowd, path, list(responses))


def of_topics(crowd: Crowd, topics: list[int]) -> Crowd:
    """The items of some topics, their votes, and the raters who gave them, without texts."""
    kept, columns = np.isin(crowd.topic, topics), crowd.columns
    voted = kept[columns.item]
    raters, rater = np.unique(columns.rater[voted], return_inverse=True)
    responses, ends = np.unique(np.concatenate([columns.a[kept], columns.b[kept]]), return_inverse=True)
    a, b = ends.astype(np.int32).reshape(2, -1)
    count = np.diff(columns.start)[kept]
    return Crowd(
        columns._replace(
            start=np.concatenate([[0], np.cumsum(count)]).astype(np.int64),
            rater=rater.astype(np.int32),
            side=columns.side[voted],
            shown=columns.shown[voted],
            share=columns.share[voted],
            a=a,
            b=b,
            gold=columns.gold[kept],
            n_raters=raters.size,
            n_responses=responses.size,
        ),
        crowd.gold[kept],
        crowd.topic[kept],
        crowd.time[voted],
    )


def _with_texts(crowd: Crowd, path: Path, responses: list[str]) -> Crowd:
    """The prompt is empty: items of one prompt are no unit here, and the witness judges by topics."""
    with gzip.open(path, "rt", encoding="utf-8") as file:
        texts = {row["item"]: row["text"] for row in map(json.loads, file)}
    prompt = Prompt.make((Message(role="user", content="Which argument is more convincing?"),), source=path.name)
    answers = [Response(id=name, prompt_id=prompt.id, text=texts[name], policy="people") for name in responses]
    ends = zip(crowd.columns.a, crowd.columns.b, strict=True)
    items = tuple(Item(prompt.id, responses[a], responses[b], "overall") for a, b in ends)
    return replace(crowd, items=items, witness=text_witness([prompt], answers))


def attacked(crowd: Crowd, attack: str, share: float, anchors: float, rng: np.random.Generator) -> Attacked:
    """Plant liars who cast about `share` of the judgments.

    flip: they invert their own vote. spam: coins. collude: all name the wrong answer. bloc: all repeat one shared coin
    an item. camouflage: wrong together on half of the items, honest else; that half is scored. sleeper: wrong together
    on two topics (a tenth of the items where topics mean nothing), honest there too on the anchors, which they know;
    those topics are scored. Adaptive: noisy: a bloc whose members copy the shared coin in 70 % of their votes, to pass
    under a search for copies. push: they prefer the responses of a secret half to the others, which is consistent over
    pairs. known: as camouflage, but honest on the anchors, which they know. turn: honest in the first half of a liar's
    judgments in order of time, wrong together in the second. Wrong is against gold, or against the majority where there
    is none.
    """
    if attack not in ATTACKS:
        raise ValueError(f"attack {attack!r} is not known; known are {', '.join(ATTACKS)}")
    columns, size = crowd.columns, crowd.columns.n_items
    bad = _liars(columns, share, rng)
    plan = _Plan(
        shared=rng.choice(np.array([-1, 1], dtype=np.int8), size),
        half=rng.random(size) < 0.5,
        anchor=(crowd.gold != 0) & (rng.random(size) < anchors),
        topics=_sleeper_items(crowd, rng),
        pushed=rng.random(columns.n_responses) < 0.5,
        late=_second_half(columns.rater, crowd.time),
    )
    said = np.where(bad[columns.rater], _lies(crowd, attack, plan, rng), columns.side).astype(np.int8)
    target = {"camouflage": plan.half, "known": plan.half, "sleeper": plan.topics}.get(attack, np.ones(size, np.bool_))
    gold = np.where(plan.anchor, crowd.gold, 0).astype(np.int8)
    scored = target & (crowd.gold != 0) & ~plan.anchor
    return Attacked(columns._replace(side=said, gold=gold), bad, plan.anchor, scored)


@dataclass(frozen=True)
class _Plan:
    """What the liars share: answers and half of the items (I), the anchors, a sleeper's items, pushed responses (S).

    `late` (N): votes of the second half of each rater's.
    """

    shared: NDArray[np.int8]
    half: NDArray[np.bool_]
    anchor: NDArray[np.bool_]
    topics: NDArray[np.bool_]
    pushed: NDArray[np.bool_]
    late: NDArray[np.bool_]


def _lies(crowd: Crowd, attack: str, plan: _Plan, rng: np.random.Generator) -> NDArray[np.int8]:
    """What each vote (N) would be if its rater lied."""
    columns, item = crowd.columns, crowd.columns.item
    head_count = np.sign(np.bincount(item, columns.side, columns.n_items) + 0.1)
    wrong = -np.where(crowd.gold != 0, crowd.gold, head_count).astype(np.int8)[item]
    side, shared, half, anchor = columns.side, plan.shared[item], plan.half[item], plan.anchor[item]
    push = plan.pushed[columns.a[item]].astype(np.int8) - plan.pushed[columns.b[item]].astype(np.int8)
    lies = {
        "none": side,
        "flip": -side,
        "spam": rng.choice(np.array([-1, 1], dtype=np.int8), side.size),
        "collude": wrong,
        "bloc": shared,
        "camouflage": np.where(half, wrong, side),
        "sleeper": np.where(plan.topics[item] & ~anchor, wrong, side),
        "noisy": np.where(rng.random(side.size) < NOISY_COPIES, shared, side),
        "push": np.where(push != 0, push, side),
        "known": np.where(half & ~anchor, wrong, side),
        "turn": np.where(plan.late, wrong, side),
    }
    return lies[attack].astype(np.int8)


def _second_half(rater: NDArray[np.int32], time: NDArray[np.int64]) -> NDArray[np.bool_]:
    order = np.lexsort((time, rater))
    count = np.bincount(rater)
    rank = np.empty(rater.size, dtype=np.int64)
    rank[order] = np.arange(rater.size) - np.repeat(np.cumsum(count) - count, count)
    return rank >= count[rater] / 2.0


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
