import math
from collections.abc import Callable
from itertools import permutations, product

import numpy as np
import pytest

from backstay.aggregate.agreement import (
    Interval,
    agreement_interval,
    alpha_interval,
    fleiss_kappa,
    kappa_interval,
    krippendorff_alpha,
    pairwise_agreement,
)
from backstay.aggregate.votes import Floats

INTERVALS = [agreement_interval, alpha_interval, kappa_interval]
VALUES = [pairwise_agreement, krippendorff_alpha, fleiss_kappa]
BOTH = list(zip(INTERVALS, VALUES, strict=True))

# Krippendorff (2011), Computing Krippendorff's Alpha-Reliability, example C: nominal data, alpha = 0.743.
EXAMPLE = [
    [1, 1, 1], [2, 2, 3, 2], [3, 3, 3, 3], [3, 3, 3, 3], [2, 2, 2, 2], [1, 2, 3, 4], [4, 4, 4, 4], [1, 1, 2, 1],
    [2, 2, 2, 2], [5, 5, 5], [1, 1], [3],
]  # fmt: skip
COUNTS = np.array([[row.count(value) for value in range(1, 6)] for row in EXAMPLE], dtype=np.float64)


def test_alpha_of_the_published_example() -> None:
    assert krippendorff_alpha(COUNTS) == pytest.approx(0.743, abs=5e-4)


# Ten subjects judged by fourteen psychiatrists in five categories: the worked example on Fleiss' kappa, kappa = 0.210.
SUBJECTS = np.array(
    [
        [0, 0, 0, 0, 14], [0, 2, 6, 4, 2], [0, 0, 3, 5, 6], [0, 3, 9, 2, 0], [2, 2, 8, 1, 1],
        [7, 7, 0, 0, 0], [3, 2, 6, 3, 0], [2, 5, 3, 2, 2], [6, 5, 2, 1, 0], [0, 2, 2, 3, 7],
    ],
    dtype=np.float64,
)  # fmt: skip


def mean(values: list[float]) -> float:
    return sum(values) / len(values)


def test_kappa_of_the_published_example() -> None:
    assert fleiss_kappa(SUBJECTS) == pytest.approx(0.210, abs=5e-4)


def test_kappa_by_brute_force_with_unequal_numbers_of_votes() -> None:
    rows = [row for row in EXAMPLE if len(row) > 1]
    equal = mean([mean([float(a == b) for a, b in permutations(row, 2)]) for row in rows])
    chance = mean([mean([float(a == b) for a, b in product(row, other)]) for row, other in product(rows, rows)])
    assert fleiss_kappa(COUNTS) == pytest.approx((equal - chance) / (1.0 - chance))


def test_alpha_by_brute_force() -> None:
    rows = [row for row in EXAMPLE if len(row) > 1]
    pooled = [value for row in rows for value in row]
    weighted = sum(sum(a != b for a, b in permutations(row, 2)) / (len(row) - 1) for row in rows) / len(pooled)
    chance = mean([float(a != b) for a, b in permutations(pooled, 2)])
    assert krippendorff_alpha(COUNTS) == pytest.approx(1.0 - weighted / chance)


def test_pairwise_agreement_by_brute_force() -> None:
    pairs = [a == b for row in EXAMPLE for a, b in permutations(row, 2)]
    assert pairwise_agreement(COUNTS) == pytest.approx(sum(pairs) / len(pairs))


def test_unanimity_is_one_and_coins_are_near_zero() -> None:
    heads = np.random.default_rng(0).binomial(5, 0.5, 4000).astype(np.float64)
    coins = np.stack([heads, 5.0 - heads], axis=1)
    for chance_corrected in (krippendorff_alpha, fleiss_kappa):
        assert chance_corrected(np.array([[4.0, 0.0], [0.0, 4.0]])) == pytest.approx(1.0)
        assert abs(chance_corrected(coins)) < 0.02
    assert pairwise_agreement(coins) == pytest.approx(0.5, abs=0.01)


@pytest.mark.parametrize(("interval", "value"), BOTH)
def test_the_interval_holds_the_value_and_narrows(
    interval: Callable[..., Interval], value: Callable[[Floats], float]
) -> None:
    few, many = interval(COUNTS, seed=1), interval(np.tile(COUNTS, (20, 1)), seed=1)
    assert few.value == value(COUNTS)
    assert few.low < few.value < few.high
    assert many.high - many.low < 0.5 * (few.high - few.low)


@pytest.mark.parametrize(("interval", "value"), BOTH)
def test_the_interval_is_that_of_drawing_items(
    interval: Callable[..., Interval], value: Callable[[Floats], float]
) -> None:
    rng = np.random.default_rng(3)
    drawn = [value(SUBJECTS[rng.integers(0, 10, 10)]) for _ in range(4000)]
    found = interval(SUBJECTS, seed=4, draws=4000)
    assert [found.low, found.high] == pytest.approx(np.quantile(drawn, [0.025, 0.975]), abs=0.01)


@pytest.mark.parametrize("interval", INTERVALS)
def test_the_interval_covers_the_truth_about_as_often_as_it_says(interval: Callable[..., Interval]) -> None:
    rng = np.random.default_rng(5)

    def sample(size: int) -> Floats:
        heads = rng.binomial(4, rng.choice([0.1, 0.85], size)).astype(np.float64)
        return np.stack([heads, 4.0 - heads], axis=1)

    truth = interval(sample(200_000), seed=0, draws=2).value
    found = [interval(sample(120), seed=k, draws=200) for k in range(200)]
    assert 0.89 <= mean([float(one.low <= truth <= one.high) for one in found]) <= 0.99


@pytest.mark.parametrize("counts", [np.zeros((0, 3)), np.zeros((2, 3)), np.array([[1.0, 0.0], [0.0, 1.0]])])
def test_nothing_to_compare_is_nan(counts: Floats) -> None:
    for value, interval in zip(VALUES, INTERVALS, strict=True):
        assert math.isnan(value(counts))
        assert math.isnan(interval(counts, seed=0).low)


def test_a_single_value_in_use_leaves_chance_undefined() -> None:
    same = np.array([[3.0, 0.0], [7.0, 0.0], [2.0, 0.0]])
    assert pairwise_agreement(same) == 1.0
    assert math.isnan(krippendorff_alpha(same))
    assert math.isnan(fleiss_kappa(same))
    assert math.isnan(kappa_interval(same, seed=0).high)
