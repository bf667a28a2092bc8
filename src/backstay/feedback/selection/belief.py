"""What is believed of an item: which of two responses is better, or neither, from votes of raters of known trust.

Three truths: the first response is better, the second is, or they are equal. A rater's accuracy x is the chance to
name the better one when the rater names a side at all; it is not known but has a Beta(right, wrong) distribution, and
votes are weighed by the integral over it. docs/feedback/assignment.md.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from backstay.errors import UsageError

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Bools = NDArray[np.bool_]

FIRST, SECOND, TIE, BOTH_BAD = 0, 1, 2, 3
"""Answers. Which of two bad responses is better is not said by BOTH_BAD, so here it is a tie."""

EQUAL = 2
"""The third truth; the other two are FIRST and SECOND."""

SURE = 0.98
"""Bound of a rater's mean accuracy: no single voice decides alone."""

HERMITE_POINTS = 20


@dataclass(frozen=True)
class Ties:
    """How ties come about.

    `prior`: the share of equal items. `decided` and `equal`: the chance of the answer "tie" where one response is
    better and where they are equal.
    """

    prior: float = 0.2
    decided: float = 0.15
    equal: float = 0.4

    def __post_init__(self) -> None:
        """Refuse what is no probability, and equal items that nobody could call equal."""
        for name in ("prior", "decided", "equal"):
            if not 0.0 <= getattr(self, name) < 1.0:
                raise UsageError(f"ties.{name} is {getattr(self, name)}; it must lie in [0, 1)")
        if self.prior and not (self.decided and self.equal):
            raise UsageError("ties.prior is above 0 but ties are never answered", cure="use Ties.none() or set both")

    @classmethod
    def none(cls) -> "Ties":
        """Raters must name a side, and one is better."""
        return cls(0.0, 0.0, 0.0)


@dataclass(frozen=True)
class Trust:
    """Beta(right, wrong) of the accuracy of R raters."""

    right: Floats
    wrong: Floats

    @property
    def mean(self) -> Floats:
        """Mean accuracy (R), within 1 - SURE and SURE."""
        return np.clip(self.right / (self.right + self.wrong), 1.0 - SURE, SURE)

    def of(self, raters: Ints | int) -> "Trust":
        """Trust of some of the raters."""
        return Trust(np.asarray(self.right[raters]), np.asarray(self.wrong[raters]))


@dataclass(frozen=True)
class Belief:
    """Of I items: logarithms (I, 3), up to a constant an item, of the probabilities of the three truths.

    Votes add to them, so their order does not matter and each can be taken back.
    """

    log_weight: Floats

    @property
    def probability(self) -> Floats:
        """Posterior (I, 3)."""
        weight = np.exp(self.log_weight - self.log_weight.max(axis=1, keepdims=True))
        probability: Floats = weight / weight.sum(axis=1, keepdims=True)
        return probability

    @property
    def certainty(self) -> Floats:
        """Probability (I) of the most probable truth."""
        certainty: Floats = self.probability.max(axis=1)
        return certainty

    @property
    def log_odds(self) -> Floats:
        """Log-odds (I) of the first response against the second, given that they are not equal."""
        return self.log_weight[:, FIRST] - self.log_weight[:, SECOND]


def prior_belief(log_odds: Floats, ties: Ties) -> Belief:
    """Belief before any vote, from the log-odds (I) of the first against the second response; 0 = nothing is known."""
    with np.errstate(divide="ignore"):
        decided, equal = np.log1p(-ties.prior), np.log(ties.prior)
    first, second = -np.logaddexp(0.0, -log_odds), -np.logaddexp(0.0, log_odds)
    return Belief(np.stack([decided + first, decided + second, np.full(log_odds.shape, equal)], axis=1))


def reward_log_odds(mean: Floats, spread: Floats) -> Floats:
    """Prior log-odds (I) from a difference in score that is normal with `mean` and standard deviation `spread`.

    The Bradley-Terry probability integrated over what is not known: logit of E[sigmoid(d)], d ~ N(mean, spread^2), by
    Gauss-Hermite quadrature. A larger spread (an ensemble that disagrees) draws it to 0.
    """
    node, weight = np.polynomial.hermite_e.hermegauss(HERMITE_POINTS)
    d = mean[:, None] + spread[:, None] * node
    first = np.exp(-np.logaddexp(0.0, -d)) @ weight
    second = np.exp(-np.logaddexp(0.0, d)) @ weight
    log_odds: Floats = np.log(first) - np.log(second)
    return log_odds


def vote_evidence(answer: Ints, trust: Trust, ties: Ties, weight: Floats | float = 1.0) -> Floats:
    """Log-likelihoods (N, 3) of N votes under the three truths, the rater's accuracy integrated out.

    P(first | first is better) = (1 - decided) E[x], P(tie | first is better) = decided, P(tie | equal) = equal, and an
    equal item's other answers are coins. As one rater votes on an item once, E[x] is the whole integral over Beta: its
    log-odds log(right / wrong) are smaller than those of the likeliest x, and 0 for a rater who may be anything.
    `weight` (N) below 1 counts a vote as a part of one. Raises UsageError for ties where `ties` has none.
    """
    code = np.minimum(np.asarray(answer), TIE)
    if ties.decided == 0.0 and np.any(code == TIE):
        raise UsageError("a vote is a tie but the tie model has none", cure="use Ties() instead of Ties.none()")
    mean = trust.mean
    right, wrong = np.log(mean), np.log1p(-mean)
    side, coin = np.log1p(-ties.decided), np.log((1.0 - ties.equal) / 2.0)
    said_tie = [np.log(ties.decided), np.log(ties.decided), np.log(ties.equal)] if ties.decided else [0.0, 0.0, 0.0]
    first = side + np.where(code == FIRST, right, wrong)
    second = side + np.where(code == SECOND, right, wrong)
    sided = np.stack([first, second, np.full(first.shape, coin)], axis=-1)
    evidence: Floats = np.where((code == TIE)[..., None], said_tie, sided)
    weighted: Floats = evidence * np.asarray(weight)[..., None]
    return weighted


def with_votes(belief: Belief, item: Ints, evidence: Floats) -> Belief:
    """Belief after votes on `item` (N) with `evidence` (N, 3)."""
    return Belief(belief.log_weight + summed(item, evidence, belief.log_weight.shape[0]))


def summed(index: Ints, rows: Floats, size: int) -> Floats:
    """Rows (N, K) summed by index (N) into (size, K); an index without rows has zeros."""
    columns = [np.bincount(index, rows[:, k], size) for k in range(rows.shape[1])]
    total: Floats = np.stack(columns, axis=1).astype(np.float64)
    return total


def without_votes(belief: Belief, item: Ints, evidence: Floats) -> Belief:
    """Belief without votes that were counted before: the inverse of `with_votes`."""
    return with_votes(belief, item, -evidence)


def uncertainty(belief: Belief) -> Floats:
    """Entropy (I) of the posterior in nats, between 0 and log 3."""
    return entropy(belief.probability)


def entropy(probability: Floats) -> Floats:
    """Entropy in nats over the last axis; 0 log 0 = 0."""
    safe = np.where(probability > 0.0, probability, 1.0)
    total: Floats = -np.sum(probability * np.log(safe), axis=-1)
    return np.maximum(total, 0.0)
