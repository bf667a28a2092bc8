"""Noisy Bradley-Terry (CrowdBT): scores for responses, and the chance that a rater votes by them."""

import numpy as np
from scipy.optimize import minimize
from scipy.special import expit

from backstay.aggregate.baselines.bradley_terry import RIDGE, fit_bradley_terry, same_component
from backstay.aggregate.baselines.interface import BaselineFit, heads, neutral_where_silent
from backstay.aggregate.columns import VoteColumns
from backstay.aggregate.compiled import compiled
from backstay.aggregate.votes import Floats, tally

RIGHT, WRONG = 4.0, 1.0
"""Votes with and against the scores that every rater starts with; their mode, 0.8, tells the scores from their mirror
image, which fits the votes as well."""
MAX_STEPS = 2000


def noisy_bradley_terry(columns: VoteColumns, seed: int = 0) -> BaselineFit:  # noqa: ARG001 - starts from Bradley-Terry
    """Penalised maximum likelihood of P(r says a) = eta_r s(d) + (1 - eta_r) s(-d), d = score_a - score_b.

    The model of Chen, Bennett, Collins-Thompson & Horvitz 2013, with a ridge in place of their virtual node and
    a Beta prior on competence. `log_odds` is d, `accuracy` is eta. Gold is ignored; ties are no votes, except that the
    start is the Bradley-Terry fit. A pair that no chain of votes joins gets 0.
    """
    if not np.any(columns.side):
        return BaselineFit(np.zeros(columns.n_items), np.full(columns.n_raters, 0.5))

    def loss(x: Floats) -> tuple[float, Floats]:
        return loss_and_gradient(columns, x)

    start: Floats = np.concatenate([_start(columns), np.full(columns.n_raters, np.log(RIGHT / WRONG))])
    found = minimize(
        loss,
        start,
        jac=True,
        method="L-BFGS-B",
        options={"maxiter": MAX_STEPS, "maxfun": 2 * MAX_STEPS, "ftol": 1e-12, "gtol": 1e-5, "maxcor": 20},
    )
    scores, competence = np.split(np.asarray(found.x, dtype=np.float64), [columns.n_responses])
    named = tally(columns.item, columns.side != 0, columns.n_items)
    joined = same_component(columns, np.flatnonzero(named > 0.0))
    log_odds = np.where(joined, scores[columns.a] - scores[columns.b], 0.0)
    accuracy = neutral_where_silent(columns, expit(competence))
    return BaselineFit(log_odds, accuracy, int(found.nit), found.status == 0)


def loss_and_gradient(columns: VoteColumns, x: Floats) -> tuple[float, Floats]:
    """What is minimised, and its derivative, at x = S scores followed by the R log-odds of eta."""
    gradient = np.zeros_like(x)
    return -_objective(columns, x, RIDGE, RIGHT, WRONG, gradient), -gradient


def _start(columns: VoteColumns) -> Floats:
    for_a, for_b = heads(columns)
    return fit_bradley_terry(columns.a, columns.b, for_a, for_b, columns.n_responses, RIDGE).scores


@compiled
def _objective(columns: VoteColumns, x: Floats, ridge: float, right: float, wrong: float, gradient: Floats) -> float:
    """Log-likelihood plus log-prior at x; overwrites its gradient."""
    value = 0.0
    first_rater = columns.n_responses
    eta = 1.0 / (1.0 + np.exp(-x[first_rater:]))
    for response in range(first_rater):
        value -= 0.5 * ridge * x[response] ** 2
        gradient[response] = -ridge * x[response]
    for rater in range(columns.n_raters):
        h = x[first_rater + rater]
        value -= (right + wrong) * np.log1p(np.exp(-abs(h))) + right * max(-h, 0.0) + wrong * max(h, 0.0)
        gradient[first_rater + rater] = right - (right + wrong) * eta[rater]
    for item in range(columns.start.size - 1):
        a, b = columns.a[item], columns.b[item]
        p_a = 1.0 / (1.0 + np.exp(x[b] - x[a]))
        for vote in range(columns.start[item], columns.start[item + 1]):
            if columns.side[vote] == 0:
                continue
            rater, share = columns.rater[vote], columns.share[vote]
            agrees = p_a if columns.side[vote] > 0 else 1.0 - p_a
            p = max(eta[rater] * agrees + (1.0 - eta[rater]) * (1.0 - agrees), 1e-300)
            value += share * np.log(p)
            by_d = share * columns.side[vote] * (2.0 * eta[rater] - 1.0) * p_a * (1.0 - p_a) / p
            gradient[a] += by_d
            gradient[b] -= by_d
            gradient[first_rater + rater] += share * (2.0 * agrees - 1.0) * eta[rater] * (1.0 - eta[rater]) / p
    return value
