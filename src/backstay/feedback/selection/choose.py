"""Which item a rater is asked next, for what purpose, and with what probability that was chosen.

The policy is random, so that every candidate can be chosen: a later estimate can weigh each judgment by one over its
recorded propensity (inverse propensity scoring), and nobody can foretell what will be asked.
"""

from dataclasses import dataclass
from enum import StrEnum

import numpy as np

from backstay.errors import UsageError
from backstay.feedback.selection.belief import Belief, Bools, Floats, Ints, Ties, Trust
from backstay.feedback.selection.gold import gold_weights
from backstay.feedback.selection.information import information_gain
from backstay.feedback.selection.repeats import repeat_weights


class Purpose(StrEnum):
    """Why a rater is asked."""

    VOTE = "vote"
    GOLD = "gold"
    CONSISTENCY = "consistency"


@dataclass(frozen=True)
class ChoiceRule:
    """How the next item is chosen.

    `gold` and `repeat`: chance of a gold item and of a repeat at each assignment, whatever was done before.
    `uniform`: share of votes on an item drawn evenly. `temperature`: of the softmax over gains, as a share of the
    largest gain; small = nearly always the most telling item. `equality`, `trust` and `reward`: worth of a nat on
    whether the responses are equal, on the rater's trust and on the reward, in nats on which is better. `first_votes`:
    items with fewer votes and leases than this come first, the fewest first; 0 = off. `strategy`: "active", or "even"
    for the item with the fewest votes.
    """

    gold: float = 0.1
    repeat: float = 0.02
    uniform: float = 0.1
    temperature: float = 0.05
    equality: float = 0.3
    trust: float = 0.1
    reward: float = 1.0
    first_votes: int = 2
    strategy: str = "active"

    def __post_init__(self) -> None:
        """Refuse what is no probability and a temperature that would make propensities 0."""
        if min(self.gold, self.repeat) < 0.0 or self.gold + self.repeat >= 1.0:
            raise UsageError(f"gold is {self.gold} and repeat {self.repeat}; both at least 0, together below 1")
        if min(self.equality, self.trust, self.reward, self.first_votes) < 0:
            raise UsageError("equality, trust, reward and first_votes must be at least 0; one of them is not")
        if not 0.0 < self.uniform <= 1.0:
            raise UsageError(f"uniform is {self.uniform}; it must lie in (0, 1], or some items could never be chosen")
        if self.temperature <= 0.0:
            raise UsageError(f"temperature is {self.temperature}; it must be above 0")
        if self.strategy not in ("active", "even"):
            raise UsageError(f"strategy {self.strategy!r} is not known; known are active, even")


@dataclass(frozen=True)
class Candidates:
    """I items this rater may be asked as a vote: open, never shown to this rater, neither gold nor withdrawn.

    `votes` and `leased` count the judgments and the open leases of others; `reward` is `ensemble_gain`, or None.
    """

    belief: Belief
    votes: Ints
    leased: Ints
    reward: Floats | None = None


@dataclass(frozen=True)
class GoldPool:
    """G gold items: how many raters answered each, whether this rater was shown it, whether it is retired."""

    exposure: Ints
    seen: Bools
    retired: Bools
    cap: int = 50


@dataclass(frozen=True)
class OwnPast:
    """H items this rater judged: how many judgments ago, and whether it was repeated (or was gold)."""

    ago: Ints
    repeated: Bools
    lag: int = 20


@dataclass(frozen=True)
class Choice:
    """`place` is the index in the candidates, the gold pool or the rater's past, as `purpose` says.

    `propensity`: probability, before anything was drawn, of this item for this purpose.
    """

    purpose: Purpose
    place: int
    strategy: str
    propensity: float


def choose(
    candidates: Candidates, gold: GoldPool, past: OwnPast, trust: Trust, ties: Ties, rule: ChoiceRule,
    rng: np.random.Generator,
) -> Choice | None:  # fmt: skip
    """The next assignment of a rater with `trust` (one rater), or None where no vote is left to ask.

    The first number of `rng` settles the purpose; take it from `keyed_rng(key, project, rater, count of assignments)`.
    Where no gold item or repeat can be given, a vote takes its place and its propensity says so. None also where only
    gold is left: a rater who is asked nothing but gold would know it.
    """
    if candidates.votes.size == 0:
        return None
    u = rng.random()
    offers = {
        Purpose.GOLD: (rule.gold, gold_weights(gold.exposure, gold.seen, gold.retired, gold.cap)),
        Purpose.CONSISTENCY: (rule.repeat, repeat_weights(past.ago, past.repeated, past.lag)),
    }
    below, used = 0.0, 0.0
    for purpose, (share, weights) in offers.items():
        if weights.any():
            used += share
            if below <= u < below + share:
                place = _drawn(weights, rng)
                return Choice(purpose, place, "rotation", share * float(weights[place]))
        below += share
    probability = vote_probabilities(candidates, trust, ties, rule)
    place = _drawn(probability, rng)
    return Choice(Purpose.VOTE, place, rule.strategy, (1.0 - used) * float(probability[place]))


def vote_probabilities(candidates: Candidates, trust: Trust, ties: Ties, rule: ChoiceRule) -> Floats:
    """Probability (I) of each candidate under the random policy; all are above 0 and they sum to 1."""
    size = candidates.votes.size
    score = _score(candidates, trust, ties, rule)
    scale = rule.temperature * max(float(np.ptp(score)), 1e-12)
    soft = np.exp((score - score.max()) / scale)
    probability: Floats = (1.0 - rule.uniform) * soft / soft.sum() + rule.uniform / size
    return probability


def _score(candidates: Candidates, trust: Trust, ties: Ties, rule: ChoiceRule) -> Floats:
    """What an answer is worth; open leases will tell a part of it first."""
    waiting = candidates.votes + candidates.leased
    if rule.strategy == "even":
        return -waiting.astype(np.float64)
    gain = information_gain(candidates.belief, trust, ties)
    worth = gain.direction + rule.equality * gain.equality + rule.trust * gain.trust
    if candidates.reward is not None:
        worth = worth + rule.reward * candidates.reward
    first = max(float(worth.max()), 1e-9) * (1.0 + rule.first_votes - waiting)
    return np.where(waiting < rule.first_votes, first, worth / (1.0 + candidates.leased))


def _drawn(probability: Floats, rng: np.random.Generator) -> int:
    ends = np.cumsum(probability)
    return int(min(np.searchsorted(ends, rng.random() * ends[-1], side="right"), probability.size - 1))
