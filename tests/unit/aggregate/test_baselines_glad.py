"""GLAD against its objective written out, and against planted difficulty."""

import numpy as np
import pytest
from numpy.typing import NDArray
from planted_votes import columns_from, independent_crowd
from scipy.optimize import minimize

from backstay.aggregate.baselines.glad import fit_glad
from backstay.aggregate.columns import VoteColumns


def objective(columns: VoteColumns, ability: NDArray[np.float64], log_ease: NDArray[np.float64]) -> float:
    """Log-likelihood of all votes, the truth summed out, plus log-priors without constants."""
    x = ability[columns.rater] * np.exp(log_ease)[columns.item] * columns.side
    given = np.zeros((2, columns.n_items))
    for place, sign in enumerate((1.0, -1.0)):
        np.add.at(given[place], columns.item, np.where(columns.side != 0, np.log(1.0 / (1.0 + np.exp(-sign * x))), 0.0))
    likelihood = np.log(0.5 * np.exp(given).sum(axis=0)).sum()
    return float(likelihood - 0.5 * ((ability - 1.0) ** 2).sum() - 0.5 * ((log_ease - 1.0) ** 2).sum())


def test_the_objective_is_the_one_written_out_and_cannot_be_improved() -> None:
    columns, _ = independent_crowd(21, [0.9, 0.8, 0.6, 0.3, 0.7], items=25, per_item=4, tie_rate=0.1)
    fit = fit_glad(columns)
    reached = objective(columns, fit.ability, fit.log_ease)
    assert fit.converged
    assert fit.objective[-1] == pytest.approx(reached, abs=1e-3)
    start: NDArray[np.float64] = np.concatenate([fit.ability, fit.log_ease])

    def loss(x: NDArray[np.float64]) -> float:
        return -objective(columns, x[:5], x[5:])

    better = minimize(loss, start, method="L-BFGS-B")
    assert -better.fun - reached < 1e-2
    assert better.x == pytest.approx(start, abs=0.05)


def test_the_objective_never_falls() -> None:
    columns, _ = independent_crowd(22, [0.95, 0.9, 0.2, 0.55, 0.6, 0.75], items=200, per_item=4)
    fit = fit_glad(columns)
    assert len(fit.objective) > 5
    assert np.diff(fit.objective).min() > -1e-9


def test_items_on_which_raters_split_are_hard() -> None:
    rng = np.random.default_rng(23)
    truth, hard = rng.choice([-1, 1], 200), np.arange(200) < 100
    rows = [
        (i, r, int(truth[i] if rng.random() < (0.6 if hard[i] else 0.95) else -truth[i]))
        for i in range(200)
        for r in range(9)
    ]
    fit = fit_glad(columns_from(rows, n_items=200, n_raters=9))
    assert fit.log_ease[hard].mean() < fit.log_ease[~hard].mean() - 0.5
    assert np.mean(fit.log_odds[~hard] * truth[~hard] > 0) == 1.0
