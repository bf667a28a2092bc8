"""A witness that no rater can bribe: what the content of responses says, learnt on other topics.

Where liars are the majority on a topic, votes no longer contradict each other there. But a model of what people prefer
in general, learnt from the answers on the other topics, still follows honest answers and not lies. (Cross-fitted models
as one more annotator: Goh, Tkachenko & Mueller 2022, CROWDLAB.) It is a witness of whole topics only: as one more voice
on each pair it was worse than none, see docs/design/004. docs/aggregate/sleepers.md.
"""

from collections.abc import Callable, Sequence

import numpy as np

from backstay.aggregate.columns import Index
from backstay.aggregate.robust import robust_spread
from backstay.aggregate.votes import Floats, Ints, Item

Witness = Callable[[Sequence[Item], Floats, Index], Floats]
"""Margins (J) for a of J items, given the items, log-odds of their answers (J) and their topics (J), by a model of the
content that never saw the item's own topic."""

LEAST_ITEMS = 20
"""Items below which a topic is not judged by its content."""

LEAST_TOPICS = 5
"""Topics to compare with below which none is judged by its content."""

BOUND = 4.0
"""Bound of log-odds that are compared with margins."""


def witnessed(
    items: Sequence[Item], log_odds: Floats, voices: Ints, topic: Index, witness: Witness, limit: int, seed: int
) -> Floats:
    """Deviations (C) by which answers on each topic follow their content less than on the median topic.

    At most `limit` of the items that have `voices` are looked at, drawn evenly from the topics.
    """
    chosen = drawn_evenly(np.flatnonzero(voices > 0), topic, limit, seed)
    count = int(topic.max(initial=-1)) + 1
    if np.unique(topic[chosen]).size < LEAST_TOPICS:
        return np.zeros(count)
    margin = witness([items[i] for i in chosen], log_odds[chosen], topic[chosen])
    return content_deviations(log_odds[chosen], margin, topic[chosen], count)


def drawn_evenly(items: Ints, topic: Index, limit: int, seed: int) -> Ints:
    """At most `limit` of the items, the same number from each topic as far as it has them, in order."""
    if items.size <= limit:
        return items
    order = np.random.default_rng(seed).permutation(items.size)
    by_topic = order[np.argsort(topic[items[order]], kind="stable")]
    begin = np.flatnonzero(np.append(True, np.diff(topic[items[by_topic]]) != 0))
    rank = np.arange(items.size) - np.repeat(begin, np.diff(np.append(begin, items.size)))
    return np.sort(items[by_topic[np.argsort(rank, kind="stable")[:limit]]])


def content_deviations(log_odds: Floats, margin: Floats, topic: Index, count: int) -> Floats:
    """Of C topics: (median correlation - own) / sqrt(spread^2 + error^2); 0 where there is too little to judge.

    The correlation is of margins with bounded log-odds; the spread is robust (1.4826 MAD) over topics, the error a
    correlation's own, (1 - r^2) / sqrt(n - 1).
    """
    correlation, error = np.full(count, np.nan), np.zeros(count)
    answer = np.clip(log_odds, -BOUND, BOUND)
    for t in range(count):
        mine = topic == t
        if mine.sum() >= LEAST_ITEMS and answer[mine].std() > 0.0 and margin[mine].std() > 0.0:
            correlation[t] = np.corrcoef(margin[mine], answer[mine])[0, 1]
            error[t] = (1.0 - correlation[t] ** 2) / np.sqrt(mine.sum() - 1.0)
    known = ~np.isnan(correlation)
    if known.sum() < LEAST_TOPICS:
        return np.zeros(count)
    middle, spread = robust_spread(correlation[known])
    deviation = (middle - correlation) / np.maximum(np.sqrt(spread**2 + error**2), 1e-9)
    return np.where(known, deviation, 0.0)
