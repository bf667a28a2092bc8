"""Real crowd judgments replayed: a policy decides which of a rater's real answers are looked at, and in what order.

Nothing is made up: a drawn item is answered by a random one of those who really answered it and were not yet looked at.
Gold is never seen here.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from backstay.aggregate import AggregateSettings, Fit, VoteColumns, fit_columns
from backstay.aggregate.reliability import right_wrong
from backstay.feedback.selection.belief import (
    FIRST,
    SECOND,
    TIE,
    Belief,
    Ties,
    Trust,
    prior_belief,
    vote_evidence,
    with_votes,
)
from backstay.feedback.selection.choose import Candidates, ChoiceRule, vote_probabilities
from backstay.feedback.selection.stopping import Ballots, StoppingRule, is_certain, support

SETTINGS = AggregateSettings(bloc_simulations=0)
AT_WORK = 20
"""Raters at work at a time: so many items are drawn before an answer is seen."""

MOST_TOLD = 3.0
"""Log-odds that other comparisons of a pair's responses tell at most."""


class Active(NamedTuple):
    """Parameters of active and adaptive assignment. `levels`: certainties at which items rest
    until all have reached them, one after the other; none = items are only ordered by what they tell.
    `routed`: of the raters who can answer an item, the most telling is asked; else a random one."""

    rule: ChoiceRule = ChoiceRule(gold=0.0, repeat=0.0)
    levels: tuple[float, ...] = ()
    independent: int = 2
    ties: Ties = Ties()
    routed: bool = False


def revealed_columns(columns: VoteColumns, shown: NDArray[np.bool_]) -> VoteColumns:
    """The votes that were looked at."""
    count = np.bincount(columns.item[shown], minlength=columns.n_items)
    start = np.concatenate([[0], np.cumsum(count)]).astype(np.int64)
    kept = {name: getattr(columns, name)[shown] for name in ("rater", "side", "shown", "share")}
    return columns._replace(start=start, **kept)


def uniform_order(columns: VoteColumns, rng: np.random.Generator) -> NDArray[np.int64]:
    """Votes (N) in rounds: a random one of each item in random order, then a second of each, and so on."""
    draw = rng.random(columns.n_votes)
    by_item = np.lexsort((draw, columns.item))
    count = np.diff(columns.start)
    rank = np.empty(columns.n_votes, dtype=np.int64)
    rank[by_item] = np.arange(columns.n_votes) - np.repeat(columns.start[:-1], count)
    return np.lexsort((rng.random(columns.n_votes), rank))


@dataclass
class ActiveReplay:
    """Votes on the items that the policy of `choose` draws; trust is renewed by `learn`."""

    columns: VoteColumns
    active: Active
    rng: np.random.Generator
    level: float = 0.0
    item: NDArray[np.int64] = field(init=False)

    def __post_init__(self) -> None:
        c = self.columns
        self.item = c.item
        self.answer = np.array([TIE, FIRST, SECOND])[c.side]
        self.open_votes = np.ones(c.n_votes, dtype=np.bool_)
        self.left = np.diff(c.start)
        self.trust = Trust(np.full(c.n_raters, 3.0), np.full(c.n_raters, 1.0))
        self.typical = self.trust.of(0)
        self.weight = np.ones(c.n_votes)
        self.prior = prior_belief(np.zeros(c.n_items), self.active.ties)
        self.evidence = np.zeros((c.n_votes, 3))
        self.total = self.prior.log_weight.copy()
        self.votes = np.zeros(c.n_items, dtype=np.int64)
        self.done = np.zeros(c.n_items, dtype=np.bool_)

    def run(self) -> Iterator[int]:
        """The votes in the order asked; after the last level everything that is left, most telling first."""
        for level in (*self.active.levels, 1.0):
            self.level = level
            self._stop_all()
            while (items := np.flatnonzero(~self.done & (self.left > 0))).size:
                for item in self._drawn(items):
                    yield self._ask(int(item))

    def _drawn(self, items: NDArray[np.int64]) -> NDArray[np.int64]:
        """Different items for as many raters as are at work at a time."""
        none = np.zeros(items.size, dtype=np.int64)
        candidates = Candidates(Belief(self.total[items]), self.votes[items], none)
        p = vote_probabilities(candidates, self.typical, self.active.ties, self.active.rule)
        return self.rng.choice(items, min(AT_WORK, items.size), replace=False, p=p)

    def _ask(self, i: int) -> int:
        """One of the raters who answered the item and were not looked at yet answers it."""
        mine = np.arange(self.columns.start[i], self.columns.start[i + 1])
        able = self.rng.permutation(mine[self.open_votes[mine]])
        # what an answer tells of an item rises with the distance of the rater's accuracy from a coin
        telling = np.abs(self.trust.of(self.columns.rater[able]).mean - 0.5)
        vote = int(able[telling.argmax() if self.active.routed else 0])
        trust = self.trust.of(np.array([self.columns.rater[vote]]))
        self.open_votes[vote] = False
        self.evidence[vote] = vote_evidence(self.answer[[vote]], trust, self.active.ties)[0]
        self.total[i] += self.evidence[vote]
        self.votes[i] += 1
        self.left[i] -= 1
        self._stop(slice(i, i + 1), mine)
        return vote

    def learn(self, fit: Fit) -> None:
        """Take trust, priors and independence of the aggregate of what was looked at so far."""
        right, wrong = right_wrong(fit.cells)
        population = fit.population[fit.voices.row]
        self.trust = Trust(right + population[:, 0], wrong + population[:, 1])
        self.typical = Trust(population[:, 0].mean(), population[:, 1].mean())
        self.prior = prior_belief(np.clip(fit.prior, -MOST_TOLD, MOST_TOLD), self.active.ties)
        seen = ~self.open_votes
        self.weight[seen] = fit.independence
        trust = self.trust.of(self.columns.rater[seen])
        self.evidence[seen] = vote_evidence(self.answer[seen], trust, self.active.ties, self.weight[seen])
        self.total = with_votes(self.prior, self.item[seen], self.evidence[seen]).log_weight
        self._stop_all()

    def _stop_all(self) -> None:
        self._stop(slice(0, self.columns.n_items), np.arange(self.columns.n_votes))

    def _stop(self, items: slice, votes: NDArray[np.int64]) -> None:
        """Renew `done` of neighbouring items from their votes."""
        if self.level >= 1.0:
            self.done[items] = False
            return
        rule = StoppingRule(self.level, least=self.active.independent, most=10**6, independent=self.active.independent)
        votes = votes[~self.open_votes[votes]]
        ballots = Ballots(self.item[votes] - items.start, self.columns.rater[votes].astype(np.int64),
                          self.evidence[votes])  # fmt: skip
        self.done[items] = is_certain(support(Belief(self.prior.log_weight[items]), ballots, rule), rule)


def fit_shown(columns: VoteColumns, shown: NDArray[np.bool_]) -> Fit:
    """Our aggregate of what was looked at."""
    return fit_columns(revealed_columns(columns, shown), SETTINGS)
