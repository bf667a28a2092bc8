"""New judgments into a fitted state: only what they move is swept again.

A rater's cells are sums over its votes, so that an item's old part is taken off and its new part put on. When a rater's
evidence has drifted, the drift is noted at all its items; an item is swept again once what is noted could move its
probability by more than the tolerance (a residual schedule: Elidan, McGraw & Koller 2006). What is noted and is too
small stays noted, so that many small updates do not add up unseen. docs/aggregate/scale.md.
"""

from dataclasses import dataclass, replace

import numpy as np

from backstay.aggregate.blocs import bloc_weights
from backstay.aggregate.column_growth import (
    Growth,
    NewVotes,
    RaterItems,
    grown,
    grown_rater_items,
    inserted,
    rater_items,
)
from backstay.aggregate.column_order import taken
from backstay.aggregate.columns import Index, Small, VoteColumns
from backstay.aggregate.compiled import compiled
from backstay.aggregate.kernels import CELLS, Rules, State, accuracies, add_vote, evidence_of, sigmoid, sweep
from backstay.aggregate.reliability import GOLD_LOG_ODDS, Fit, right_wrong, rules_of
from backstay.aggregate.settings import AggregateSettings
from backstay.aggregate.voices import Voices
from backstay.aggregate.votes import Floats, Ints
from backstay.errors import UsageError

NOT_RENEWED = ("coupling", "collusion", "populations")
"""What an update leaves as the last full fit found it."""

NOTED = 0.25
"""Drift of a rater's evidence, in tolerances, from which on its items are told."""

NOTHING = 1e-9
"""Cells below it are what rounding leaves of votes that were taken off."""


@dataclass(frozen=True)
class FitState:
    """A fit that can be updated: its columns, the items of each rater, and what has drifted since they were swept.

    `told` (R, 3) is each rater's evidence as its items know it; `pending` (I) bounds the log-odds that an item has not
    yet followed.
    """

    columns: VoteColumns
    fit: Fit
    settings: AggregateSettings
    of_rater: RaterItems
    told: Floats
    pending: Floats

    @classmethod
    def of(cls, columns: VoteColumns, fit: Fit, settings: AggregateSettings) -> "FitState":
        """The state that a full fit leaves. Raises `UsageError` where voices have priors from their rater's others."""
        if fit.voices.hierarchical:
            raise UsageError(
                f"a fit of {int(fit.voices.tied.sum())} dimensions together cannot be updated in part",
                cure="fit it anew, or keep the columns of each dimension apart",
            )
        raters = np.arange(columns.n_raters, dtype=np.int32)
        told = evidences(raters, fit.cells, fit.voices.row, fit.population, rules_of(settings))
        return cls(columns, fit, settings, rater_items(columns), told, np.zeros(columns.n_items))


@dataclass(frozen=True)
class Update:
    """The new state and what it cost.

    `swept` counts sweeps of single items in so many `passes`; `converged` is false where `max_iterations` ended them.
    `not_renewed` is left as the last full fit found it; `populations_moved` says that a full fit would now choose
    another population, so that it is time for one.
    """

    state: FitState
    touched: Ints
    swept: int
    passes: int
    converged: bool
    populations_moved: bool
    not_renewed: tuple[str, ...] = NOT_RENEWED


def update(state: FitState, new: NewVotes) -> Update:
    """Take in new votes, items, raters and gold answers; `state` itself stays as it is.

    A second vote of a rater on an item replaces the first. New items have no prior from coupling; new votes of members
    of a known bloc are counted as its votes are. Raises `UsageError` for votes that do not fit the columns.
    """
    growth = grown(state.columns, new)
    work = _Work(state, new, growth)
    work.begin(growth.touched)
    active, swept, passes = growth.touched, 0, 0
    while active.size and passes < state.settings.max_iterations:
        work.sweep(active)
        swept, passes = swept + active.size, passes + 1
        active = moved_items(work.pending, work.state.log_odds, growth.columns.gold, state.settings.tolerance)
    fit = work.fit()
    after = FitState(growth.columns, fit, state.settings, work.of_rater, work.told, work.pending)
    moved = not np.array_equal(_population(fit), fit.population)
    return Update(after, growth.touched, swept, passes, active.size == 0, moved)


