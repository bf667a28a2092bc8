import time
from dataclasses import replace
from itertools import combinations

import numpy as np
import pytest
from planted_votes import columns_from, independent_crowd, mirrored

from backstay.aggregate import AggregateSettings, Fit, VoteColumns, fit_columns
from backstay.aggregate.blocs import Bloc, bloc_weights
from backstay.aggregate.flip_numbers import (
    MAX_ENUMERATED,
    NEVER,
    flip_numbers,
    flip_raters,
    flip_summary,
    log_odds_without,
)

SETTINGS = AggregateSettings(collusion=False)


def one_item(evidence: list[float], *, prior: float = 0.0, gold: int = 0, blocs: tuple[Bloc, ...] = ()) -> tuple[
    VoteColumns, Fit
]:  # fmt: skip
    """One item on which rater j gives `evidence[j]` before it is discounted for blocs; votes follow its sign."""
    sides = np.sign(evidence).astype(int)
    rows = [(0, rater, int(side)) for rater, side in enumerate(sides)]
    columns = columns_from(rows, n_items=1, n_raters=max(len(evidence), 1), gold=[gold])
    weight = bloc_weights(columns, blocs)
    told = weight * np.array(evidence)
    fit = fit_columns(columns, SETTINGS)
    log_odds = np.array([30.0 * gold if gold else prior + told.sum()])
    return columns, replace(fit, evidence=told, independence=weight, log_odds=log_odds, blocs=blocs)


def by_brute_force(columns: VoteColumns, fit: Fit, item: int) -> int:
    side = np.sign(fit.log_odds[item])
    raters = [int(r) for r in columns.rater[columns.start[item] : columns.start[item + 1]]]
    for size in range(1, len(raters) + 1):
        for gone in combinations(raters, size):
            if side * log_odds_without(columns, fit, item, set(gone)) <= 1e-9:
                return size
    return NEVER


def number(columns: VoteColumns, fit: Fit) -> int:
    return int(flip_numbers(columns, fit).number[0])


def test_by_hand() -> None:
    assert number(*one_item([1.0, 1.0, 1.0])) == 3  # two removed leave one voice
    assert number(*one_item([1.0, 1.0, 1.0, -1.0])) == 2  # one against one: no side is left
    assert number(*one_item([2.0, 0.5, 0.5, -1.2])) == 1  # without the strongest, b leads
    assert number(*one_item([-2.0, -0.5, 0.4])) == 2
    assert number(*one_item([0.5, 0.5], prior=-0.2)) == 2
    assert number(*one_item([0.5, 0.5, 0.5], prior=-0.6)) == 2


def test_conventions() -> None:
    assert number(*one_item([1.0, -1.0])) == 0  # no side to lose
    assert number(*one_item([])) == 0
    assert number(*one_item([], prior=0.4)) == NEVER  # the other comparisons decide
    assert number(*one_item([1.0, -0.2], prior=0.3)) == NEVER
    assert number(*one_item([1.0, 1.0], gold=1)) == NEVER
    assert number(*one_item([1.0, 0.0])) == 1  # the tie is no witness


def test_a_bloc_of_copies_falls_only_as_a_whole() -> None:
    """Three perfect copies weigh 1/3 each; as any two go, the third speaks for all of them again."""
    bloc = Bloc(np.array([1.0, 1.0, 1.0, 0.0]), 1.0, 9.0, 1.0, 0.5, 3)
    columns, fit = one_item([2.0, 2.0, 2.0, -1.0], blocs=(bloc,))
    assert fit.log_odds[0] == pytest.approx(1.0)
    assert log_odds_without(columns, fit, 0, {0, 1}) == pytest.approx(1.0)
    assert number(columns, fit) == 3


def test_removing_a_weak_copy_may_help_the_other_side() -> None:
    """Opponents 0.1 and 2.0 of one bloc speak as 1.05; without the weak one the strong one counts in full."""
    bloc = Bloc(np.array([0.0, 1.0, 1.0]), 1.0, 9.0, 1.0, 0.5, 3)
    columns, fit = one_item([1.5, -0.1, -2.0], blocs=(bloc,))
    assert fit.log_odds[0] == pytest.approx(0.45)
    flips = flip_numbers(columns, fit)
    assert flips.number[0] == 1
    assert log_odds_without(columns, fit, 0, flip_raters(columns, flips, 0)) <= 0.0


