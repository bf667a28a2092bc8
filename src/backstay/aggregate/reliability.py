"""Rater reliability: who is right how often, who leans to the first response, and what the truth then is.

A hierarchical Dawid-Skene model (Dawid & Skene 1979): accuracies per rater and order shown, shrunk to a population
that is fitted to all raters; gold items as anchors; every message leaves out what it is sent to, as in belief
propagation (Liu, Peng & Ihler 2012); the other comparisons of two responses as prior (`coupling`); and raters who act
as one counted as about one (`blocs`). docs/aggregate/reliability.md.
"""

import os
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from backstay.aggregate.blocs import Bloc, bloc_weights, find_blocs
from backstay.aggregate.columns import VoteColumns, columns_of
from backstay.aggregate.compiled import compiled, over_slices
from backstay.aggregate.coupling import Coupling, couple
from backstay.aggregate.kernels import CELLS, Rules, State, begin, sweep
from backstay.aggregate.settings import AggregateSettings
from backstay.aggregate.voices import Voices
from backstay.aggregate.votes import Floats, Votes, tally

GOLD_LOG_ODDS = 30.0
"""Log-odds to which gold items are clamped at the end."""

GOLD_TOLD = 4.0
"""Log-odds that a gold item tells the other comparisons of its responses."""

COUPLED_FROM = 2
"""Sweep from which the coupling is used: before it the evidence is a head count."""


@dataclass(frozen=True)
class Fit:
    """The fitted model.

    Of V voices (one a rater unless contexts divide them): expected counts `cells` (V, 6) as in `kernels`, and
    `population`, the Beta(right, wrong) priors (rows, 2) at the rows that `voices` name. Of N
    votes: `evidence`, already weighted; `belief` of the truth without them (NaN = cannot be compared with anything);
    `independence`. Of I items: `prior` from coupling and `log_odds`. `blocs` are the raters found to act as one.
    """

    cells: Floats
    voices: Voices
    population: Floats
    evidence: Floats
    belief: Floats
    independence: Floats
    prior: Floats
    log_odds: Floats
    blocs: tuple[Bloc, ...]
    iterations: int
    converged: bool


def fit_reliability(votes: Votes, gold: Floats, settings: AggregateSettings) -> Fit:
    """Fit the model with `gold` (I, NaN = unknown), which may hold less than `votes.gold` does."""
    return fit_columns(columns_of(votes, gold), settings)


def fit_columns(
    columns: VoteColumns, settings: AggregateSettings, voices: Voices | None = None, starts: tuple[Floats, ...] = ()
) -> Fit:
    """Fit the model to columns, whose raters are `voices`; by default each is a rater of its own.

    `starts` are memberships of raters (R) that the search for blocs begins from too.
    """
    solver = Solver(columns, settings, voices, starts)
    return solver.fit(solver.run())


