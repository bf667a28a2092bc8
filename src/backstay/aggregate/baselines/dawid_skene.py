"""Dawid-Skene: a full confusion matrix for each rater."""

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
"""Votes added to every cell, so that no probability is zero; the paper adds none and breaks on log 0."""


def dawid_skene(columns: VoteColumns, seed: int = 0) -> BaselineFit:  # noqa: ARG001 - starts from the majority
    """Maximum likelihood by EM from the majority on (Dawid & Skene 1979, eqs. 2.3 to 2.5).

    Gold items keep their answer and so anchor the raters; ties are no votes. `accuracy` weighs the two rows of the
    confusion matrix by the estimated share of pairs in which a is better.
    """
    fit = fit_dawid_skene(columns)
    correct = fit.balance * fit.parameters[:, 0, 0] + (1.0 - fit.balance) * fit.parameters[:, 1, 1]
    return BaselineFit(fit.log_odds, neutral_where_silent(columns, correct), len(fit.objective), fit.converged)


def fit_dawid_skene(columns: VoteColumns) -> TwoClassFit:
    """The whole fit; its parameters are P(answer | truth) (R, 2, 2)."""
    model = RaterModel(confusion=_as_they_are, maximise=_maximise, log_prior=_log_prior, pseudo=PSEUDO_COUNT)
    counts = majority_counts(columns)
    return expectation_maximisation(columns, model, _maximise(counts, counts))


def _as_they_are(confusion: Floats) -> Floats:
    return confusion


def _maximise(counts: Floats, _: Floats) -> Floats:
    smooth = counts + PSEUDO_COUNT
    result: Floats = smooth / smooth.sum(axis=2, keepdims=True)
    return result


def _log_prior(confusion: Floats) -> float:
    return PSEUDO_COUNT * float(np.log(confusion).sum())
