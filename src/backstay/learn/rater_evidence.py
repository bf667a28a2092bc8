"""What single raters say, weighted by trust: whole rankings, labels of shards of raters, marks of harm."""

import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import combinations

import numpy as np

from backstay.aggregate import Votes
from backstay.errors import UsageError
from backstay.learn.plackett_luce import MAX_TIED
from backstay.records import Dimension, Judgment, Pair, RaterTrust, Task

HARM_FLAG = re.compile(r"(?:harmful|unsafe):(\d+)")
SUREST = 0.99
PairKey = tuple[str, Dimension, frozenset[str]]


def voice(trust: Iterable[RaterTrust]) -> dict[str, float]:
    """Weight of each rater's word: 2 * trust - 1, which is 1 for one who never errs and 0 for chance or worse."""
    return {row.rater_id: max(0.0, 2 * row.trust - 1) for row in trust}


def pair_key(prompt_id: str, dimension: Dimension, first: str, second: str) -> PairKey:
    """What a pair is about, whichever of its responses is named first."""
    return prompt_id, dimension, frozenset((first, second))


@dataclass(frozen=True)
class RaterRanking:
    """One rater's ranking of a prompt's responses, as ids, best first with ties in one group."""

    prompt_id: str
    dimension: Dimension
    groups: tuple[tuple[str, ...], ...]
    rater_id: str
    weight: float


@dataclass
class Rankings:
    """Rankings that may teach, how many may not and why, and the pairs that they stand in for."""

    kept: list[RaterRanking] = field(default_factory=list)
    left_out: Counter[str] = field(default_factory=Counter)
    replaced: set[PairKey] = field(default_factory=set)


def collect_rankings(
    tasks: Sequence[Task], judgments: Sequence[Judgment], voices: Mapping[str, float], usable: Iterable[Pair]
) -> Rankings:
    """The rankings of tasks with more than two responses, weighted by their rater's voice.

    One is left out when its rater has none, when it says that all are bad, and when any of its pairs is not among the
    usable ones: quarantined, or of a prompt that may not teach. A pair is replaced when a kept ranking covers it and no
    task of two asked about it.
    """
    by_id, found = {task.id: task for task in tasks}, Rankings()
    allowed = {pair_key(pair.prompt_id, pair.dimension, pair.a, pair.b) for pair in usable}
    asked_alone = {
        pair_key(task.prompt_id, task.dimension, *task.response_ids) for task in tasks if len(task.response_ids) == 2
    }
    for judgment in _latest(judgments):
        task = by_id.get(judgment.task_id)
        if task is None or len(task.response_ids) == 2:
            continue
        keys = {pair_key(task.prompt_id, task.dimension, *pair) for pair in combinations(task.response_ids, 2)}
        reason = _why_not(task, judgment, voices, usable=keys <= allowed)
        if reason:
            found.left_out[reason] += 1
            continue
        groups = tuple(tuple(task.response_ids[i] for i in group) for group in judgment.choice.ranking)
        weight = voices[judgment.rater_id]
        found.kept.append(RaterRanking(task.prompt_id, task.dimension, groups, judgment.rater_id, weight))
        found.replaced |= keys - asked_alone
    return found


def _latest(judgments: Iterable[Judgment]) -> list[Judgment]:
    """The last judgment of each rater on each task, as aggregation counts them."""
    kept: dict[tuple[str, str], Judgment] = {}
    for judgment in judgments:
        key = judgment.task_id, judgment.rater_id
        if key not in kept or judgment.created_at >= kept[key].created_at:
            kept[key] = judgment
    return list(kept.values())


def _why_not(task: Task, judgment: Judgment, voices: Mapping[str, float], *, usable: bool) -> str:
    groups = judgment.choice.ranking
    if judgment.choice.both_bad:
        return "says that all are bad"
    if sum(len(group) for group in groups) != len(task.response_ids):
        return "does not fit its task"
    if max(len(group) for group in groups) > MAX_TIED:
        return f"ties more than {MAX_TIED} responses"
    if voices.get(judgment.rater_id, 0.0) <= 0:
        return "by a rater who is not trusted above chance"
    return "" if usable else "has a pair that may not teach"


