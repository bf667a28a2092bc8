"""What is believed of items from the ballots kept with them, for the mathematics of `feedback.selection`.

A ballot is a rater's answer along one dimension with the Beta distribution of the rater's accuracy when it was counted.
Items of more than two responses have no ballots: their votes are counted, and they end at the number wanted.
"""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np

from backstay.feedback.collection.project import ProjectSettings
from backstay.feedback.collection.raters import RaterStats
from backstay.feedback.selection import (
    BOTH_BAD,
    FIRST,
    SECOND,
    TIE,
    Ballots,
    Belief,
    StoppingRule,
    Support,
    Ties,
    Trust,
    prior_belief,
    support,
    uncertainty,
    vote_evidence,
    with_votes,
)

ANSWERS = {"0>1": FIRST, "1>0": SECOND, "tie": TIE, "bad": BOTH_BAD}
LEAST_BETA, MOST_BETA = 0.5, 400.0
"""Bounds of what a rater's trust counts as, in clear pairs."""


class Ballot(NamedTuple):
    """One rater's answer along one dimension."""

    rater_id: str
    answer: int
    right: float
    wrong: float


Kept = Mapping[str, Sequence[Sequence[str | float]]]
"""Ballots by dimension, as an item keeps them."""


def beta_of(stats: RaterStats) -> tuple[float, float]:
    """The Beta distribution with the mean of a rater's trust and the width of its interval."""
    mean = min(0.99, max(0.01, stats.trust))
    spread = max(0.01, (stats.trust_high - stats.trust_low) / 3.92)
    pairs = min(MOST_BETA, max(2 * LEAST_BETA, mean * (1.0 - mean) / spread**2 - 1.0))
    return max(LEAST_BETA, mean * pairs), max(LEAST_BETA, (1.0 - mean) * pairs)


def trust_of(stats: RaterStats) -> Trust:
    """The same for one rater, as arrays."""
    right, wrong = beta_of(stats)
    return Trust(np.array([right]), np.array([wrong]))


def ties_of(settings: ProjectSettings) -> Ties:
    """How ties come about in a project."""
    return Ties() if settings.ties or settings.both_bad else Ties.none()


def rule_of(settings: ProjectSettings) -> StoppingRule:
    """When an item of the project is done."""
    independent = min(2, settings.most_votes)
    return StoppingRule(settings.certainty, settings.votes, settings.most_votes, independent)


def standing(kept: Kept, dimension: str, settings: ProjectSettings) -> Support:
    """What one item's ballots along one dimension support."""
    ballots = [Ballot(*row) for row in kept.get(dimension, ())]  # type: ignore[arg-type]  # JSON knows no tuples
    voices = {rater_id: number for number, rater_id in enumerate(dict.fromkeys(b.rater_id for b in ballots))}
    found = Ballots(
        np.zeros(len(ballots), dtype=np.int64),
        np.array([voices[b.rater_id] for b in ballots], dtype=np.int64),
        _evidence(ballots, settings),
    )
    return support(prior_belief(np.zeros(1), ties_of(settings)), found, rule_of(settings))


def beliefs(kept: Sequence[Kept], settings: ProjectSettings) -> Belief:
    """Of each item along the dimension that is least certain."""
    names = settings.dimensions
    place, ballots = [], []
    for number, item in enumerate(kept):
        for column, name in enumerate(names):
            rows = [Ballot(*row) for row in item.get(name, ())]  # type: ignore[arg-type]  # JSON knows no tuples
            place += [number * len(names) + column] * len(rows)
            ballots += rows
    prior = prior_belief(np.zeros(len(kept) * len(names)), ties_of(settings))
    every = with_votes(prior, np.array(place, dtype=np.int64), _evidence(ballots, settings))
    unsure = uncertainty(every).reshape(len(kept), len(names)).argmax(axis=1)
    return Belief(every.log_weight[np.arange(len(kept)) * len(names) + unsure])


def entropy_of(kept: Kept, settings: ProjectSettings) -> float:
    """Entropy of one item along its least certain dimension, in nats."""
    return float(uncertainty(beliefs([kept], settings))[0])


def _evidence(
    ballots: Sequence[Ballot], settings: ProjectSettings
) -> "np.ndarray[tuple[int, int], np.dtype[np.float64]]":
    if not ballots:
        return np.zeros((0, 3))
    trust = Trust(np.array([b.right for b in ballots]), np.array([b.wrong for b in ballots]))
    # A tie in a project that has since stopped to take them still says what it said.
    said_tie = any(b.answer in (TIE, BOTH_BAD) for b in ballots)
    ties = Ties() if said_tie else ties_of(settings)
    return vote_evidence(np.array([b.answer for b in ballots], dtype=np.int64), trust, ties)
