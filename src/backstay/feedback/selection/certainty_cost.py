"""What it will still cost to be sure: votes, hours and money until the stopping rule is met, by simulation.

Each draw takes a truth for every item from its belief, an accuracy for every rater from its trust and a pace from its
spread, lets raters vote until the rule stops, and counts. The interval is over draws.
"""

from dataclasses import dataclass

import numpy as np

from backstay.errors import UsageError
from backstay.feedback.selection.belief import EQUAL, Belief, Floats, Ints, Ties, Trust, vote_evidence, with_votes
from backstay.feedback.selection.stopping import Ballots, StoppingRule, is_certain, is_done, support

MOST_SIMULATED = 500
"""Items a draw simulates at most; of more, each draw takes so many at random and the figures are scaled."""


@dataclass(frozen=True)
class Team:
    """Who will vote: of R raters `trust`, `voice` (cohort, or a number of their own) and `share` of the coming votes.

    `per_hour` (R): votes an hour, each rater's known up to its own factor exp(N(0, pace_spread^2)). `checks`: share of
    assignments that are gold items and repeats, which cost time and money but no vote.
    """

    trust: Trust
    voice: Ints
    share: Floats
    per_hour: Floats
    pace_spread: float = 0.2
    checks: float = 0.0
    price_per_judgment: float = 0.0
    price_per_hour: float = 0.0

    def __post_init__(self) -> None:
        """Refuse a team that never votes."""
        if self.share.min(initial=0.0) < 0.0 or self.share.sum() <= 0.0:
            raise UsageError("nobody is expected to vote: every rater's share is 0", cure="give active raters a share")
        if self.per_hour[self.share > 0.0].min() <= 0.0:
            raise UsageError("a rater who is expected to vote has a pace of 0 votes an hour")
        if not 0.0 <= self.checks < 1.0:
            raise UsageError(f"checks is {self.checks}; it must lie in [0, 1)")


@dataclass(frozen=True)
class Forecast:
    """Mean and central 95 % interval over the draws."""

    mean: float
    low: float
    high: float


@dataclass(frozen=True)
class CertaintyCost:
    """What it takes to the end of the rule.

    Over `items` open ones: judgments (checks included), hours of raters' work, money, and the share of the open items
    that end certain; the others end at the most votes.
    """

    items: int
    judgments: Forecast
    hours: Forecast
    money: Forecast
    certain: Forecast


def certainty_cost(
    prior: Belief, ballots: Ballots, team: Team, ties: Ties, rule: StoppingRule, rng: np.random.Generator,
    draws: int = 100,
) -> CertaintyCost:  # fmt: skip
    """Forecast for I items with `prior` (before votes) and the `ballots` so far."""
    open_ = np.flatnonzero(~is_done(support(prior, ballots, rule), rule))
    if open_.size == 0:
        none = Forecast(0.0, 0.0, 0.0)
        return CertaintyCost(0, none, none, none, none)
    found = np.array([_draw(prior, ballots, open_, team, ties, rule, rng) for _ in range(draws)])
    judgments, hours, money, certain = (_forecast(column) for column in found.T)
    return CertaintyCost(int(open_.size), judgments, hours, money, certain)


def _draw(
    prior: Belief, ballots: Ballots, open_: Ints, team: Team, ties: Ties, rule: StoppingRule, rng: np.random.Generator
) -> tuple[float, float, float, float]:
    many = open_.size > MOST_SIMULATED
    items = rng.choice(open_, MOST_SIMULATED, replace=True) if many else open_
    scale = open_.size / items.size
    own = Belief(prior.log_weight[items])
    cast = _ballots_of(ballots, items, prior.log_weight.shape[0])
    accuracy = rng.beta(team.trust.right, team.trust.wrong)
    votes, sure = simulate_votes(own, cast, accuracy, team, ties, rule, rng)
    pace = team.per_hour * np.exp(rng.normal(0.0, team.pace_spread, team.per_hour.size))
    busy = votes > 0
    done = votes[busy] * scale / (1.0 - team.checks)
    hours = float(np.sum(done / pace[busy]))
    money = float(done.sum()) * team.price_per_judgment + hours * team.price_per_hour
    return float(done.sum()), hours, money, sure


def simulate_votes(
    prior: Belief, ballots: Ballots, accuracy: Floats, team: Team, ties: Ties, rule: StoppingRule,
    rng: np.random.Generator,
) -> tuple[Ints, float]:  # fmt: skip
    """One future: votes by each rater (R) until all items are done, and the share of items that end certain."""
    truth = _sampled(with_votes(prior, ballots.item, ballots.evidence).probability, rng)
    votes = np.zeros(team.share.size, dtype=np.int64)
    while True:
        found = support(prior, ballots, rule)
        left = np.flatnonzero(~is_done(found, rule))
        if left.size == 0:
            return votes, float(is_certain(found, rule).mean())
        rater = rng.choice(team.share.size, left.size, p=team.share / team.share.sum())
        evidence = vote_evidence(_answers(truth[left], accuracy[rater], ties, rng), team.trust.of(rater), ties)
        votes += np.bincount(rater, minlength=votes.size)
        ballots = Ballots(
            np.concatenate([ballots.item, left]),
            np.concatenate([ballots.voice, team.voice[rater]]),
            np.concatenate([ballots.evidence, evidence]),
        )


def _answers(truth: Ints, accuracy: Floats, ties: Ties, rng: np.random.Generator) -> Ints:
    equal = truth == EQUAL
    tie = rng.random(truth.size) < np.where(equal, ties.equal, ties.decided)
    right = rng.random(truth.size) < np.where(equal, 0.5, accuracy)
    side = np.where(equal, 0, truth)
    return np.where(tie, EQUAL, np.where(right, side, 1 - side))


def _sampled(probability: Floats, rng: np.random.Generator) -> Ints:
    below = np.cumsum(probability, axis=1)[:, :-1]
    drawn: Ints = np.sum(rng.random((probability.shape[0], 1)) >= below, axis=1)
    return drawn


def _ballots_of(ballots: Ballots, items: Ints, size: int) -> Ballots:
    """The ballots of `items`, which may name one twice, numbered by place in `items`."""
    order = np.argsort(ballots.item, kind="stable")
    begin = np.concatenate([[0], np.cumsum(np.bincount(ballots.item, minlength=size))]).astype(np.int64)
    count = begin[items + 1] - begin[items]
    place = np.repeat(np.arange(items.size), count)
    within = np.arange(place.size) - np.repeat(np.cumsum(count) - count, count)
    row = order[begin[items][place] + within]
    return Ballots(place, ballots.voice[row], ballots.evidence[row])


def _forecast(values: Floats) -> Forecast:
    low, high = np.quantile(values, [0.025, 0.975])
    return Forecast(float(values.mean()), float(low), float(high))
