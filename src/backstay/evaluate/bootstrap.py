"""Bootstrap intervals of means that are clustered by prompt.

Two answers to one prompt are more alike than two answers to two prompts, so prompts are resampled, never responses:
the percentile bootstrap of a ratio of cluster sums (Efron and Tibshirani, An Introduction to the Bootstrap, ch. 13).
Shapes: N responses, C prompts, B resamples.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

Floats = NDArray[np.float64]
_BLOCK_CELLS = 4_000_000


class Interval(NamedTuple):
    """An estimate with its bounds; the bounds are None when fewer than two prompts leave nothing to resample."""

    mean: float
    low: float | None
    high: float | None

    @property
    def excludes_zero(self) -> bool:
        """True when both bounds lie on the same side of zero."""
        return self.low is not None and self.high is not None and (self.low > 0.0 or self.high < 0.0)


class ClusterSums(NamedTuple):
    """Sum and count of the values of each prompt, both of shape C, in the order of the sorted prompt ids."""

    prompts: tuple[str, ...]
    totals: Floats
    counts: Floats


def cluster_sums(values: ArrayLike, prompts: Sequence[str]) -> ClusterSums:
    """Collapse N values to sum and count per prompt; raises ValueError for no values or unequal lengths."""
    value = np.asarray(values, dtype=np.float64)
    if value.ndim != 1 or value.size != len(prompts) or not value.size:
        raise ValueError(f"one value a prompt id is needed, at least one; got {value.shape} and {len(prompts)}")
    names = sorted(set(prompts))
    position = {name: index for index, name in enumerate(names)}
    cluster = np.array([position[prompt] for prompt in prompts])
    totals, counts = np.zeros(len(names)), np.zeros(len(names))
    np.add.at(totals, cluster, value)
    np.add.at(counts, cluster, 1.0)
    return ClusterSums(tuple(names), totals, counts)


def resampled_totals(table: Floats, replicates: int, seed: int) -> Floats:
    """Totals (B, M) of each column of a table (C, M) over B resamples, with replacement, of its rows."""
    clusters, columns = table.shape
    generator = np.random.default_rng(seed)
    probability = np.full(clusters, 1.0 / clusters)
    totals = np.empty((replicates, columns))
    block = max(1, _BLOCK_CELLS // clusters)
    for start in range(0, replicates, block):
        size = min(block, replicates - start)
        totals[start : start + size] = generator.multinomial(clusters, probability, size=size) @ table
    return totals


def percentile_bounds(estimates: Floats, level: float) -> tuple[float, float]:
    """The central `level` of B resampled estimates."""
    low, high = np.quantile(estimates, [(1.0 - level) / 2.0, (1.0 + level) / 2.0])
    return float(low), float(high)


def mean_interval(
    values: ArrayLike, prompts: Sequence[str], *, replicates: int = 2000, seed: int = 0, level: float = 0.95
) -> Interval:
    """Mean over responses, with the interval of prompts drawn again."""
    sums = cluster_sums(values, prompts)
    mean = float(sums.totals.sum() / sums.counts.sum())
    if len(sums.prompts) < 2:
        return Interval(mean, None, None)
    totals = resampled_totals(np.column_stack([sums.totals, sums.counts]), replicates, seed)
    return Interval(mean, *percentile_bounds(totals[:, 0] / totals[:, 1], level))


def difference_interval(
    after: ArrayLike,
    after_prompts: Sequence[str],
    before: ArrayLike,
    before_prompts: Sequence[str],
    *,
    replicates: int = 2000,
    seed: int = 0,
    level: float = 0.95,
) -> Interval:
    """Mean of `after` minus mean of `before`, paired: a resample draws the same prompts for both.

    Raises ValueError when the two do not cover the same prompts.
    """
    ours, theirs = cluster_sums(after, after_prompts), cluster_sums(before, before_prompts)
    if ours.prompts != theirs.prompts:
        missing = sorted(set(ours.prompts) ^ set(theirs.prompts))
        raise ValueError(f"a paired difference needs the same prompts on both sides; {missing[:3]} is on one only")
    table = np.column_stack([ours.totals, ours.counts, theirs.totals, theirs.counts])
    sums = table.sum(axis=0)
    difference = float(sums[0] / sums[1] - sums[2] / sums[3])
    if len(ours.prompts) < 2:
        return Interval(difference, None, None)
    totals = resampled_totals(table, replicates, seed)
    estimates = totals[:, 0] / totals[:, 1] - totals[:, 2] / totals[:, 3]
    return Interval(difference, *percentile_bounds(estimates, level))


def crossed_interval(
    totals: Floats, counts: Floats, *, replicates: int = 2000, seed: int = 0, level: float = 0.95
) -> Interval:
    """Mean of repetitions on the same prompts; repetitions and prompts are both drawn again, independently.

    `totals` (K, C) is the sum of repetition k on prompt c, `counts` (C) how many values each such sum holds.
    """
    repetitions, clusters = totals.shape
    mean = float(totals.sum() / (repetitions * counts.sum()))
    if clusters < 2:
        return Interval(mean, None, None)
    drawn_prompts = resampled_totals(np.column_stack([totals.T, counts]), replicates, seed)
    means = drawn_prompts[:, :-1] / drawn_prompts[:, -1:]
    drawn_repetitions = resampled_totals(np.eye(repetitions), replicates, seed + 1) / repetitions
    return Interval(mean, *percentile_bounds(np.sum(means * drawn_repetitions, axis=1), level))
