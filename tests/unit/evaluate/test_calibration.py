import math

import numpy as np
import pytest
from scipy.stats import binomtest

from backstay.evaluate.calibration import (
    bin_index,
    brier_score,
    expected_calibration_error,
    fold_preferences,
    reliability_table,
    table_rows,
    wilson_interval,
)


@pytest.mark.parametrize(("right", "trials"), [(0, 7), (3, 7), (7, 7), (61, 99), (617, 1000)])
def test_wilson_matches_scipy(right: int, trials: int) -> None:
    expected = binomtest(right, trials).proportion_ci(0.95, method="wilson")
    assert wilson_interval(right, trials) == pytest.approx((expected.low, expected.high), abs=1e-12)


def test_wilson_without_trials_knows_nothing() -> None:
    assert wilson_interval(0, 0) == (0.0, 1.0)
    with pytest.raises(ValueError, match="between 0 and the trials"):
        wilson_interval(4, 3)


def test_ece_by_hand() -> None:
    confidence = [0.05, 0.15, 0.15, 0.95]
    correct = [0.0, 1.0, 0.0, 1.0]
    by_hand = (1 * 0.05 + 2 * abs(0.5 - 0.15) + 1 * 0.05) / 4
    assert expected_calibration_error(confidence, correct) == pytest.approx(by_hand)


def test_ece_of_a_constant_is_its_distance_from_the_rate() -> None:
    correct = [1.0] * 70 + [0.0] * 30
    for scheme in ("width", "mass"):
        assert expected_calibration_error([0.9] * 100, correct, bins=1, scheme=scheme) == pytest.approx(0.2)


def test_ece_matches_a_loop_over_random_answers() -> None:
    generator = np.random.default_rng(0)
    confidence = generator.uniform(size=500)
    correct = (generator.uniform(size=500) < confidence**2).astype(float)
    loop = 0.0
    for number in range(10):
        members = [i for i in range(500) if math.floor(confidence[i] * 10) == number]
        gap = sum(correct[i] for i in members) - sum(confidence[i] for i in members)
        loop += abs(gap) / 500
    assert expected_calibration_error(confidence, correct) == pytest.approx(loop)


def test_equal_mass_bins_hold_equally_many() -> None:
    values = np.random.default_rng(1).beta(8, 2, size=100)
    index = bin_index(values, 5, "mass")
    assert np.bincount(index).tolist() == [20] * 5
    assert values[index == 0].max() <= values[index == 4].min()


def test_edges_of_equal_width_bins() -> None:
    assert bin_index([0.0, 0.1, 0.999, 1.0], 10, "width").tolist() == [0, 1, 9, 9]
    assert bin_index([0.5, 0.6, 1.0], 5, "width", low=0.5).tolist() == [0, 1, 4]
    with pytest.raises(ValueError, match="at least one bin"):
        bin_index([0.5], 0, "width")


def test_folding_is_symmetric_in_a_and_b() -> None:
    p_a, truth = np.array([0.9, 0.2, 0.5, 0.7]), np.array([1.0, 1.0, 1.0, 0.25])
    confidence, correct = fold_preferences(p_a, truth)
    assert confidence.tolist() == pytest.approx([0.9, 0.8, 0.5, 0.7])
    assert correct.tolist() == pytest.approx([1.0, 0.0, 0.5, 0.25])
    swapped = fold_preferences(1.0 - p_a, 1.0 - truth)
    assert swapped[0].tolist() == pytest.approx(confidence.tolist())
    assert swapped[1].tolist() == pytest.approx(correct.tolist())


def test_table_leaves_out_empty_bins_and_counts_all() -> None:
    table = reliability_table([0.55, 0.56, 0.95], [1.0, 0.0, 1.0], bins=5, low=0.5)
    assert [row.count for row in table] == [2, 1]
    assert table[0].accuracy == 0.5
    assert table[0].confidence == pytest.approx(0.555)
    assert (table[0].low, table[0].high) == pytest.approx(wilson_interval(1, 2))
    assert list(table_rows(table)[0]) == ["confidence", "accuracy", "low", "high", "count"]


def test_brier_of_a_coin() -> None:
    assert brier_score([0.5, 0.5], [1.0, 0.0]) == 0.25


@pytest.mark.parametrize("pair", [([0.5], [0.5, 0.5]), ([], []), ([1.2], [1.0]), ([0.5], [float("nan")])])
def test_what_is_no_probability_is_refused(pair: tuple[list[float], list[float]]) -> None:
    with pytest.raises(ValueError, match=r"vectors are needed|lie in \[0, 1\]"):
        brier_score(*pair)