@pytest.mark.parametrize("seed", range(60))
def test_against_brute_force_over_all_subsets(seed: int) -> None:
    rng = np.random.default_rng(seed)
    size = int(rng.integers(1, 9))
    blocs = tuple(
        Bloc(np.where(rng.random(size) < 0.6, rng.random(size), 0.0), float(rng.random()), 1.0, 1.0, 0.5, 3)
        for _ in range(seed % 3)
    )
    evidence = list(rng.normal(0.4, 1.0, size))
    columns, fit = one_item(evidence, prior=float(rng.normal(0.0, 0.5)), blocs=blocs)
    flips = flip_numbers(columns, fit)
    assert flips.exact[0]
    assert flips.number[0] == by_brute_force(columns, fit, 0)
    if flips.number[0] > 0:
        named = flip_raters(columns, flips, 0)
        assert len(named) == flips.number[0]
        assert np.sign(fit.log_odds[0]) * log_odds_without(columns, fit, 0, named) <= 1e-9


def test_many_votes_of_a_bloc_give_a_bound_that_holds() -> None:
    rng = np.random.default_rng(1)
    for _ in range(40):
        size = MAX_ENUMERATED + 3
        bloc = Bloc(rng.random(size), 0.6, 1.0, 1.0, 0.5, 3)
        columns, fit = one_item(list(rng.normal(0.3, 1.0, size)), blocs=(bloc,))
        flips = flip_numbers(columns, fit)
        named = flip_raters(columns, flips, 0)
        assert len(named) == max(int(flips.number[0]), 0)
        assert np.sign(fit.log_odds[0]) * log_odds_without(columns, fit, 0, named) <= 1e-9 or flips.number[0] == NEVER
        if flips.exact[0] and 0 < flips.number[0] <= 4:
            assert flips.number[0] == by_brute_force(columns, fit, 0)


def test_of_a_fitted_crowd_and_the_same_with_a_and_b_renamed() -> None:
    columns, _ = independent_crowd(3, [0.9] * 6 + [0.6] * 6, items=80, per_item=5, tie_rate=0.1)
    fit = fit_columns(columns, SETTINGS)
    flips = flip_numbers(columns, fit)
    assert [int(n) for n in flips.number] == [
        by_brute_force(columns, fit, i) if abs(fit.log_odds[i]) > 1e-9 else 0 for i in range(columns.n_items)
    ]
    other = mirrored(columns)
    assert np.array_equal(flips.number, flip_numbers(other, fit_columns(other, SETTINGS)).number)


def test_summary_counts_every_item_once() -> None:
    columns, truth = independent_crowd(4, [0.8] * 8, items=50, per_item=4)
    columns = columns._replace(gold=np.where(np.arange(50) < 5, truth, 0).astype(np.int8))
    summary = flip_summary(columns, flip_numbers(columns, fit_columns(columns, SETTINGS)))
    counted = sum(summary["items_by_flip_number"].values()) + summary["without_a_side"] + summary["never"]
    assert (summary["gold_items"], counted, summary["upper_bounds_only"]) == (5, 45, 0)


@pytest.mark.slow
def test_a_million_votes_take_less_than_a_second() -> None:
    rng = np.random.default_rng(0)
    items, raters, per_item = 200_000, 5_000, 5
    rater = rng.integers(0, raters, (items, per_item)).astype(np.int32).ravel()
    side = rng.choice(np.array([-1, 1], dtype=np.int8), rater.size, p=[0.3, 0.7])
    columns = columns_from([], n_items=1, n_raters=raters)._replace(
        start=np.arange(0, rater.size + 1, per_item), rater=rater, side=side, gold=np.zeros(items, dtype=np.int8)
    )
    bloc = Bloc(np.where(np.arange(raters) < 2_000, 0.97, 0.001), 0.7, 1.0, 1.0, 0.5, 3)
    evidence = bloc_weights(columns, (bloc,)) * side * rng.uniform(0.2, 2.0, side.size)
    fit = fit_columns(columns_from([(0, 0, 1)], n_items=1, n_raters=1), SETTINGS)
    log_odds = evidence.reshape(-1, per_item).sum(axis=1)
    fit = replace(fit, evidence=evidence, log_odds=log_odds, blocs=(bloc,))
    flip_numbers(columns, fit)
    start = time.perf_counter()
    flips = flip_numbers(columns, fit, threads=1)
    assert time.perf_counter() - start < 1.0
    assert flips.exact.all()
