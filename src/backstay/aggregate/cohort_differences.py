"""Do two cohorts of raters differ beyond chance, and on which items: a permutation test over raters, then each item.

docs/aggregate/plurality.md.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product
from typing import Any

import numpy as np
from scipy.special import expit, logsumexp

from backstay.aggregate.cohorts import CohortAnswers, Cohorts, through
from backstay.aggregate.columns import Small, VoteColumns
from backstay.aggregate.compiled import compiled
from backstay.aggregate.multiplicity import holm
from backstay.aggregate.reliability import Fit
from backstay.aggregate.votes import Floats, Ints

MIN_PERMUTED_RATERS = 4
"""Raters that a cohort needs for a test."""


@dataclass(frozen=True)
class CohortDifference:
    """Two cohorts: the permutation test of their difference and the items on which they differ.

    `statistic` is how far agreement across falls short of agreement within (`shortfall`); `p_value`, the share of
    dealings of the labels among the raters that give as much; `p_corrected`, after Holm over all pairs. Of `items` a
    share of at most `rate` is expected to be false, with the chance `p_differ` of each; none unless the test is passed.
    """

    first: str
    second: str
    shared_items: int
    statistic: float
    p_value: float
    p_corrected: float
    items: tuple[int, ...]
    p_differ: tuple[float, ...]


def cohort_differences(
    columns: VoteColumns,
    fit: Fit,
    cohorts: Cohorts,
    answers: CohortAnswers,
    *,
    permutations: int = 999,
    level: float = 0.05,
    rate: float = 0.05,
    seed: int = 0,
) -> tuple[CohortDifference, ...]:
    """Test every pair of cohorts that share items and have `MIN_PERMUTED_RATERS` raters each."""
    weight = fit.independence * columns.share
    tested = [
        (a, b, *permutation_test(columns, weight, cohorts, a, b, permutations, seed))
        for a in range(cohorts.size)
        for b in range(a + 1, cohorts.size)
        if _testable(columns, cohorts, answers, a, b)
    ]
    corrected = holm(np.array([row[3] for row in tested]))
    rest = fit.log_odds - answers.evidence.sum(axis=1)
    result = []
    for (a, b, statistic, p_value), adjusted in zip(tested, corrected, strict=True):
        both = (answers.votes[:, a] > 0) & (answers.votes[:, b] > 0) & (columns.gold == 0)
        differ = np.where(both, chance_of_difference(rest, answers, a, b), 0.0)
        items = expected_false(differ, rate) if adjusted <= level else np.zeros(0, dtype=np.int64)
        result.append(
            CohortDifference(
                cohorts.names[a], cohorts.names[b], int(both.sum()), statistic, p_value, float(adjusted),
                tuple(int(i) for i in items), tuple(float(p) for p in differ[items]),
            )
        )  # fmt: skip
    return tuple(result)


def _testable(columns: VoteColumns, cohorts: Cohorts, answers: CohortAnswers, a: int, b: int) -> bool:
    shared = np.any((answers.votes[:, a] > 0) & (answers.votes[:, b] > 0) & (columns.gold == 0))
    voted = np.bincount(columns.rater, minlength=columns.n_raters) > 0
    return bool(shared) and all(np.sum(voted & (cohorts.code == c)) >= MIN_PERMUTED_RATERS for c in (a, b))


def permutation_test(
    columns: VoteColumns, weight: Floats, cohorts: Cohorts, a: int, b: int, permutations: int, seed: int
) -> tuple[float, float]:
    """Statistic and p-value of the raters of `a` against those of `b`, labels dealt anew to the same raters."""
    member = np.flatnonzero((cohorts.code == a) | (cohorts.code == b))
    label = np.zeros(columns.n_raters, dtype=np.int8)
    label[member] = np.where(cohorts.code[member] == a, 1, -1)
    observed = shortfall(*agreements(columns, weight, label))
    rng = np.random.default_rng([seed, a, b])
    reached = 1
    for _ in range(permutations):
        label[member] = rng.permutation(label[member])
        reached += shortfall(*agreements(columns, weight, label)) >= observed
    return observed, reached / (1 + permutations)


def shortfall(total: Floats, pairs: Floats) -> float:
    """How far squared agreement across cohorts is below the product of agreement within, in standard errors over items.

    With one truth for all and independent raters of mean edge m = 2 accuracy - 1, the mean product of two votes is
    m_a^2 and m_b^2 within and m_a m_b across: a difference in skill alone leaves no shortfall. Standard errors by the
    delta method; a studentised statistic keeps its level where the cohorts' scatter differs (Chung & Romano 2013).
    """
    weight = np.maximum(pairs.sum(axis=0), 1e-12)
    within_a, within_b, across = total.sum(axis=0) / weight
    part = (total - np.array([within_a, within_b, across]) * pairs) / weight
    influence = part @ np.array([within_b, within_a, -2.0 * abs(across)])
    error = float(np.sqrt(np.sum(influence**2)))
    return float(within_a * within_b - across * abs(across)) / error if error > 0.0 else 0.0


def chance_of_difference(rest: Floats, answers: CohortAnswers, a: int, b: int) -> Floats:
    """Posterior probability (I) that the truths of two cohorts differ, given all votes."""
    told = through(answers.evidence, answers.divergence)
    others = rest + told.sum(axis=1) - told[:, a] - told[:, b]
    chance = {True: np.log(1.0 - answers.divergence / 2.0), False: np.log(answers.divergence / 2.0)}
    cases: dict[bool, list[Floats]] = {True: [], False: []}
    for z, x, y in product((1.0, -1.0), repeat=3):
        seen = _log_sigmoid(x * answers.evidence[:, a]) + _log_sigmoid(y * answers.evidence[:, b])
        cases[x == y].append(_log_sigmoid(z * others) + chance[x == z] + chance[y == z] + seen)
    result: Floats = expit(logsumexp(np.array(cases[False]), axis=0) - logsumexp(np.array(cases[True]), axis=0))
    return result


def _log_sigmoid(x: Floats) -> Floats:
    return -np.logaddexp(0.0, -x)


def expected_false(p_true: Floats, rate: float) -> Ints:
    """The longest list of items, surest first, of which a share of at most `rate` is expected to be false."""
    order = np.argsort(-p_true, kind="stable")
    false = np.cumsum(1.0 - p_true[order]) / np.arange(1, order.size + 1)
    chosen: Ints = order[: int(np.searchsorted(false, rate, side="right"))]
    return chosen


def differences_summary(differences: Sequence[CohortDifference], *, level: float = 0.05) -> list[dict[str, Any]]:
    """The tests as JSON data; items are counted."""
    return [
        {
            "cohorts": [d.first, d.second],
            "shared_items": d.shared_items,
            "statistic": d.statistic,
            "p_value": d.p_value,
            "p_corrected": d.p_corrected,
            "differ": d.p_corrected <= level,
            "items_that_differ": len(d.items),
        }
        for d in differences
    ]


@compiled
def agreements(votes: VoteColumns, weight: Floats, label: Small) -> tuple[Floats, Floats]:
    """Products of the sides of two votes on an item (I, 3), and how many: both labelled 1, both -1, one of each.

    Only open items with votes of both labels enter; a product counts by both votes' weights.
    """
    total = np.zeros((votes.start.size - 1, 3))
    pairs = np.zeros((votes.start.size - 1, 3))
    side, size, square = np.zeros(2), np.zeros(2), np.zeros(2)
    for i in range(votes.start.size - 1):
        if votes.gold[i] != 0:
            continue
        side[:], size[:], square[:] = 0.0, 0.0, 0.0
        for j in range(votes.start[i], votes.start[i + 1]):
            of = label[votes.rater[j]]
            if of != 0 and votes.side[j] != 0:
                k = 0 if of > 0 else 1
                side[k] += weight[j] * votes.side[j]
                size[k] += weight[j]
                square[k] += weight[j] ** 2
        if size[0] > 0.0 and size[1] > 0.0:
            for k in range(2):
                total[i, k] = (side[k] ** 2 - square[k]) / 2.0
                pairs[i, k] = (size[k] ** 2 - square[k]) / 2.0
            total[i, 2] = side[0] * side[1]
            pairs[i, 2] = size[0] * size[1]
    return total, pairs
