"""Voices: a rater in one context, such as a dimension, with an accuracy of its own, and what a voice owes its rater.

Raters differ by what they are asked: who judges helpfulness well may judge honesty badly. Each rater has a voice in
every context. Voices of `tied` contexts are drawn to what their rater is in the other tied ones, as strongly as the
data say that raters stay the same; other contexts have a population of their own. docs/aggregate/reliability.md.
"""

from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import NDArray
from scipy.special import betaln, expit, logit

from backstay.aggregate.columns import Index, VoteColumns
from backstay.aggregate.population import ANY_MEANS, MAX_RATERS, MEANS, START, fit_prior
from backstay.aggregate.votes import Floats, Ints, tally

SAMENESS = np.geomspace(2.0, 256.0, 8)
"""How many judgments in a context a rater's accuracy elsewhere may be worth; the data choose among these."""

MARGIN = 0.02
"""Distance from 0 and 1 that prior means keep."""


@dataclass(frozen=True, eq=False)
class Voices:
    """Of V voices: `owner`, the rater, and `context`; of C contexts: `names`, and whether they are `tied`."""

    owner: Index
    context: Index
    names: tuple[str, ...]
    tied: NDArray[np.bool_]

    @classmethod
    def one_each(cls, n_raters: int) -> Self:
        """Every rater has one voice."""
        return cls(np.arange(n_raters, dtype=np.int32), np.zeros(n_raters, dtype=np.int32), ("",), np.ones(1, np.bool_))

    @property
    def n_raters(self) -> int:
        """R."""
        return int(self.owner.max(initial=-1)) + 1

    @property
    def hierarchical(self) -> bool:
        """Whether voices have priors of their own, from their rater's other voices."""
        return int(self.tied.sum()) > 1

    @property
    def row(self) -> Index:
        """Row (V) of each voice's prior among those of `priors`."""
        return np.arange(self.owner.size, dtype=np.int32) if self.hierarchical else self.context

    @property
    def of_their_rater(self) -> NDArray[np.bool_]:
        """Whether each voice (V) speaks for its rater in general."""
        mine: NDArray[np.bool_] = self.tied[self.context]
        return mine

    @property
    def actor(self) -> Index:
        """Who acts in each voice (V): the rater in all its tied contexts; set apart, a voice may act with others."""
        return np.where(self.of_their_rater, self.owner, np.cumsum(~self.of_their_rater) - 1 + self.n_raters).astype(
            np.int32
        )

    @property
    def actors(self) -> int:
        """How many act."""
        return int(self.actor.max(initial=-1)) + 1

    def by_actor(self, value: Floats) -> Floats:
        """What all voices (V) of an actor have in common, by actor."""
        result = np.zeros(self.actors)
        result[self.actor] = value
        return result

    def start(self, right: Floats, wrong: Floats) -> Floats:
        """Priors (rows, 2) before anything is fitted: what gold says of contexts set apart, START of the others.

        `right` and `wrong` (V) are votes on gold items.
        """
        rows = self.owner.size if self.hierarchical else len(self.names)
        result = np.tile([START.right, START.wrong], (rows, 1))
        for c in np.flatnonzero(~self.tied):
            result[self.context == c if self.hierarchical else c] = self._own(int(c), right, wrong)
        return result

    def priors(self, right: Floats, wrong: Floats) -> Floats:
        """Beta(right, wrong) of each row from the expected right and wrong votes (V) of the voices."""
        if not self.hierarchical:
            return np.array([self._own(c, right, wrong) for c in range(len(self.names))])
        result = np.empty((self.owner.size, 2))
        for c in np.flatnonzero(~self.tied):
            result[self.context == c] = self._own(int(c), right, wrong)
        tied = np.flatnonzero(self.of_their_rater)
        result[tied] = tied_priors(self.owner[tied], self.context[tied], right[tied], wrong[tied])
        return result

    def _own(self, context: int, right: Floats, wrong: Floats) -> tuple[float, float]:
        chosen = (right + wrong > 0.0) & (self.context == context)
        prior = fit_prior(right[chosen], wrong[chosen], MEANS if self.tied[context] else ANY_MEANS)
        return prior.right, prior.wrong


