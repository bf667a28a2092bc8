import math

import numpy as np
import pytest

from backstay.evaluate.bootstrap import (
    Interval,
    cluster_sums,
    crossed_interval,
    difference_interval,
    mean_interval,
    percentile_bounds,
    resampled_totals,
)


def _prompts(clusters: int, each: int) -> list[str]:
    return [f"p{index:04d}" for index in range(clusters) for _ in range(each)]


def test_cluster_sums_match_a_dictionary() -> None:
    sums = cluster_sums([1.0, 2.0, 4.0, 8.0], ["b", "a", "b", "c"])
    assert sums.prompts == ("a", "b", "c")
    assert sums.totals.tolist() == [2.0, 5.0, 8.0]
    assert sums.counts.tolist() == [1.0, 2.0, 1.0]


def test_mean_is_over_responses_not_over_prompt_means() -> None:
    interval = mean_interval([0.0, 0.0, 0.0, 1.0], ["a", "a", "a", "b"], replicates=200)
    assert interval.mean == 0.25


def test_standard_error_of_independent_values_matches_the_closed_form() -> None:
    values = np.random.default_rng(0).normal(3.0, 2.0, size=400)
    interval = mean_interval(values, _prompts(400, 1), replicates=20_000, seed=1)
    half_width = 1.959964 * values.std() / math.sqrt(400)
    assert interval.low == pytest.approx(values.mean() - half_width, abs=0.01)
    assert interval.high == pytest.approx(values.mean() + half_width, abs=0.01)


def test_copies_of_an_answer_do_not_narrow_the_interval() -> None:
    values = np.random.default_rng(2).normal(size=60)
    once = mean_interval(values, _prompts(60, 1), seed=3)
    eightfold = mean_interval(np.repeat(values, 8), _prompts(60, 8), seed=3)
    assert eightfold == pytest.approx(once)


def test_pairing_removes_the_variance_between_prompts() -> None:
    generator = np.random.default_rng(4)
    before = generator.normal(0.0, 5.0, size=200)
    after = before + 0.5 + generator.normal(0.0, 0.1, size=200)
    interval = difference_interval(after, _prompts(200, 1), before, _prompts(200, 1), replicates=20_000, seed=5)
    half_width = 1.959964 * (after - before).std() / math.sqrt(200)
    assert interval.mean == pytest.approx(np.mean(after - before))
    assert interval.high is not None
    assert interval.high - interval.mean == pytest.approx(half_width, rel=0.05)
    assert interval.excludes_zero


def test_difference_allows_different_numbers_of_answers() -> None:
    interval = difference_interval([1.0, 3.0, 5.0], ["a", "a", "b"], [1.0, 1.0], ["b", "a"], replicates=200)
    assert interval.mean == pytest.approx(3.0 - 1.0)


def test_coverage_of_the_mean_is_near_nominal() -> None:
    generator = np.random.default_rng(6)
    hits = 0
    for trial in range(300):
        shared = np.repeat(generator.normal(size=40), 3)
        interval = mean_interval(shared + generator.normal(size=120), _prompts(40, 3), replicates=400, seed=trial)
        assert interval.low is not None
        assert interval.high is not None
        hits += interval.low <= 0.0 <= interval.high
    assert 0.89 <= hits / 300 <= 0.985


def test_same_seed_same_interval_other_seed_another() -> None:
    values, prompts = np.arange(30.0) ** 2, _prompts(30, 1)
    assert mean_interval(values, prompts, seed=7) == mean_interval(values, prompts, seed=7)
    assert mean_interval(values, prompts, seed=7) != mean_interval(values, prompts, seed=8)


def test_blocks_do_not_change_the_numbers(monkeypatch: pytest.MonkeyPatch) -> None:
    table = np.column_stack([np.arange(50.0), np.ones(50)])
    whole = resampled_totals(table, 1000, seed=9)
    monkeypatch.setattr("backstay.evaluate.bootstrap._BLOCK_CELLS", 350)
    assert np.array_equal(resampled_totals(table, 1000, seed=9), whole)


def test_every_resample_draws_as_many_prompts() -> None:
    totals = resampled_totals(np.ones((13, 1)), 100, seed=10)
    assert np.array_equal(totals, np.full((100, 1), 13.0))


def test_percentiles_of_a_known_row() -> None:
    assert percentile_bounds(np.arange(101.0), 0.9) == pytest.approx((5.0, 95.0))


def test_one_prompt_has_no_interval() -> None:
    assert mean_interval([1.0, 2.0], ["a", "a"]) == Interval(1.5, None, None)
    single = difference_interval([1.0], ["a"], [0.0], ["a"])
    assert single == Interval(1.0, None, None)
    assert not single.excludes_zero


def test_zero_on_the_bound_is_not_excluded() -> None:
    assert not Interval(0.1, 0.0, 0.2).excludes_zero
    assert Interval(-0.1, -0.2, -0.01).excludes_zero


def test_bad_input_is_named() -> None:
    with pytest.raises(ValueError, match="at least one"):
        mean_interval([], [])
    with pytest.raises(ValueError, match="one value a prompt"):
        mean_interval([1.0, 2.0], ["a"])
    with pytest.raises(ValueError, match="same prompts"):
        difference_interval([1.0], ["a"], [1.0], ["b"])


def test_crossed_interval_of_equal_repetitions_is_that_of_the_prompts() -> None:
    values = np.random.default_rng(11).uniform(size=80)
    crossed = crossed_interval(np.tile(values, (3, 1)), np.ones(80), replicates=4000, seed=12)
    assert crossed == pytest.approx(mean_interval(values, _prompts(80, 1), replicates=4000, seed=12))


def test_crossed_interval_of_equal_prompts_is_that_of_the_repetitions() -> None:
    totals = np.tile(np.array([[2.0], [4.0]]), (1, 30))
    interval = crossed_interval(totals, np.full(30, 2.0), replicates=4000, seed=13)
    assert interval == Interval(1.5, 1.0, 2.0)


def test_crossed_interval_matches_a_loop() -> None:
    generator = np.random.default_rng(14)
    totals, counts = generator.uniform(size=(4, 25)), generator.integers(1, 4, size=25).astype(float)
    means = []
    for _ in range(4000):
        prompts, repetitions = generator.integers(25, size=25), generator.integers(4, size=4)
        means.append(np.mean([totals[k, prompts].sum() / counts[prompts].sum() for k in repetitions]))
    interval = crossed_interval(totals, counts, replicates=4000, seed=15)
    assert interval.mean == pytest.approx(totals.sum() / (4 * counts.sum()))
    assert (interval.low, interval.high) == pytest.approx(np.quantile(means, [0.025, 0.975]), abs=0.01)
