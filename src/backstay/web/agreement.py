"""How far a project's raters agree, live: from the table of vote patterns, however many judgments stand behind it.

A pattern such as `0>1:2,tie:1` says what the votes on an item add up to, and the table how many items have it. Items of
one pattern are interchangeable, so a bootstrap that draws patterns is the bootstrap over items.
"""

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
from sqlalchemy import Connection, select

from backstay.aggregate.agreement import Interval, agreement_interval, alpha_interval
from backstay.feedback.collection.tally import BAD, TIE
from backstay.storage.console_tables import vote_patterns

DRAWS = 400
SEED = 0


class Agreement(NamedTuple):
    """Agreement along one dimension.

    `alpha` is Krippendorff's for nominal answers, `raw` the share of pairs of votes that are equal, both with 95 %
    intervals over items, NaN where undefined; `items` have votes, `compared` of them two or more.
    """

    dimension: str
    alpha: Interval
    raw: Interval
    items: int
    compared: int
    votes: int
    ties: int
    both_bad: int


def agreement_of(connection: Connection, project_id: str) -> list[Agreement]:
    """Agreement along every dimension that has votes, in order of name."""
    columns = (vote_patterns.c.dimension, vote_patterns.c.pattern, vote_patterns.c.n_items)
    where = (vote_patterns.c.project == project_id) & (vote_patterns.c.n_items > 0)
    found: dict[str, dict[str, int]] = {}
    for row in connection.execute(select(*columns).where(where)):
        found.setdefault(row.dimension, {})[row.pattern] = row.n_items
    return [agreement_in(dimension, found[dimension]) for dimension in sorted(found)]


def agreement_in(dimension: str, patterns: Mapping[str, int]) -> Agreement:
    """Agreement from numbers of items by pattern."""
    counted = [counts_in(pattern) for pattern in patterns]
    labels = sorted({label for counts in counted for label in counts})
    counts = np.array([[row.get(label, 0) for label in labels] for row in counted], dtype=np.float64)
    counts = counts.reshape(len(counted), len(labels))
    times = np.array(list(patterns.values()), dtype=np.int64)
    votes = dict(zip(labels, (times @ counts).tolist(), strict=True))
    return Agreement(
        dimension=dimension,
        alpha=alpha_interval(counts, seed=SEED, draws=DRAWS, times=times),
        raw=agreement_interval(counts, seed=SEED, draws=DRAWS, times=times),
        items=int(times.sum()),
        compared=int(times[counts.sum(axis=1) >= 2].sum()),
        votes=int(sum(votes.values())),
        ties=int(votes.get(TIE, 0)),
        both_bad=int(votes.get(BAD, 0)),
    )


def counts_in(pattern: str) -> dict[str, int]:
    """Votes by answer, as in `0>1:2,tie:1`."""
    pairs = (part.rpartition(":") for part in pattern.split(","))
    return {label: int(count) for label, _, count in pairs}