def tied_priors(owner: Index | Ints, context: Index, right: Floats, wrong: Floats) -> Floats:
    """Beta(right, wrong) (V, 2) of each voice from its rater's other voices.

    Mean: the rater's accuracy elsewhere, shrunk to the population, moved in log-odds by how much harder the context is.
    Size: 1 / (1 / sameness + 1 / n), n being the judgments elsewhere and the population's size; the sameness that makes
    the counts most likely (beta-binomial) is taken.
    """
    owner = owner.astype(np.int64)
    raters = int(owner.max(initial=-1)) + 1
    all_right, all_wrong = tally(owner, right, raters), tally(owner, wrong, raters)
    seen = all_right + all_wrong > 0.0
    whole = fit_prior(all_right[seen], all_wrong[seen])
    other_right, other_wrong = all_right[owner] - right, all_wrong[owner] - wrong
    n = np.maximum(other_right, 0.0) + np.maximum(other_wrong, 0.0) + whole.right + whole.wrong
    elsewhere = (np.maximum(other_right, 0.0) + whole.right) / n
    ease = _ease(context.astype(np.int64), right, wrong)
    mean = np.clip(expit(logit(elsewhere) + ease[context]), MARGIN, 1.0 - MARGIN)
    several = np.flatnonzero((right + wrong > 0.0) & (other_right + other_wrong > 0.0))
    several = several[:: max(1, -(-several.size // MAX_RATERS))]
    size = 1.0 / (1.0 / _sameness(right[several], wrong[several], mean[several], n[several]) + 1.0 / n)
    return np.stack([mean * size, (1.0 - mean) * size], axis=1)


def _ease(context: Ints, right: Floats, wrong: Floats) -> Floats:
    """Log-odds (C) by which votes in a context are right more often than votes in all."""
    contexts, prior = int(context.max(initial=-1)) + 1, np.array([START.right, START.wrong])
    each = np.stack([tally(context, right, contexts), tally(context, wrong, contexts)], axis=1) + prior
    log_odds = np.log(each[:, 0] / each[:, 1])
    together = each.sum(axis=0)
    moved: Floats = log_odds - np.log(together[0] / together[1])
    return moved


def _sameness(right: Floats, wrong: Floats, mean: Floats, n: Floats) -> float:
    """The most likely of `SAMENESS`; the middle one where no rater has two contexts."""
    if right.size == 0:
        return float(SAMENESS[SAMENESS.size // 2])
    likely = []
    for sameness in SAMENESS:
        size = 1.0 / (1.0 / sameness + 1.0 / n)
        a, b = mean * size, (1.0 - mean) * size
        likely.append(float(np.sum(betaln(right + a, wrong + b) - betaln(a, b))))
    return float(SAMENESS[int(np.argmax(likely))])


def voices_by(columns: VoteColumns, context: Index, names: tuple[str, ...]) -> tuple[VoteColumns, Voices]:
    """Columns in which each rater has a voice in every context (I) of items that it voted in; all contexts are tied."""
    key = context[columns.item].astype(np.int64) * columns.n_raters + columns.rater
    silent = np.setdiff1d(np.arange(columns.n_raters), columns.rater)
    found, index = np.unique(np.append(key, silent), return_inverse=True)
    voices = Voices(
        (found % columns.n_raters).astype(np.int32),
        (found // columns.n_raters).astype(np.int32),
        names,
        np.ones(len(names), dtype=np.bool_),
    )
    rater = index[: key.size].astype(np.int32)
    return columns._replace(rater=rater, n_raters=found.size), voices


def set_apart(columns: VoteColumns, voices: Voices, where: Ints, names: tuple[str, ...]) -> tuple[VoteColumns, Voices]:
    """Columns in which votes (N) with `where` >= 0 are by other voices of their raters, of untied contexts `names`."""
    raters = voices.n_raters
    key = where * raters + voices.owner[columns.rater]
    found, index = np.unique(key[where >= 0], return_inverse=True)
    rater = columns.rater.copy()
    rater[where >= 0] = voices.owner.size + index
    more = Voices(
        np.append(voices.owner, found % raters).astype(np.int32),
        np.append(voices.context, len(voices.names) + found // raters).astype(np.int32),
        (*voices.names, *names),
        np.append(voices.tied, np.zeros(len(names), dtype=np.bool_)),
    )
    return columns._replace(rater=rater, n_raters=more.owner.size), more
