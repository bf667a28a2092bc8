"""MACE: a rater either knows the answer or answers in a manner of their own."""

import numpy as np

from backstay.aggregate.baselines.interface import BaselineFit, neutral_where_silent, without_gold
from backstay.aggregate.baselines.two_class import RaterModel, TwoClassFit, expectation_maximisation
from backstay.aggregate.columns import VoteColumns
from backstay.aggregate.votes import Floats

RESTARTS = 10
TRIAL_STEPS = 50
"""Steps of every start; only the likeliest goes on until it rests."""
PSEUDO_COUNT = 0.05
"""Votes added to every expected count, so that no probability is zero."""


def mace(columns: VoteColumns, seed: int = 0) -> BaselineFit:
    """EM from the likeliest of ten random starts (Hovy, Berg-Kirkpatrick, Vaswani & Hovy 2013, section 3).

    Gold is ignored, as in the paper; ties are no votes. A rater who always lies cannot be expressed: `accuracy` is
    P(knows) + (1 - P(knows)) / 2, at least one half.
    """
    fit = fit_mace(columns, seed)
    correct = (1.0 + fit.parameters[:, 0]) / 2.0
    return BaselineFit(fit.log_odds, neutral_where_silent(columns, correct), len(fit.objective), fit.converged)


def fit_mace(columns: VoteColumns, seed: int, restarts: int = RESTARTS) -> TwoClassFit:
    """The likeliest fit; its parameters (R, 2) are P(knows) and P(says a | does not know)."""
    model = RaterModel(confusion=_confusion, maximise=_maximise, log_prior=_log_prior, pseudo=None)
    rng = np.random.default_rng(seed)
    # Only competence starts at random: a random manner would break the symmetry between a and b.
    starts = [
        np.stack([rng.uniform(0.1, 0.9, columns.n_raters), np.full(columns.n_raters, 0.5)], axis=1)
        for _ in range(restarts)
    ]
    blind = without_gold(columns)
    trials = (expectation_maximisation(blind, model, start, TRIAL_STEPS) for start in starts)
    best = max(trials, key=lambda fit: fit.objective[-1])
    return best if best.converged else expectation_maximisation(blind, model, best.parameters)


def _manner(parameters: Floats) -> Floats:
    """P(answer | does not know) (R, 2)."""
    return np.stack([parameters[:, 1], 1.0 - parameters[:, 1]], axis=1)


def _confusion(parameters: Floats) -> Floats:
    knows = parameters[:, 0, None, None]
    result: Floats = knows * np.eye(2) + (1.0 - knows) * _manner(parameters)[:, None, :]
    return result


def _maximise(counts: Floats, parameters: Floats) -> Floats:
    right = np.stack([counts[:, 0, 0], counts[:, 1, 1]], axis=1)
    knows = parameters[:, :1]
    knew = right * knows / (knows + (1.0 - knows) * _manner(parameters))
    guessed = counts.sum(axis=1) - knew + PSEUDO_COUNT
    n_guessed = guessed.sum(axis=1)
    competence = (knew.sum(axis=1) + PSEUDO_COUNT) / (counts.sum(axis=(1, 2)) + 2.0 * PSEUDO_COUNT)
    return np.stack([competence, guessed[:, 0] / n_guessed], axis=1)


def _log_prior(parameters: Floats) -> float:
    return PSEUDO_COUNT * float((np.log(parameters) + np.log1p(-parameters)).sum())
