"""What is known of each rater: posterior accuracy with an interval, and whether the voice is its own."""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import logit
from scipy.stats import beta

from backstay.aggregate.blocs import Bloc, gold_record
from backstay.aggregate.columns import Index, VoteColumns
from backstay.aggregate.compiled import compiled
from backstay.aggregate.kernels import CELLS, Rules, accuracies, add_vote, evidence_of, sigmoid
from backstay.aggregate.reliability import Fit, right_wrong, rules_of
from backstay.aggregate.settings import AggregateSettings
from backstay.aggregate.source_evidence import SignalTest
from backstay.aggregate.votes import Floats, Ints

GRID = 100
"""Accuracies at which a rater's posterior is evaluated."""

OWN_STEPS = 8
"""EM steps on each rater's own votes."""

UNVERIFIED_SIZE = 4.0
"""Judgments that the assumed accuracy of an unverified rater is worth in its interval."""

PASSED_GOLD = 0.6
"""Accuracy on gold that a group's 95 % lower bound must reach to be called a preference and no bloc of liars."""


@dataclass(frozen=True)
class Known:
    """Of R raters: `accuracy` averaged over both orders, `bias` to the first response in log-odds, `verified`.

    `order` and `begin` list each rater's votes: order[begin[r]:begin[r + 1]].
    """

    accuracy: Floats
    bias: Floats
    verified: NDArray[np.bool_]
    order: Ints
    begin: Ints


def known_of(columns: VoteColumns, fit: Fit, settings: AggregateSettings) -> Known:
    """What the votes say of each rater, the truth of each judged without it."""
    order = np.argsort(columns.rater, kind="stable")
    begin = np.concatenate([[0], np.cumsum(np.bincount(columns.rater, minlength=columns.n_raters))]).astype(np.int64)
    row, population = fit.voices.row, fit.population
    found = rater_accuracies(order, begin, columns, fit.belief, fit.cells, row, population, rules_of(settings))
    right, wrong = right_wrong(fit.cells)
    bias = (logit(found[:, 0]) - logit(found[:, 1])) / 2.0
    return Known(found.mean(axis=1), bias, right + wrong > 0.0, order, begin)


@compiled
def rater_accuracies(
    order: Ints, begin: Ints, votes: VoteColumns, belief: Floats, cells: Floats, row: Index, population: Floats,
    rules: Rules,
) -> Floats:  # fmt: skip
    """Accuracies (R, 2) where the first response is better and where the second is.

    EM on each rater's own votes, starting from its cells, with the beliefs about the truth held: unlike the counts of
    those beliefs, which hold every rater closer to chance than it is, this is consistent.
    """
    result = np.empty((cells.shape[0], 2))
    none = np.zeros(CELLS)
    for r in range(cells.shape[0]):
        counts = cells[r].copy()
        for _ in range(OWN_STEPS):
            overall, first, second = accuracies(counts, none, population[row[r]], rules)
            result[r, 0], result[r, 1] = first, second
            counts[:] = 0.0
            for k in range(begin[r], begin[r + 1]):
                j = order[k]
                if votes.side[j] == 0 or math.isnan(belief[j]):
                    continue
                told = evidence_of(votes.side[j], votes.shown[j], overall, first, second)
                p = min(max(belief[j], 1e-9), 1.0 - 1e-9)
                after = sigmoid(math.log(p / (1.0 - p)) + told)
                add_vote(counts, votes.side[j], votes.shown[j], after, votes.share[j])
    return result


@dataclass(frozen=True)
class TrustPosterior:
    """Mean and central 95 % interval of R raters' accuracies."""

    mean: Floats
    low: Floats
    high: Floats


def trust_posterior(columns: VoteColumns, fit: Fit, known: Known, settings: AggregateSettings) -> TrustPosterior:
    """Posterior of each rater's accuracy on a grid, with the truth of each item judged without the rater's own vote.

    L_r(x) = Beta(x; population) prod_j [q_j P(vote | x, right side) + (1 - q_j) P(vote | x, wrong side)] ** share,
    where q_j leaves vote j out. The position bias is held at its estimate; the other raters' accuracies too.
    """
    result = np.empty((columns.n_raters, 3))
    grid_posterior(known.order, known.begin, columns, fit.belief, known.bias, fit.voices.row, fit.population, result)
    a, b = UNVERIFIED_SIZE * settings.single_rater_accuracy, UNVERIFIED_SIZE * (1.0 - settings.single_rater_accuracy)
    assumed = (settings.single_rater_accuracy, float(beta.ppf(0.025, a, b)), float(beta.ppf(0.975, a, b)))
    mean, low, high = np.where(known.verified[:, None], result, assumed).T
    return TrustPosterior(mean, low, high)


