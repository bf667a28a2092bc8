"""A part of the items with all their votes, and its share in every pass of the fit: what a worker keeps and does."""

from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import NamedTuple

import numpy as np

from backstay.aggregate.bloc_kernels import co_vote_counts
from backstay.aggregate.blocs import Bloc, bloc_weights
from backstay.aggregate.column_order import taken
from backstay.aggregate.columns import Index, VoteColumns
from backstay.aggregate.compiled import SLICES
from backstay.aggregate.coupling import DAMPING, exchange, gather
from backstay.aggregate.kernels import CELLS, State, begin, sweep
from backstay.aggregate.reliability import GOLD_LOG_ODDS, Fit, gold_votes, rules_of, tell
from backstay.aggregate.settings import AggregateSettings
from backstay.aggregate.voices import Voices
from backstay.aggregate.votes import Floats, Ints


class Size(NamedTuple):
    """Of a shard: items, pairs of votes on one item, raters and responses it numbers, and responses it has (S)."""

    items: int
    co_votes: int
    n_raters: int
    n_responses: int
    responses: Index


class Place(NamedTuple):
    """Where a shard stands among the others: its first item, and for each shared response the shard that counts it."""

    first_item: Ints
    shared: Index
    owner: Ints


class Shard:
    """State of a shard. Strengths of responses are summed here, but for those that other shards have too."""

    def __init__(
        self, number: int, source: Callable[[], VoteColumns], settings: AggregateSettings, voices: Voices | None
    ) -> None:
        self.number, self.columns, self.settings = number, source(), settings
        self.rules = rules_of(settings)
        n, i = self.columns.n_votes, self.columns.n_items
        voices = Voices.one_each(self.columns.n_raters) if voices is None else voices
        self.state = State(np.full(n, np.nan), np.zeros(n), np.ones(n), np.zeros(i), np.zeros(i), voices.row,
                           np.empty((0, 2)))  # fmt: skip
        ends = np.concatenate([self.columns.a, self.columns.b])
        self.responses, local = np.unique(ends, return_inverse=True)
        self.a, self.b = local.astype(np.int32).reshape(2, -1)
        self.messages: Floats = np.zeros((i, 4))

    def size(self) -> Size:
        """How large the shard is."""
        columns = self.columns
        pairs = int(co_vote_counts(columns).sum()) if self.settings.collusion else 0
        return Size(columns.n_items, pairs, columns.n_raters, columns.n_responses, self.responses)

    def stand(self, place: Place) -> None:
        """Learn which responses other shards have too."""
        self.first_item = int(place.first_item[self.number])
        here = np.isin(place.shared, self.responses)
        self.shared_here = np.flatnonzero(here)
        self.shared_local = np.searchsorted(self.responses, place.shared[here])
        self.owned = np.ones(self.responses.size, dtype=np.bool_)
        self.owned[self.shared_local] = place.owner[here] == self.number
        self.n_shared = place.shared.size

    def gold_votes(self) -> tuple[Floats, Floats]:
        """Right and wrong votes (V) on gold items here."""
        return gold_votes(self.columns)

    def begin(self, population: Floats) -> Floats:
        """Cells (V, 6) to start from."""
        self.state = self.state._replace(population=population.copy())
        counted = np.zeros((self.columns.n_raters, CELLS))
        begin(0, self.columns.n_items, self.columns, self.state, self.rules, counted)
        return counted

    def sweep(self, cells: Floats, population: Floats) -> tuple[Floats, float]:
        """One pass: cells counted anew, and the largest change of a probability."""
        self.state.population[:] = population
        counted = np.zeros((self.columns.n_raters, CELLS))
        change = sweep(0, self.columns.n_items, self.columns, self.state, self.rules, cells, counted)
        return counted, change

    def couple(self, sums: Floats, variance: float) -> Floats:
        """Renew messages and priors from the strengths, where `sums` (2, shared) are those of shared responses.

        Returns what the new messages of this shard add to the shared ones.
        """
        precision, shift = self._strengths(sums, variance)
        told, prior = np.empty(self.columns.n_items), self.state.prior
        tell(self.columns, self.state.log_odds, prior, told)
        exchange(self.a, self.b, told, self.messages, precision, shift, prior, DAMPING)
        prior *= self.settings.coupling
        return self.shared_sums()

    def moment(self, sums: Floats, variance: float) -> tuple[float, int]:
        """Sum of second moments of the strengths that this shard counts, and how many."""
        precision, shift = self._strengths(sums, variance)
        moments = (shift / precision) ** 2 + 1.0 / precision
        return float(moments[self.owned].sum()), int(self.owned.sum())

    def shared_sums(self) -> Floats:
        """Precision and precision times mean (2, shared) of this shard's messages to shared responses."""
        sums = np.zeros((2, self.n_shared))
        precision, shift = self._gathered(0.0)
        sums[0, self.shared_here], sums[1, self.shared_here] = precision[self.shared_local], shift[self.shared_local]
        return sums

    def _gathered(self, start: float) -> tuple[Floats, Floats]:
        precision, shift = np.empty(self.responses.size), np.empty(self.responses.size)
        gather(self.a, self.b, self.messages, start, precision, shift)
        return precision, shift

    def _strengths(self, sums: Floats, variance: float) -> tuple[Floats, Floats]:
        precision, shift = self._gathered(1.0 / variance)
        precision[self.shared_local] = 1.0 / variance + sums[0, self.shared_here]
        shift[self.shared_local] = sums[1, self.shared_here]
        return precision, shift

    def drawn(self, items: Ints | None) -> tuple[VoteColumns, State]:
        """Of the items drawn (by place among all; None = all) those here on which several voted, with their state."""
        here = np.arange(self.columns.n_items) if items is None else items - self.first_item
        here = here[(here >= 0) & (here < self.columns.n_items)]
        here = here[co_vote_counts(self.columns)[here] > 0]
        part, votes = taken(here, self.columns)
        state = self.state
        return part, State(
            state.belief[votes], state.evidence[votes], state.weight[votes], state.prior[here], state.log_odds[here],
            state.row, state.population,
        )  # fmt: skip

    def discount(self, blocs: tuple[Bloc, ...]) -> None:
        """Count the votes of blocs as about one voice each."""
        self.state.weight[:] = bloc_weights(self.columns, blocs)

    def fit(self, common: Fit, save: Callable[[int, VoteColumns, Fit], None] | None) -> Fit | None:
        """The fit of this shard's items and votes, handed to `save` where there is one."""
        state, gold = self.state, self.columns.gold
        log_odds = np.where(gold == 0, state.log_odds, GOLD_LOG_ODDS * gold)
        fit = with_parts(common, state.evidence, state.belief, state.weight, state.prior, log_odds)
        if save is None:
            return fit
        save(self.number, self.columns, fit)
        return None


