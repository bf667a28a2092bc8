"""Expectation-maximisation over which response is better, for any rater model that is a 2 x 2 confusion matrix."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from backstay.aggregate.baselines.interface import GOLD_LOG_ODDS
from backstay.aggregate.columns import VoteColumns
from backstay.aggregate.compiled import compiled
from backstay.aggregate.votes import Floats, tally

TOLERANCE = 1e-5
"""Stop when no posterior moves by more."""
MAX_STEPS = 1000


@dataclass(frozen=True)
class RaterModel:
    """How answers depend on the truth. Classes and answers are numbered 0 = a, 1 = b; the first axis is the rater.

    `confusion` turns parameters into P(answer | truth) (R, 2, 2); `maximise` turns expected counts of (truth, answer)
    (R, 2, 2) and the old parameters into better ones; `log_prior` is what smoothing adds to the log-likelihood.
    `pseudo` smooths the share of pairs in which a is better; None holds that share at one half.
    """

    confusion: Callable[[Floats], Floats]
    maximise: Callable[[Floats, Floats], Floats]
    log_prior: Callable[[Floats], float]
    pseudo: float | None


@dataclass(frozen=True)
class TwoClassFit:
    """Log-odds (I), the raters' parameters, the share of pairs in which a is better, and the objective at each step."""

    log_odds: Floats
    parameters: Floats
    balance: float
    objective: list[float]
    converged: bool


def expectation_maximisation(
    columns: VoteColumns, model: RaterModel, parameters: Floats, max_steps: int = MAX_STEPS
) -> TwoClassFit:
    """Alternate both steps from `parameters` on until the posterior rests.

    Ties are no votes; items with gold have the posterior 0 or 1; the log-likelihood of a vote counts by its share. The
    objective, log-likelihood plus log-prior, never decreases.
    """
    posterior, log_odds = np.full(columns.n_items, 0.5), np.zeros(columns.n_items)
    counts = np.zeros((columns.n_raters, 2, 2))
    balance, objective, change = 0.5, list[float](), np.inf
    while change > TOLERANCE and len(objective) < max_steps:
        log_confusion, log_balance = np.log(model.confusion(parameters)), np.log([balance, 1.0 - balance])
        value, change, a_better, judged = _expect(columns, log_confusion, log_balance, posterior, log_odds, counts)
        smoothing = 0.0 if model.pseudo is None else model.pseudo * float(log_balance.sum())
        objective.append(value + smoothing + model.log_prior(parameters))
        parameters = model.maximise(counts, parameters)
        if model.pseudo is not None:
            balance = (a_better + model.pseudo) / (judged + 2.0 * model.pseudo)
    return TwoClassFit(log_odds, parameters, balance, objective, bool(change <= TOLERANCE))


def majority_counts(columns: VoteColumns) -> Floats:
    """Expected counts (R, 2, 2) where the truth of an item is its share of votes (Dawid & Skene 1979, eq. 3.1)."""
    side = columns.side.astype(np.float64)
    share = columns.share * (side != 0.0)
    total = tally(columns.item, share, columns.n_items)
    for_a = tally(columns.item, share * (side > 0.0), columns.n_items)
    posterior = np.where(columns.gold != 0, columns.gold > 0, for_a / np.where(total > 0.0, total, 1.0))[columns.item]
    cell = columns.rater.astype(np.int64) * 2 + (side < 0.0)
    given = [tally(cell, share * truth, 2 * columns.n_raters) for truth in (posterior, 1.0 - posterior)]
    return np.stack([part.reshape(-1, 2) for part in given], axis=1)


@compiled
def _expect(
    columns: VoteColumns,
    log_confusion: Floats,
    log_balance: Floats,
    posterior: Floats,
    log_odds: Floats,
    counts: Floats,
) -> tuple[float, float, float, float]:
    """Overwrite the last three; log-likelihood, largest move, sum of posteriors and number of items with evidence."""
    value, change, a_better, judged = 0.0, 0.0, 0.0, 0.0
    counts[:] = 0.0
    for item in range(columns.start.size - 1):
        low, high, gold = columns.start[item], columns.start[item + 1], columns.gold[item]
        log_a, log_b, named = log_balance[0], log_balance[1], False
        for vote in range(low, high):
            if columns.side[vote] != 0:
                said = 0 if columns.side[vote] > 0 else 1
                log_a += columns.share[vote] * log_confusion[columns.rater[vote], 0, said]
                log_b += columns.share[vote] * log_confusion[columns.rater[vote], 1, said]
                named = True
        if gold != 0:
            odds, truth = gold * GOLD_LOG_ODDS, 1.0 if gold > 0 else 0.0
            value += log_a if gold > 0 else log_b
        elif named:
            odds = log_a - log_b
            truth = 1.0 / (1.0 + np.exp(-odds)) if odds > -700.0 else 0.0
            value += max(log_a, log_b) + np.log1p(np.exp(-abs(odds)))
        else:
            odds, truth = 0.0, 0.5
        change = max(change, abs(truth - posterior[item]))
        posterior[item], log_odds[item] = truth, odds
        if named or gold != 0:
            a_better += truth
            judged += 1.0
        for vote in range(low, high):
            if columns.side[vote] != 0:
                said = 0 if columns.side[vote] > 0 else 1
                counts[columns.rater[vote], 0, said] += columns.share[vote] * truth
                counts[columns.rater[vote], 1, said] += columns.share[vote] * (1.0 - truth)
    return value, change, a_better, judged
