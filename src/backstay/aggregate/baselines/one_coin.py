"""One-coin Dawid-Skene: one accuracy for each rater, whatever the truth."""

import numpy as np

from backstay.aggregate.baselines.interface import BaselineFit, neutral_where_silent
from backstay.aggregate.baselines.two_class import (
    RaterModel,
    TwoClassFit,
    expectation_maximisation,
    majority_counts,
)
from backstay.aggregate.columns import VoteColumns
from backstay.aggregate.votes import Floats

PSEUDO_COUNT = 0.01
"""Right and wrong votes added to every rater, so that no probability is zero."""


def one_coin(columns: VoteColumns, seed: int = 0) -> BaselineFit:  # noqa: ARG001 - starts from the majority
    """Maximum likelihood by EM from the majority on (Zhang, Chen, Zhou & Jordan 2014).

    Gold items keep their answer and so anchor the raters; ties are no votes.
    """
    fit = fit_one_coin(columns)
    return BaselineFit(fit.log_odds, neutral_where_silent(columns, fit.parameters), len(fit.objective), fit.converged)


def fit_one_coin(columns: VoteColumns) -> TwoClassFit:
    """The whole fit; its parameters are the accuracies (R)."""
    model = RaterModel(confusion=_confusion, maximise=_maximise, log_prior=_log_prior, pseudo=PSEUDO_COUNT)
    counts = majority_counts(columns)
    return expectation_maximisation(columns, model, _maximise(counts, counts))


def _confusion(accuracy: Floats) -> Floats:
    right, wrong = accuracy, 1.0 - accuracy
    return np.stack([np.stack([right, wrong], axis=1), np.stack([wrong, right], axis=1)], axis=1)


def _maximise(counts: Floats, _: Floats) -> Floats:
    right = counts[:, 0, 0] + counts[:, 1, 1]
    result: Floats = (right + PSEUDO_COUNT) / (counts.sum(axis=(1, 2)) + 2.0 * PSEUDO_COUNT)
    return result


def _log_prior(accuracy: Floats) -> float:
    return PSEUDO_COUNT * float((np.log(accuracy) + np.log1p(-accuracy)).sum())