def with_parts(
    fit: Fit, evidence: Floats, belief: Floats, independence: Floats, prior: Floats, log_odds: Floats
) -> Fit:
    """`fit` with these votes and items."""
    return Fit(fit.cells, fit.voices, fit.population, evidence, belief, independence, prior, log_odds, fit.blocs,
               fit.iterations, fit.converged)  # fmt: skip


def shards_of(columns: VoteColumns, count: int = SLICES) -> list[VoteColumns]:
    """Columns cut into `count` shards without a copy; by default where the fit on one machine cuts its slices."""
    cut = np.linspace(0, columns.n_items, count + 1).astype(np.int64)
    return [_cut(columns, int(low), int(high)) for low, high in pairwise(cut)]


def _cut(columns: VoteColumns, low: int, high: int) -> VoteColumns:
    first, last = int(columns.start[low]), int(columns.start[high])
    return columns._replace(
        start=columns.start[low : high + 1] - first,
        rater=columns.rater[first:last],
        side=columns.side[first:last],
        shown=columns.shown[first:last],
        share=columns.share[first:last],
        a=columns.a[low:high],
        b=columns.b[low:high],
        gold=columns.gold[low:high],
    )


def joined(parts: Sequence[VoteColumns]) -> VoteColumns:
    """Columns of all shards, one after the other."""
    offset = np.concatenate([[0], np.cumsum([part.n_votes for part in parts])]).astype(np.int64)
    starts = [part.start[:-1] + first for part, first in zip(parts, offset, strict=False)]
    return parts[0]._replace(
        start=np.concatenate([*starts, offset[-1:]]),
        rater=np.concatenate([part.rater for part in parts]),
        side=np.concatenate([part.side for part in parts]),
        shown=np.concatenate([part.shown for part in parts]),
        share=np.concatenate([part.share for part in parts]),
        a=np.concatenate([part.a for part in parts]),
        b=np.concatenate([part.b for part in parts]),
        gold=np.concatenate([part.gold for part in parts]),
    )
