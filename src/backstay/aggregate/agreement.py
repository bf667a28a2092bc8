"""How far raters agree: Krippendorff's alpha and raw pairwise agreement."""

from dataclasses import dataclass

import numpy as np

from backstay.aggregate.votes import Floats, Votes


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
    size = counts.sum(axis=1)
    pairs = float(np.sum(size * (size - 1.0)))
    return float(np.sum(counts * (counts - 1.0))) / pairs if pairs else float("nan")


def krippendorff_alpha(counts: Floats) -> float:
    """Alpha for nominal values from counts (I, V), 1 = perfect, 0 = chance; NaN when undefined.

    1 - D_o / D_e over items with at least two votes (Krippendorff 2004, Content Analysis, section 11.3).
    """
    return float(_alpha(np.ones((1, counts.shape[0])), counts)[0])


def alpha_interval(counts: Floats, *, seed: int, draws: int = 400) -> Interval:
    """Alpha with a percentile bootstrap interval over items."""
    size = counts.sum(axis=1)
    pairable = counts[size >= 2.0]
    value = krippendorff_alpha(counts)
    if pairable.shape[0] < 2 or np.isnan(value):
        return Interval(value, float("nan"), float("nan"))
    rng = np.random.default_rng(seed)
    even = np.full(pairable.shape[0], 1.0 / pairable.shape[0])
    drawn = _alpha(rng.multinomial(pairable.shape[0], even, size=draws).astype(np.float64), pairable)
    low, high = np.nanquantile(drawn, [0.025, 0.975])
    return Interval(value, float(low), float(high))


def _alpha(weight: Floats, counts: Floats) -> Floats:
    """Alpha for each row of item multiplicities (B, I)."""
    size = counts.sum(axis=1)
    counts, size, weight = counts[size >= 2.0], size[size >= 2.0], weight[:, size >= 2.0]
    disagreement = (size**2 - (counts**2).sum(axis=1)) / (size - 1.0)
    totals = weight @ counts
    n = totals.sum(axis=1)
    observed = weight @ disagreement
    with np.errstate(invalid="ignore", divide="ignore"):
        expected = (n**2 - (totals**2).sum(axis=1)) / (n - 1.0)
        alpha: Floats = np.where(expected > 0.0, 1.0 - observed / expected, np.nan)
    return alpha
