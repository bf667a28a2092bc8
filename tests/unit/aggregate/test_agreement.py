import math
from itertools import permutations

import numpy as np
import pytest

from backstay.aggregate import alpha_interval, krippendorff_alpha, pairwise_agreement

# Krippendorff (2011), Computing Krippendorff's Alpha-Reliability, example C: nominal data, alpha = 0.743.
EXAMPLE = [
    [1, 1, 1], [2, 2, 3, 2], [3, 3, 3, 3], [3, 3, 3, 3], [2, 2, 2, 2], [1, 2, 3, 4], [4, 4, 4, 4], [1, 1, 2, 1],
    [2, 2, 2, 2], [5, 5, 5], [1, 1], [3],
]  # fmt: skip
COUNTS = np.array([[row.count(value) for value in range(1, 6)] for row in EXAMPLE], dtype=np.float64)


def test_alpha_of_the_published_example() -> None:
    assert krippendorff_alpha(COUNTS) == pytest.approx(0.743, abs=5e-4)


def test_pairwise_agreement_by_brute_force() -> None:
    pairs = [a == b for row in EXAMPLE for a, b in permutations(row, 2)]
    assert pairwise_agreement(COUNTS) == pytest.approx(sum(pairs) / len(pairs))


def test_alpha_of_unanimity_is_one_and_of_coins_near_zero() -> None:
    rng = np.random.default_rng(0)
    heads = rng.binomial(5, 0.5, 4000).astype(np.float64)
    assert krippendorff_alpha(np.array([[4.0, 0.0], [0.0, 4.0]])) == pytest.approx(1.0)
    assert abs(krippendorff_alpha(np.stack([heads, 5.0 - heads], axis=1))) < 0.02


def test_the_interval_holds_the_value_and_narrows() -> None:
    few, many = alpha_interval(COUNTS, seed=1), alpha_interval(np.tile(COUNTS, (20, 1)), seed=1)
    assert few.low < few.value < few.high
    assert many.high - many.low < 0.5 * (few.high - few.low)


def test_nothing_to_compare_is_nan() -> None:
    alone = np.array([[1.0, 0.0], [0.0, 1.0]])
    assert math.isnan(krippendorff_alpha(alone))
    assert math.isnan(pairwise_agreement(alone))
    assert math.isnan(alpha_interval(alone, seed=0).low)
