"""GLAD: ability of raters and difficulty of items."""

from dataclasses import dataclass

import numpy as np
from scipy.special import expit

from backstay.aggregate.baselines.interface import BaselineFit, neutral_where_silent
from backstay.aggregate.columns import VoteColumns
from backstay.aggregate.compiled import compiled
from backstay.aggregate.votes import Floats, tally

TOLERANCE = 1e-4
"""Stop when no posterior moves by more."""
MAX_STEPS = 500
ASCENTS = 3
"""Rounds over abilities and difficulties in each M-step."""


@dataclass(frozen=True)
class GladFit:
    """Log-odds (I), ability (R), log of inverse difficulty (I), and the objective at each step."""

    log_odds: Floats
    ability: Floats
    log_ease: Floats
    objective: list[float]
    converged: bool


def glad(columns: VoteColumns, seed: int = 0) -> BaselineFit:  # noqa: ARG001 - starts from the majority
    """P(r answers i correctly) = s(alpha_r beta_i), beta_i > 0, by EM (Whitehill, Ruvolo, Wu, Bergsma & Movellan 2009).

    Gold is ignored; ties are no votes. `accuracy` is the mean of s(alpha_r beta_i) over a rater's own votes.
    """
    fit = fit_glad(columns)
    rater = columns.rater.astype(np.int64)
    named = (columns.side != 0) * columns.share.astype(np.float64)
    correct = expit(fit.ability[rater] * np.exp(fit.log_ease)[columns.item])
    total = tally(rater, named, columns.n_raters)
    mean = tally(rater, named * correct, columns.n_raters) / np.where(total > 0.0, total, 1.0)
    return BaselineFit(fit.log_odds, neutral_where_silent(columns, mean), len(fit.objective), fit.converged)


def fit_glad(columns: VoteColumns) -> GladFit:
    """EM with priors alpha, log beta ~ N(1, 1) and P(a is better) = 1/2, from alpha = 1, log beta = 1 on.

    The M-step goes uphill without reaching the top: along a bound on the curvature for abilities, where the objective
    is concave, and with halved steps for difficulties, where it is not. The objective never decreases.
    """
    ability, log_ease = np.ones(columns.n_raters), np.ones(columns.n_items)
    log_odds, posterior = np.zeros(columns.n_items), np.full(columns.n_items, 0.5)
    objective, change = list[float](), np.inf
    while change > TOLERANCE and len(objective) < MAX_STEPS:
        value, change = _expect(columns, ability, np.exp(log_ease), posterior, log_odds)
        objective.append(value - 0.5 * float(np.sum((ability - 1.0) ** 2) + np.sum((log_ease - 1.0) ** 2)))
        for _ in range(ASCENTS):
            ability = ability + _ability_step(columns, ability, np.exp(log_ease), posterior)
            _ascend_ease(columns, ability, log_ease, posterior)
    return GladFit(log_odds, ability, log_ease, objective, bool(change <= TOLERANCE))


@compiled
def _expect(
    columns: VoteColumns, ability: Floats, ease: Floats, posterior: Floats, log_odds: Floats
) -> tuple[float, float]:
    """Overwrite the last two; log-likelihood and largest move of a posterior."""
    value, change = 0.0, 0.0
    for item in range(columns.start.size - 1):
        log_a, log_b = np.log(0.5), np.log(0.5)
        for vote in range(columns.start[item], columns.start[item + 1]):
            side = columns.side[vote]
            if side != 0:
                x = side * ability[columns.rater[vote]] * ease[item]
                common = np.log1p(np.exp(-abs(x)))
                log_a -= columns.share[vote] * (common + max(-x, 0.0))
                log_b -= columns.share[vote] * (common + max(x, 0.0))
        odds = log_a - log_b
        truth = 1.0 / (1.0 + np.exp(-odds))
        value += max(log_a, log_b) + np.log1p(np.exp(-abs(odds)))
        change = max(change, abs(truth - posterior[item]))
        posterior[item], log_odds[item] = truth, odds
    return value, change


@compiled
def _ability_step(columns: VoteColumns, ability: Floats, ease: Floats, posterior: Floats) -> Floats:
    """Gradient over a bound of the curvature: the second derivative of log s is nowhere below -1/4."""
    gradient, bound = 1.0 - ability, np.ones(ability.size)
    for item in range(columns.start.size - 1):
        for vote in range(columns.start[item], columns.start[item + 1]):
            side, rater = columns.side[vote], columns.rater[vote]
            if side != 0:
                correct = posterior[item] if side > 0 else 1.0 - posterior[item]
                expected = 1.0 / (1.0 + np.exp(-ability[rater] * ease[item]))
                gradient[rater] += columns.share[vote] * ease[item] * (correct - expected)
                bound[rater] += columns.share[vote] * ease[item] ** 2 / 4.0
    return gradient / bound


@compiled
def _ascend_ease(columns: VoteColumns, ability: Floats, log_ease: Floats, posterior: Floats) -> None:
    """Move the log-ease of each item uphill, in place; a step that loses after ten halvings is not taken."""
    for item in range(columns.start.size - 1):
        old, size = log_ease[item], 0.0
        value, gradient, curvature = _ease_terms(columns, ability, posterior[item], item, old)
        size = gradient / curvature
        for _ in range(10):
            if _ease_terms(columns, ability, posterior[item], item, old + size)[0] >= value:
                log_ease[item] = old + size
                break
            size /= 2.0


@compiled
def _ease_terms(
    columns: VoteColumns, ability: Floats, truth: float, item: int, log_ease: float
) -> tuple[float, float, float]:
    """Expected log-likelihood plus log-prior of one item, its derivative, and a positive stand-in for minus the second.

    The second derivative of q log s(x) + (1 - q) log s(-x) in log beta is (q - s(x)) x - s(x) s(-x) x^2, whose first
    term may have either sign; it enters with its size.
    """
    value, gradient, curvature = -0.5 * (log_ease - 1.0) ** 2, 1.0 - log_ease, 1.0
    ease = np.exp(log_ease)
    for vote in range(columns.start[item], columns.start[item + 1]):
        side, share = columns.side[vote], columns.share[vote]
        if side != 0:
            x = ability[columns.rater[vote]] * ease
            correct = truth if side > 0 else 1.0 - truth
            expected = 1.0 / (1.0 + np.exp(-x))
            residual = correct - expected
            value += share * (correct * x - max(x, 0.0) - np.log1p(np.exp(-abs(x))))
            gradient += share * residual * x
            curvature += share * (abs(residual * x) + expected * (1.0 - expected) * x * x)
    return value, gradient, curvature
