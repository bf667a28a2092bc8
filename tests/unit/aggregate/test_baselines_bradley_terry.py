"""Bradley-Terry against closed forms and a general optimiser."""

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from planted_votes import columns_from, scored_crowd
from scipy.optimize import minimize

from backstay.aggregate.baselines.bradley_terry import Scores, bradley_terry, fit_bradley_terry
from backstay.aggregate.columns import VoteColumns

Array = NDArray[np.float64]


def fit(pairs: list[tuple[int, int]], for_a: Any, for_b: Any, ridge: float) -> Scores:
    a, b = np.array(pairs, dtype=np.int32).T.copy()
    return fit_bradley_terry(
        a,
        b,
        np.array(for_a, dtype=np.float64),
        np.array(for_b, dtype=np.float64),
        int(max(a.max(), b.max())) + 1,
        ridge,
    )


def optimum(pairs: list[tuple[int, int]], for_a: Array, for_b: Array, ridge: float) -> Array:
    """The same maximum by BFGS from elsewhere."""
    a, b = np.array(pairs).T

    def loss(scores: Array) -> float:
        d = scores[a] - scores[b]
        likelihood = for_a @ np.log(1 / (1 + np.exp(-d))) + for_b @ np.log(1 / (1 + np.exp(d)))
        return float(ridge / 2 * scores @ scores - likelihood)

    size = int(max(a.max(), b.max())) + 1
    return np.asarray(minimize(loss, np.linspace(-1.0, 1.0, size), method="BFGS", options={"gtol": 1e-7}).x)


def test_scores_equal_those_of_a_general_optimiser() -> None:
    rng = np.random.default_rng(31)
    pairs = [(i, j) for i in range(7) for j in range(i) if rng.random() < 0.7]
    for_a, for_b = rng.integers(0, 6, len(pairs)).astype(float), rng.integers(0, 6, len(pairs)).astype(float)
    found = fit(pairs, for_a, for_b, ridge=0.01)
    assert found.converged
    assert found.scores == pytest.approx(optimum(pairs, for_a, for_b, 0.01), abs=1e-4)


def test_a_long_chain_has_its_closed_form() -> None:
    """Without loops every difference is the log of the odds of its own votes, however far the ends are apart."""
    rng = np.random.default_rng(32)
    for_a, for_b = rng.integers(1, 9, 400).astype(float), rng.integers(1, 9, 400).astype(float)
    found = fit([(i, i + 1) for i in range(400)], for_a, for_b, ridge=1e-9)
    assert found.converged
    assert found.scores[:-1] - found.scores[1:] == pytest.approx(np.log(for_a / for_b), abs=1e-3)
    assert np.diff(found.objective).min() > -1e-9


def test_every_component_is_centred_and_as_if_alone() -> None:
    left, right = [(0, 1), (1, 2), (2, 0)], [(3, 4), (4, 5)]
    for_a, for_b = [3, 2, 1, 5, 1], [1, 1, 2, 1, 4]
    both = fit(left + right, for_a, for_b, 0.01)
    first = fit(left, for_a[:3], for_b[:3], 0.01)
    second = fit([(a - 3, b - 3) for a, b in right], for_a[3:], for_b[3:], 0.01)
    assert both.scores == pytest.approx(np.concatenate([first.scores, second.scores]), abs=1e-7)
    assert both.scores[:3].sum() == pytest.approx(0.0, abs=1e-6)
    assert both.scores[3:].sum() == pytest.approx(0.0, abs=1e-6)
    assert np.abs(both.scores).min() > 0.01


def test_a_pair_across_components_is_unknown_and_one_along_a_chain_is_not() -> None:
    pairs = [(0, 1), (1, 2), (3, 4), (0, 2), (0, 4)]
    columns = columns_from([(0, 0, 1), (0, 1, 1), (1, 0, 1), (2, 1, 1)], n_items=5, n_raters=2, pairs=pairs)
    log_odds = bradley_terry(columns).log_odds
    assert log_odds[4] == 0.0
    assert log_odds[3] > max(log_odds[0], log_odds[1]) > 0.0
    assert log_odds[2] > 0.0


def test_a_tie_is_half_a_vote_for_each() -> None:
    pairs = [(0, 1), (1, 2)]
    tied = columns_from([(0, 0, 1), (0, 1, 0), (1, 0, 1)], n_items=2, n_raters=2, pairs=pairs)
    scores = fit(pairs, [1.5, 1.0], [0.5, 0.0], 0.01).scores
    assert bradley_terry(tied).log_odds == pytest.approx(scores[:-1] - scores[1:])


def test_unanimity_stays_finite_and_more_of_it_counts_for_more() -> None:
    few = bradley_terry(columns_from([(0, 0, 1)], n_items=1, n_raters=1)).log_odds[0]
    many = bradley_terry(columns_from([(0, r, 1) for r in range(50)], n_items=1, n_raters=50)).log_odds[0]
    assert 0.0 < few < many < 20.0


def columns_and_scores() -> tuple[VoteColumns, Array]:
    return scored_crowd(33, [1.0] * 10, responses=40, items=600, per_item=5)


def test_planted_scores_are_recovered() -> None:
    columns, scores = columns_and_scores()
    found = bradley_terry(columns).log_odds
    planted = scores[columns.a] - scores[columns.b]
    assert np.corrcoef(found, planted)[0, 1] > 0.98
    assert np.polyfit(planted, found, 1)[0] == pytest.approx(1.0, abs=0.1)