class _Work:
    """An update under way: arrays of its own, changed in place."""

    def __init__(self, before: FitState, new: NewVotes, growth: Growth) -> None:
        fit, columns = before.fit, growth.columns
        more, added = columns.n_items - before.columns.n_items, np.zeros(growth.at.size)
        self.before, self.columns, self.replaced = before, columns, growth.replaced
        self.rules, self.tolerance = rules_of(before.settings), before.settings.tolerance
        self.of_rater = grown_rater_items(before.of_rater, growth)
        self.cells = np.vstack([fit.cells, np.zeros((new.group.size, CELLS))])
        self.blocs = tuple(
            replace(bloc, membership=np.append(bloc.membership, np.zeros(new.group.size))) for bloc in fit.blocs
        )
        self.state = State(
            belief=inserted(fit.belief, growth.at, added + np.nan),
            evidence=inserted(fit.evidence, growth.at, added),
            weight=inserted(fit.independence, growth.at, added + 1.0),
            prior=np.append(fit.prior, np.zeros(more)),
            log_odds=np.append(fit.log_odds, np.zeros(more)),
            row=np.append(fit.voices.row, new.group).astype(np.int32),
            population=fit.population,
        )
        self.voices = _grown_voices(fit.voices, new.group)
        self.pending = np.append(before.pending, np.zeros(more))
        newcomers = np.arange(before.columns.n_raters, columns.n_raters, dtype=np.int32)
        self.told = np.vstack([before.told, self._evidences(newcomers)])

    def begin(self, touched: Ints) -> None:
        """Recount the touched items by what their votes are now; a vote that replaces another begins anew."""
        old = touched[touched < self.before.columns.n_items]
        count(old, self.before.columns, self.before.fit.belief, self.rules, -1.0, self.cells)
        self.state.belief[self.replaced] = np.nan
        count(old, self.columns, self.state.belief, self.rules, 1.0, self.cells)
        part, votes = taken(touched, self.columns)
        self.state.weight[votes] = bloc_weights(part, self.blocs)

    def sweep(self, active: Ints) -> None:
        """Sweep the active items, count them anew, and tell the drift of their raters to all items of these."""
        part, votes = taken(active, self.columns)
        state = self.state
        own = State(
            state.belief[votes], state.evidence[votes], state.weight[votes], state.prior[active],
            state.log_odds[active], state.row, state.population,
        )  # fmt: skip
        counted = np.zeros_like(self.cells)
        count(np.arange(active.size), part, own.belief, self.rules, -1.0, counted)
        sweep(0, active.size, part, own, self.rules, self.cells, counted)
        self.cells += counted
        self.cells[np.abs(self.cells) < NOTHING] = 0.0
        state.belief[votes], state.evidence[votes] = own.belief, own.evidence
        state.log_odds[active] = np.where(part.gold == 0, own.log_odds, GOLD_LOG_ODDS * part.gold)
        self.pending[active] = 0.0
        self._tell(np.unique(part.rater))

    def _tell(self, raters: Index) -> None:
        now = self._evidences(raters)
        drift = np.abs(now - self.told[raters]).max(axis=1, initial=0.0)
        far = drift > NOTED * self.tolerance
        add_drift(raters[far], drift[far], self.of_rater, self.pending)
        self.told[raters[far]] = now[far]

    def _evidences(self, raters: Index) -> Floats:
        return evidences(raters, self.cells, self.state.row, self.state.population, self.rules)

    def fit(self) -> Fit:
        """What the update has come to."""
        state = self.state
        return replace(
            self.before.fit, cells=self.cells, voices=self.voices, evidence=state.evidence, belief=state.belief,
            independence=state.weight, prior=state.prior, log_odds=state.log_odds, blocs=self.blocs,
        )  # fmt: skip


def _population(fit: Fit) -> Floats:
    """The priors that the cells speak for."""
    return fit.voices.priors(*right_wrong(fit.cells))


def _grown_voices(voices: Voices, context: Index) -> Voices:
    newcomers = voices.n_raters + np.arange(context.size, dtype=np.int32)
    return replace(
        voices, owner=np.append(voices.owner, newcomers), context=np.append(voices.context, context).astype(np.int32)
    )


@compiled
def count(items: Ints, votes: VoteColumns, belief: Floats, rules: Rules, sign: float, cells: Floats) -> None:
    """Add, or with sign -1 take off, what the items' votes put into their raters' cells (R, 6)."""
    for i in items:
        factor = rules.gold_weight if votes.gold[i] != 0 else 1.0
        for j in range(votes.start[i], votes.start[i + 1]):
            if votes.side[j] != 0 and not np.isnan(belief[j]):
                weight = sign * votes.share[j] * factor
                add_vote(cells[votes.rater[j]], votes.side[j], votes.shown[j], belief[j], weight)


@compiled
def evidences(raters: Index, cells: Floats, row: Index, population: Floats, rules: Rules) -> Floats:
    """Evidence (3 a rater) of a vote for a: order unknown, a shown first, a shown second."""
    result = np.empty((raters.size, 3))
    none = np.zeros(CELLS)
    for k in range(raters.size):
        r = raters[k]
        overall, first, second = accuracies(cells[r], none, population[row[r]], rules)
        for shown in range(3):
            result[k, shown] = evidence_of(1, shown if shown < 2 else -1, overall, first, second)
    return result


@compiled
def add_drift(raters: Index, drift: Floats, of_rater: RaterItems, pending: Floats) -> None:
    """Note each rater's drift at all its items."""
    for k in range(raters.size):
        for place in range(of_rater.begin[raters[k]], of_rater.begin[raters[k] + 1]):
            pending[of_rater.item[place]] += drift[k]


@compiled
def moved_items(pending: Floats, log_odds: Floats, gold: Small, tolerance: float) -> Ints:
    """Items without gold whose probability what is pending could move by more than the tolerance."""
    found = []
    for i in range(pending.size):
        if gold[i] != 0 or pending[i] <= 4.0 * tolerance:
            continue
        far = abs(log_odds[i])
        if sigmoid(far) - sigmoid(far - pending[i]) > tolerance:
            found.append(i)
    return np.array(found, dtype=np.int64)