def rater_shards(judgments: Iterable[Judgment], voices: Mapping[str, float], count: int, seed: int) -> dict[str, int]:
    """Shard of each rater whose word has weight: dealt by number of judgments, largest first, to the emptiest shard.

    Raises UsageError when there are fewer such raters than shards.
    """
    said = Counter(judgment.rater_id for judgment in judgments)
    raters = [rater for rater in sorted(said) if voices.get(rater, 0.0) > 0]
    if len(raters) < count:
        raise UsageError(
            f"{len(raters)} raters are trusted above chance, too few for {count} members with raters of their own",
            cure="lower reward.members, or set reward.split=bootstrap",
        )
    order = [raters[index] for index in np.random.default_rng(seed).permutation(len(raters))]
    load, shard_of = [0] * count, {}
    for rater in sorted(order, key=lambda name: -said[name]):
        shard_of[rater] = min(range(count), key=lambda shard: (load[shard], shard))
        load[shard_of[rater]] += said[rater]
    return shard_of


def shard_labels(
    votes: Votes, trust: Iterable[RaterTrust], shard_of: Mapping[str, int]
) -> list[dict[int, tuple[float, float]]]:
    """For each item of `votes`, label and share of weight by shard: `{shard: (p_a, share)}`.

    p_a is the posterior of the shard's votes alone under even odds, sigmoid(sum of side * logit(trust)), as in
    aggregation without position bias; a tie says 0. The share is the part of the item's total voice that the shard has,
    so that the shares of all shards sum to 1. Raters in no shard have no say.
    """
    known = {row.rater_id: row.trust for row in trust}
    voices = {rater: 2 * known[rater] - 1 for rater in shard_of}
    evidence: list[dict[int, list[float]]] = [{} for _ in votes.items]
    for item, rater, side, share in zip(votes.item, votes.rater, votes.side, votes.share, strict=True):
        name = votes.rater_ids[rater]
        if name in shard_of:
            sums = evidence[item].setdefault(shard_of[name], [0.0, 0.0])
            sure = min(known[name], SUREST)
            sums[0] += float(share * side * np.log(sure / (1 - sure)))
            sums[1] += float(share * voices[name])
    totals = [sum(weight for _, weight in found.values()) for found in evidence]
    return [
        {shard: (float(1 / (1 + np.exp(-odds))), weight / total) for shard, (odds, weight) in found.items()}
        for found, total in zip(evidence, totals, strict=True)
    ]


@dataclass(frozen=True)
class HarmLabel:
    """Trust-weighted share of a response's lookers who marked it as harmful, and how much their word weighs."""

    p_harmful: float
    weight: float
    raters: int


def harm_labels(
    tasks: Iterable[Task], judgments: Sequence[Judgment], voices: Mapping[str, float]
) -> dict[str, HarmLabel]:
    """Label of each response that was looked at for harm, by response id.

    The flags `harmful:I` and `unsafe:I` mark the task's response I. A rater who never set one may not have been asked
    to, so only raters with at least one such flag count as lookers; what a looker judged and did not mark is a vote for
    safe. Several judgments of one response by one rater count as their mean. The weight is the sum of the lookers'
    voices, at most 1.
    """
    by_id = {task.id: task for task in tasks}
    latest = _latest(judgments)
    lookers = {j.rater_id for j in latest if any(HARM_FLAG.fullmatch(flag) for flag in j.flags)}
    said: dict[str, dict[str, list[bool]]] = {}
    for judgment in latest:
        task = by_id.get(judgment.task_id)
        if task is not None and judgment.rater_id in lookers and voices.get(judgment.rater_id, 0.0) > 0:
            marked = {int(m[1]) for flag in judgment.flags if (m := HARM_FLAG.fullmatch(flag))}
            for index, response in enumerate(task.response_ids):
                said.setdefault(response, {}).setdefault(judgment.rater_id, []).append(index in marked)
    return {response: _harm_label(by_rater, voices) for response, by_rater in said.items()}


def _harm_label(by_rater: Mapping[str, Sequence[bool]], voices: Mapping[str, float]) -> HarmLabel:
    total = sum(voices[rater] for rater in by_rater)
    harmful = sum(voices[rater] * sum(marks) / len(marks) for rater, marks in by_rater.items())
    return HarmLabel(harmful / total, min(1.0, total), len(by_rater))
