"""All algorithms on the same judgments, each scored on gold answers that were hidden from it."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from scipy.special import expit
from scipy.stats import beta as beta_distribution
from scipy.stats import binom

from backstay.aggregate.baselines import BASELINES
from backstay.aggregate.calibration import accuracy_of, calibration_error
from backstay.aggregate.columns import VoteColumns, columns_of
from backstay.aggregate.reliability import fit_columns
from backstay.aggregate.settings import AggregateSettings
from backstay.aggregate.votes import Floats, Votes

OWN = "reliability"


@dataclass(frozen=True, slots=True)
class Compared:
    """An algorithm on `items` held-out gold items: `accuracy` with its exact 95 % interval, and calibration error.

    `better` and `worse` count the items on which it alone, or `reliability` alone, is right; `p_value` is that of the
    exact two-sided sign test on them. Figures are NaN without gold.
    """

    algorithm: str
    items: int
    accuracy: float
    low: float
    high: float
    calibration_error: float
    better: int
    worse: int
    p_value: float


def compare_algorithms(votes: Votes, settings: AggregateSettings) -> list[Compared]:
    """Every algorithm on the same folds, `reliability` first."""
    columns = columns_of(votes, votes.gold)
    voted = np.bincount(votes.item, minlength=votes.n_items) > 0
    items = np.flatnonzero(~np.isnan(votes.gold) & voted)
    folds = max(settings.folds, 2)
    if items.size < folds:
        items = items[:0]
    order = np.random.default_rng(settings.seed).permutation(items.size)
    methods: dict[str, Callable[[VoteColumns], Floats]] = {OWN: lambda hidden: fit_columns(hidden, settings).log_odds}
    for name, baseline in BASELINES.items():
        methods[name] = lambda hidden, fit=baseline: fit(hidden, settings.seed).log_odds  # type: ignore[misc]  # lambda with a default
    told = {name: np.zeros(items.size) for name in methods}
    for fold in np.array_split(order, folds) if items.size else ():
        gold = columns.gold.copy()
        gold[items[fold]] = 0
        for name, method in methods.items():
            told[name][fold] = method(columns._replace(gold=gold))[items[fold]]
    truth = votes.gold[items]
    return [_compared(name, log_odds, told[OWN], truth) for name, log_odds in told.items()]


def _compared(name: str, log_odds: Floats, own: Floats, truth: Floats) -> Compared:
    sign = 2.0 * truth - 1.0
    right, reference = log_odds * sign > 0, own * sign > 0
    better, worse = int(np.sum(right & ~reference)), int(np.sum(~right & reference))
    size, hits = truth.size, int(right.sum())
    low, high = beta_distribution.ppf(0.025, hits, size - hits + 1), beta_distribution.ppf(0.975, hits + 1, size - hits)
    p_a = expit(np.clip(log_odds, -30.0, 30.0))
    few = min(better, worse)
    p_value = min(1.0, 2.0 * float(binom.cdf(few, better + worse, 0.5))) if better + worse else 1.0
    return Compared(
        algorithm=name,
        items=size,
        accuracy=accuracy_of(p_a, truth),
        low=float(np.nan_to_num(low)) if size else float("nan"),
        high=float(high) if size and hits < size else (1.0 if size else float("nan")),
        calibration_error=calibration_error(p_a, truth),
        better=better,
        worse=worse,
        p_value=p_value,
    )