@compiled
def grid_posterior(
    order: Ints, begin: Ints, votes: VoteColumns, belief: Floats, bias: Floats, row: Index, population: Floats,
    result: Floats,
) -> None:  # fmt: skip
    """Mean, 2.5 % and 97.5 % quantile (R, 3) of each rater's accuracy; `order[begin[r]:begin[r + 1]]` are its votes."""
    log_mass = np.empty(GRID)
    means = np.empty(GRID)
    for r in range(begin.size - 1):
        prior = population[row[r]]
        for g in range(GRID):
            x = (g + 0.5) / GRID
            log_mass[g] = (prior[0] - 1.0) * math.log(x) + (prior[1] - 1.0) * math.log(1.0 - x)
            skill = math.log(x / (1.0 - x))
            means[g] = (sigmoid(skill + bias[r]) + sigmoid(skill - bias[r])) / 2.0
            right = (sigmoid(skill - bias[r]), sigmoid(skill), sigmoid(skill + bias[r]))
            wrong = (sigmoid(-skill - bias[r]), sigmoid(-skill), sigmoid(-skill + bias[r]))
            for k in range(begin[r], begin[r + 1]):
                j = order[k]
                if votes.side[j] == 0 or math.isnan(belief[j]):
                    continue
                q = belief[j] if votes.side[j] > 0 else 1.0 - belief[j]
                lean = votes.side[j] * votes.shown[j] + 1
                log_mass[g] += votes.share[j] * math.log(q * right[lean] + (1.0 - q) * wrong[lean])
        mass = np.exp(log_mass - log_mass.max())
        mass /= mass.sum()
        result[r, 0] = (mass * means).sum()
        for side in range(2):
            x = _quantile(mass, 0.025 if side == 0 else 0.975)
            skill = math.log(x / (1.0 - x))
            result[r, 1 + side] = (sigmoid(skill + bias[r]) + sigmoid(skill - bias[r])) / 2.0


@compiled
def _quantile(mass: Floats, level: float) -> float:
    """Quantile of a distribution on the grid, linear within its cell."""
    below = 0.0
    for g in range(mass.size):
        if below + mass[g] >= level:
            inside: float = (level - below) / max(mass[g], 1e-300)
            return min(max((g + inside) / mass.size, 1e-6), 1.0 - 1e-6)
        below += mass[g]
    return 1.0 - 1e-6


@dataclass(frozen=True)
class Group:
    """A bloc with its record on gold: `preference` when its members pass gold, so that they differ and do not lie.

    `false_alarms` is how often crowds of independent raters show as strong a bloc (`alarm_rate`); None = not drawn.
    `evidence`, what its members share beyond votes.
    """

    bloc: Bloc
    gold_right: float
    gold_wrong: float
    false_alarms: float | None = None
    evidence: tuple[SignalTest, ...] = ()

    @property
    def preference(self) -> bool:
        """Whether the lower bound of the members' accuracy on gold is above `PASSED_GOLD`."""
        return bool(beta.ppf(0.025, 1.0 + self.gold_right, 1.0 + self.gold_wrong) > PASSED_GOLD)


def groups_of(columns: VoteColumns, fit: Fit) -> tuple[Group, ...]:
    """The blocs of a fit with their records on gold."""
    return tuple(Group(bloc, *gold_record(columns, bloc)) for bloc in fit.blocs)


def own_voice(groups: tuple[Group, ...], n_raters: int) -> Floats:
    """Share (R) of each rater's votes that are its own and no copy; preference groups are not held against anyone."""
    own: Floats = np.ones(n_raters)
    for group in groups:
        if not group.preference:
            own *= 1.0 - group.bloc.copying * group.bloc.membership
    return own