class Solver:
    """The state of a fit on `columns`, renewed in place by sweeps."""

    def __init__(
        self,
        columns: VoteColumns,
        settings: AggregateSettings,
        voices: Voices | None = None,
        starts: tuple[Floats, ...] = (),
    ) -> None:
        self.columns, self.settings = columns, settings
        self.rules = rules_of(settings)
        n, i = columns.n_votes, columns.n_items
        self.voices = Voices.one_each(columns.n_raters) if voices is None else voices
        self.starts = tuple(self.voices.by_actor(start[self.voices.owner]) for start in starts)
        self.state = State(np.full(n, np.nan), np.zeros(n), np.ones(n), np.zeros(i), np.zeros(i), self.voices.row,
                           self.voices.start(*gold_votes(columns)))  # fmt: skip
        self.coupling = Coupling.start(i)
        self.sweeps, self.converged = 0, False
        self.cells, _ = self._summed(
            lambda low, high, counted: begin(low, high, columns, self.state, self.rules, counted)
        )

    def run(self) -> tuple[Bloc, ...]:
        """Converge, looking for blocs before the first time and after each; the blocs found last."""
        blocs: tuple[Bloc, ...] = ()
        if self.settings.collusion:
            self.sweep()
            blocs = self.discount()
        self.converge()
        for _ in range(self.settings.bloc_rounds if self.settings.collusion else 0):
            before, blocs = blocs, self.discount()
            if not before and not blocs:
                break
            self.converge()
        return blocs

    def converge(self) -> None:
        """Sweep until no item's probability moves by more than `tolerance`, or `max_iterations` times."""
        for done in range(self.settings.max_iterations):
            change = self.sweep()
            self.converged = change <= self.settings.tolerance
            if self.converged and done > COUPLED_FROM:
                return

    def sweep(self) -> float:
        """One pass over all votes, the populations, and the coupling; the largest change of a probability."""
        old = self.cells
        self.cells, changes = self._summed(
            lambda low, high, counted: sweep(low, high, self.columns, self.state, self.rules, old, counted)
        )
        self._fit_populations()
        self.sweeps += 1
        if self.settings.coupling and self.sweeps >= COUPLED_FROM:
            prior, columns = self.state.prior, self.columns
            told = np.empty(columns.n_items)
            tell(columns, self.state.log_odds, prior, told)
            couple(self.coupling, columns.a, columns.b, told, prior, columns.n_responses)
            prior *= self.settings.coupling
        return max(changes)

    def discount(self) -> tuple[Bloc, ...]:
        """Look for blocs by what is believed now, and count their votes as about one voice each."""
        found = find_blocs(
            self.columns, self.state, self.cells, self.rules, self.settings, self.voices.actor, self.starts
        )
        self.state.weight[:] = bloc_weights(self.columns, found)
        return found

    def fit(self, blocs: tuple[Bloc, ...]) -> Fit:
        """What has been found."""
        state, gold = self.state, self.columns.gold
        log_odds = np.where(gold == 0, state.log_odds, GOLD_LOG_ODDS * gold)
        return Fit(self.cells, self.voices, state.population, state.evidence, state.belief, state.weight, state.prior,
                   log_odds, blocs, self.sweeps, self.converged)  # fmt: skip

    def _fit_populations(self) -> None:
        self.state.population[:] = self.voices.priors(*right_wrong(self.cells))

    def _summed(self, count: Callable[[int, int, Floats], float | None]) -> tuple[Floats, list[float]]:
        """What `count(low, high, counted)` adds to zeroed cells (R, 6) in all slices of the items, and its results."""

        def work(_: int, low: int, high: int) -> tuple[Floats, float | None]:
            counted = np.zeros((self.columns.n_raters, CELLS))
            return counted, count(low, high, counted)

        parts = over_slices(self.columns.n_items, work, os.cpu_count() or 1)
        total: Floats = np.zeros((self.columns.n_raters, CELLS))
        for counted, _ in parts:
            total += counted
        return total, [change or 0.0 for _, change in parts]


def rules_of(settings: AggregateSettings) -> Rules:
    """The numbers of the model that the kernels read."""
    return Rules(
        settings.position_votes,
        settings.single_rater_accuracy,
        settings.gold_confidence,
        settings.gold_weight,
        settings.adversarial == "ignore",
    )


def right_wrong(cells: Floats) -> tuple[Floats, Floats]:
    """Expected right and wrong votes (R) from cells (R, 6)."""
    return cells[:, 0] + cells[:, 3] + cells[:, 4], cells[:, 1] + cells[:, 2] + cells[:, 5]


def gold_votes(columns: VoteColumns) -> tuple[Floats, Floats]:
    """Right and wrong votes (V) on gold items."""
    gold = columns.gold[columns.item]
    known, rater = (gold != 0) & (columns.side != 0), columns.rater.astype(np.int64)
    right = tally(rater, known & (columns.side == gold), columns.n_raters)
    return right, tally(rater, known, columns.n_raters) - right


@compiled
def tell(votes: VoteColumns, log_odds: Floats, prior: Floats, told: Floats) -> None:
    """What each item tells the others: its votes where two raters voted, gold where it is known, else nothing.

    One rater alone must not vouch for its own other votes.
    """
    start, side, gold = votes.start, votes.side, votes.gold
    for i in range(told.size):
        voices = 0
        for j in range(start[i], start[i + 1]):
            voices += side[j] != 0
        told[i] = 0.0
        if gold[i] != 0:
            told[i] = GOLD_TOLD * gold[i]
        elif voices >= 2:
            told[i] = min(max(log_odds[i] - prior[i], -GOLD_LOG_ODDS), GOLD_LOG_ODDS)
