"""How far raters agree: Krippendorff's alpha, Fleiss' kappa and raw pairwise agreement, with intervals."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from backstay.aggregate.votes import Floats, Ints, Votes


@dataclass(frozen=True, slots=True)
class Interval:
    """An estimate with its 95 % bootstrap interval over items; NaN when it is not defined."""

    value: float
    low: float
    high: float


def value_counts(votes: Votes) -> Floats:
    """Votes (I, 3) for b, for a tie, and for a."""
    cell = votes.item * 3 + votes.side.astype(np.int64) + 1
    return np.bincount(cell, minlength=3 * votes.n_items).reshape(-1, 3).astype(np.float64)


def pairwise_agreement(counts: Floats) -> float:
    """Share of pairs of votes on one item that are equal; NaN without any pair."""
    return _value(_agreement, counts)


def krippendorff_alpha(counts: Floats) -> float:
    """Alpha for nominal values from counts (I, V), 1 = perfect, 0 = chance; NaN when undefined.

    1 - D_o / D_e over items with at least two votes (Krippendorff 2004, Content Analysis, section 11.3).
    """
    return _value(_alpha, counts)


def fleiss_kappa(counts: Floats) -> float:
    """Kappa for nominal values from counts (I, V), 1 = perfect, 0 = chance; NaN when undefined.

    (P - P_e) / (1 - P_e) over items with at least two votes (Fleiss 1971). Where items have different numbers of votes,
    every item counts the same: P is the mean over items of the share of equal pairs, P_e the sum of squares of the mean
    over items of the share of each value.
    """
    return _value(_kappa, counts)


def agreement_interval(counts: Floats, *, seed: int, draws: int = 400, times: Ints | None = None) -> Interval:
    """Pairwise agreement with a percentile bootstrap interval over items; row i stands for `times[i]` of them, or 1."""
    return _interval(_agreement, counts, seed, draws, times)


def alpha_interval(counts: Floats, *, seed: int, draws: int = 400, times: Ints | None = None) -> Interval:
    """Alpha with a percentile bootstrap interval over items; row i stands for `times[i]` of them, or 1."""
    return _interval(_alpha, counts, seed, draws, times)


def kappa_interval(counts: Floats, *, seed: int, draws: int = 400) -> Interval:
    """Kappa with a percentile bootstrap interval over items."""
    return _interval(_kappa, counts, seed, draws)


Statistic = Callable[[Floats, Floats], Floats]
"""From B rows of multiplicities (B, I) and counts (I, V), every item with two votes or more: a value for each row."""


def _value(statistic: Statistic, counts: Floats) -> float:
    pairable = _pairable(counts)
    return float(statistic(np.ones((1, pairable.shape[0])), pairable)[0])


def _interval(statistic: Statistic, counts: Floats, seed: int, draws: int, times: Ints | None = None) -> Interval:
    # Items with the same counts are interchangeable: drawing kinds of items is the same bootstrap, small at any size.
    kinds, often = _kinds(counts, times)
    n_items = int(often.sum())
    value = float(statistic(often[None, :].astype(np.float64), kinds)[0])
    if n_items < 2 or np.isnan(value):
        return Interval(value, float("nan"), float("nan"))
    drawn = np.random.default_rng(seed).multinomial(n_items, often / n_items, size=draws).astype(np.float64)
    low, high = np.nanquantile(statistic(drawn, kinds), [0.025, 0.975])
    return Interval(value, float(low), float(high))


def _kinds(counts: Floats, times: Ints | None) -> tuple[Floats, Ints]:
    """The distinct rows among items with two votes or more, and how many items each stands for."""
    each = np.ones(counts.shape[0], dtype=np.int64) if times is None else times
    wanted = (counts.sum(axis=1) >= 2.0) & (each > 0)
    kinds, place = np.unique(counts[wanted], axis=0, return_inverse=True)
    often = np.bincount(place.reshape(-1), each[wanted], kinds.shape[0]).astype(np.int64)
    return kinds, often


def _pairable(counts: Floats) -> Floats:
    result: Floats = counts[counts.sum(axis=1) >= 2.0]
    return result


def _over(numerator: Floats, denominator: Floats) -> Floats:
    """The ratio, NaN where nothing is divided by."""
    result: Floats = np.where(denominator > 0.0, numerator / np.where(denominator > 0.0, denominator, 1.0), np.nan)
    return result


def _agreement(weight: Floats, counts: Floats) -> Floats:
    size = counts.sum(axis=1)
    return _over(weight @ (counts * (counts - 1.0)).sum(axis=1), weight @ (size * (size - 1.0)))


def _alpha(weight: Floats, counts: Floats) -> Floats:
    size = counts.sum(axis=1)
    observed = weight @ ((size**2 - (counts**2).sum(axis=1)) / (size - 1.0))
    totals = weight @ counts
    n = totals.sum(axis=1)
    expected = _over(n**2 - (totals**2).sum(axis=1), n - 1.0)
    return 1.0 - _over(observed, expected)


def _kappa(weight: Floats, counts: Floats) -> Floats:
    size = counts.sum(axis=1)
    n = weight.sum(axis=1)
    observed = _over(weight @ ((counts * (counts - 1.0)).sum(axis=1) / (size * (size - 1.0))), n)
    by_value = _over(weight @ (counts / size[:, None]), n[:, None])
    expected = (by_value**2).sum(axis=1)
    # The shares of the only value in use may miss 1 by rounding; kappa is undefined there, as alpha is.
    free = np.where(expected < 1.0 - 1e-12, 1.0 - expected, 0.0)
    return _over(observed - expected, free)
