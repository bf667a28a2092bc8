"""Raters who are honest in general and lie on one topic: where to look, and what a trusted person's answers then prove.

A topic where votes contradict the other voters more than their raters' accuracies explain is suspect; no more is known
from votes alone, since the liars may be the majority there. Answers by trusted people to pairs drawn from it (an audit)
decide: on an adopted topic each rater counts as another rater, with accuracies and a population of the topic's own. A
topic is adopted only if that predicts the audit's answers better, judged by answers that were hidden in turn.
docs/aggregate/sleepers.md.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from backstay.aggregate.columns import Index, VoteColumns
from backstay.aggregate.compared import compared
from backstay.aggregate.reliability import Fit, fit_columns
from backstay.aggregate.robust import robust_spread
from backstay.aggregate.settings import AggregateSettings
from backstay.aggregate.trust import Known
from backstay.aggregate.voices import Voices, set_apart
from backstay.aggregate.votes import Floats, Ints, tally

FOLDS = 4
LOSS_BOUND = 4.0
"""Bound of log-odds in comparing predictions, so that one surprise does not decide."""


@dataclass(frozen=True, slots=True)
class Suspicion:
    """A topic's excess of contradicted votes: `rate` a vote, `z` robust deviations above the median topic.

    `content_z`: deviations by which its answers follow their content less than on the median topic.
    """

    topic: int
    rate: float
    z: float
    votes: int
    content_z: float = 0.0


def suspicions(columns: VoteColumns, fit: Fit, known: Known, topic: Index) -> list[Suspicion]:
    """How far votes in each topic (I, from 0) contradict the other voters beyond expectation, most suspect first.

    Expected is what the rater's accuracy and the others' certainty predict. The spread is over items and over topics.
    """
    votes_of = compared(columns, fit, known)
    used = votes_of.usable & (columns.gold[columns.item] == 0)
    item = columns.item[used]
    excess = tally(item, votes_of.expected[used] - votes_of.agrees[used], columns.n_items)
    count = int(topic.max(initial=-1)) + 1
    votes = tally(topic[item].astype(np.int64), np.ones(item.size), count)
    size = np.maximum(votes, 1.0)
    rate = tally(topic.astype(np.int64), excess, count) / size
    error = np.sqrt(tally(topic.astype(np.int64), excess**2, count)) / size
    middle, spread = robust_spread(rate[votes > 0])
    z = (rate - middle) / np.maximum(np.sqrt(spread**2 + error**2), 1e-9)
    found = [Suspicion(t, float(rate[t]), float(z[t]), int(votes[t])) for t in range(count) if votes[t]]
    return sorted(found, key=lambda s: (-s.z, s.topic))


def suspected(found: Sequence[Suspicion], settings: AggregateSettings) -> list[int]:
    """The topics worth an audit, the most suspect first: `topic_z` is passed by votes or `content_z` by content.

    None when there are fewer than three to compare.
    """

    def strength(suspicion: Suspicion) -> float:
        return max(suspicion.z / max(settings.topic_z, 1e-9), suspicion.content_z / max(settings.content_z, 1e-9))

    if len(found) < 3:
        return []
    most = sorted(found, key=lambda s: (-strength(s), s.topic))[: settings.max_topics]
    return [s.topic for s in most if strength(s) > 1.0]


def suspected_by(suspicion: Suspicion, settings: AggregateSettings) -> list[str]:
    """What speaks against a topic: `votes`, `content`, both or nothing."""
    by_votes, by_content = suspicion.z > settings.topic_z, suspicion.content_z > settings.content_z
    return ["votes"] * by_votes + ["content"] * by_content


def draw_audit(columns: VoteColumns, topic: Index, topics: Sequence[int], budget: int, seed: int) -> Ints:
    """Items for a trusted person to judge: drawn at random from the suspected topics, evenly, none with known answer.

    At random and not where votes are split: contested items are hard, and say less of who lies.
    """
    rng, drawn = np.random.default_rng(seed), []
    voices = np.bincount(columns.item, columns.side != 0, columns.n_items)
    for place, t in enumerate(topics):
        items = np.flatnonzero((topic == t) & (columns.gold == 0) & (voices >= 2))
        wanted = budget // len(topics) + (place < budget % len(topics))
        drawn.append(np.sort(rng.choice(items, min(wanted, items.size), replace=False)))
    return np.concatenate(drawn).astype(np.int64) if drawn else np.zeros(0, dtype=np.int64)


def split_topics(
    columns: VoteColumns, voices: Voices, topic: Index, adopted: Mapping[int, str], audited: NDArray[np.bool_]
) -> tuple[VoteColumns, Voices]:
    """Columns where each rater has another voice on every adopted topic, which is given with its name.

    Votes on gold items that were no audit stay with the voices they had: who knows the gold answers them honestly.
    """
    item = columns.item
    hidden = (columns.gold == 0) | audited
    place = np.full(int(topic.max(initial=-1)) + 1, -1)
    place[list(adopted)] = np.arange(len(adopted))
    return set_apart(columns, voices, np.where(hidden[item], place[topic[item]], -1), tuple(adopted.values()))


def adopt_topics(
    columns: VoteColumns,
    voices: Voices,
    topic: Index,
    candidates: Sequence[int],
    audited: NDArray[np.bool_],
    settings: AggregateSettings,
) -> list[int]:
    """The candidates on which splitting predicts hidden audit answers better by more than a standard error.

    In each of four folds a part of the audit's answers is hidden from both fits. A topic without an audit is not
    adopted.
    """
    checked = np.flatnonzero(audited & (columns.gold != 0) & np.isin(topic, candidates))
    if checked.size < FOLDS:
        return []
    fold = np.random.default_rng(settings.seed).permutation(checked.size) % FOLDS
    better = np.zeros(checked.size)
    for f in range(FOLDS):
        hidden = checked[fold == f]
        gold = columns.gold.copy()
        gold[hidden] = 0
        masked = columns._replace(gold=gold)
        divided, more = split_topics(masked, voices, topic, dict.fromkeys(candidates, ""), audited)
        answer = columns.gold[hidden]
        better[fold == f] = _loss(fit_columns(masked, settings, voices).log_odds[hidden], answer) - _loss(
            fit_columns(divided, settings, more).log_odds[hidden], answer
        )
    return [t for t in candidates if _clearly_positive(better[topic[checked] == t])]


def _loss(log_odds: Floats, answer: NDArray[np.int8]) -> Floats:
    loss: Floats = np.logaddexp(0.0, -np.clip(log_odds, -LOSS_BOUND, LOSS_BOUND) * answer)
    return loss


def _clearly_positive(gain: Floats) -> bool:
    return gain.size >= 2 and float(gain.mean()) > float(gain.std(ddof=1)) / np.sqrt(gain.size)
