"""The fit of `reliability` as map-reduce over shards of whole items, for votes that exceed one machine.

Map: a shard turns the cells and populations of the last pass into counted cells and the largest change. Reduce: the
cells are added in the order of the shards. With as many shards as one machine has slices, cut at the same items, and
without coupling, the result is the same bit for bit; otherwise sums are rounded in another order.
docs/aggregate/scale.md.
"""

from collections.abc import Callable, Sequence
from functools import partial

import numpy as np

from backstay.aggregate.blocs import Bloc, find_blocs
from backstay.aggregate.columns import VoteColumns
from backstay.aggregate.coupling import VARIANCES
from backstay.aggregate.executors import Executor, ThreadExecutor
from backstay.aggregate.kernels import CELLS, State
from backstay.aggregate.reliability import COUPLED_FROM, Fit, Solver, rules_of
from backstay.aggregate.settings import AggregateSettings
from backstay.aggregate.shards import Place, Shard, Size, joined, with_parts
from backstay.aggregate.voices import Voices
from backstay.aggregate.votes import Floats, Ints
from backstay.errors import UsageError

Save = Callable[[int, VoteColumns, Fit], None]


def fit_shards(
    sources: Sequence[Callable[[], VoteColumns]],
    settings: AggregateSettings,
    executor: Executor | None = None,
    voices: Voices | None = None,
    save: Save | None = None,
) -> Fit:
    """Fit shards that `sources` read, each in its worker; all number raters and responses alike.

    With `save` each worker hands it the shard's number, columns and fit, and the result has raters but no votes or
    items; without, those of all shards are brought here. By default shards work in threads of this process.
    """
    executor = executor or ThreadExecutor()
    try:
        solver = ShardSolver(sources, settings, executor, voices)
        return solver.collected(solver.run(), save)
    finally:
        executor.close()


class ShardSolver(Solver):
    """A solver whose votes and items lie in shards; cells, populations and tau^2 are kept here."""

    def __init__(
        self,
        sources: Sequence[Callable[[], VoteColumns]],
        settings: AggregateSettings,
        executor: Executor,
        voices: Voices | None,
    ) -> None:
        self.settings, self.executor = settings, executor
        self.rules = rules_of(settings)
        executor.start([partial(Shard, k, source, settings, voices) for k, source in enumerate(sources)])
        self.sizes = executor.map(Shard.size)
        _check(self.sizes)
        self.voices = Voices.one_each(self.sizes[0].n_raters) if voices is None else voices
        none = np.empty(0)
        right, wrong = (np.sum(part, axis=0) for part in zip(*executor.map(Shard.gold_votes), strict=True))
        start = self.voices.start(right, wrong)
        self.state = State(none, none, none, none, none, self.voices.row, start)
        place = _place(self.sizes)
        executor.map(partial(Shard.stand, place=place))
        self.sums: Floats = np.zeros((2, place.shared.size))
        self.variance = 1.0
        self.sweeps, self.converged = 0, False
        self.cells = self._added(executor.map(partial(Shard.begin, population=start)))

    def sweep(self) -> float:
        """One pass over all shards, the populations, and the coupling; the largest change of a probability."""
        found = self.executor.map(partial(Shard.sweep, cells=self.cells, population=self.state.population))
        self.cells = self._added([counted for counted, _ in found])
        self._fit_populations()
        self.sweeps += 1
        if self.settings.coupling and self.sweeps >= COUPLED_FROM:
            self._couple()
        return max(change for _, change in found)

    def _couple(self) -> None:
        parts = self.executor.map(partial(Shard.couple, sums=self.sums, variance=self.variance))
        self.sums = np.sum(parts, axis=0)
        moments = self.executor.map(partial(Shard.moment, sums=self.sums, variance=self.variance))
        absent = self.sizes[0].n_responses - sum(count for _, count in moments)
        total = sum(moment for moment, _ in moments) + absent * self.variance
        mean = total / self.sizes[0].n_responses if self.sizes[0].n_responses else 1.0
        self.variance = min(max(mean, VARIANCES[0]), VARIANCES[1])

    def discount(self) -> tuple[Bloc, ...]:
        """Look for blocs in the votes of drawn items, which are brought here, and tell the shards."""
        drawn = self.executor.map(partial(Shard.drawn, items=self._drawn_items()))
        columns = joined([part for part, _ in drawn])
        states = [state for _, state in drawn]
        belief, evidence, weight, prior, log_odds = (np.concatenate([state[k] for state in states]) for k in range(5))
        state = State(belief, evidence, weight, prior, log_odds, self.state.row, self.state.population)
        settings = self.settings.model_copy(update={"max_co_votes": 2**62})
        blocs = find_blocs(columns, state, self.cells, self.rules, settings, self.voices.actor)
        self.executor.map(partial(Shard.discount, blocs=blocs))
        return blocs

    def _drawn_items(self) -> Ints | None:
        """The items that `blocs.co_votes` would draw from all; None = all."""
        items, total = sum(size.items for size in self.sizes), sum(size.co_votes for size in self.sizes)
        limit = self.settings.max_co_votes
        if total <= limit:
            return None
        return np.linspace(0, items - 1, int(items * limit / total)).astype(np.int64)

    def collected(self, blocs: tuple[Bloc, ...], save: Save | None) -> Fit:
        """The fit, with all shards' votes and items unless `save` takes them."""
        none = np.empty(0)
        common = Fit(self.cells, self.voices, self.state.population, none, none, none, none, none, blocs, self.sweeps,
                     self.converged)  # fmt: skip
        fits = [fit for fit in self.executor.map(partial(Shard.fit, common=common, save=save)) if fit is not None]
        if not fits:
            return common
        parts = [(f.evidence, f.belief, f.independence, f.prior, f.log_odds) for f in fits]
        return with_parts(common, *(np.concatenate(column) for column in zip(*parts, strict=True)))

    def _added(self, parts: Sequence[Floats]) -> Floats:
        total: Floats = np.zeros((self.sizes[0].n_raters, CELLS))
        for part in parts:
            total += part
        return total


def _check(sizes: Sequence[Size]) -> None:
    numbered = {(size.n_raters, size.n_responses) for size in sizes}
    if len(numbered) != 1:
        raise UsageError(
            f"shards number raters and responses differently: {sorted(numbered)}",
            cure="number them once for all shards",
        )


def _place(sizes: Sequence[Size]) -> Place:
    """Where each shard begins, and the responses that several have, counted by the first of these."""
    first = np.concatenate([[0], np.cumsum([size.items for size in sizes])]).astype(np.int64)
    holders = np.zeros(sizes[0].n_responses, dtype=np.int32)
    for size in sizes:
        holders[size.responses] += 1
    shared = np.flatnonzero(holders > 1).astype(np.int32)
    owner = np.full(shared.size, -1, dtype=np.int64)
    for number, size in enumerate(sizes):
        owner[(owner < 0) & np.isin(shared, size.responses)] = number
    return Place(first, shared, owner)
