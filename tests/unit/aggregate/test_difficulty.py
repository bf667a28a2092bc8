"""Hard items have more errors than their raters usually make, and a rater who gets them is told so."""

import numpy as np
import pytest
from simulated_columns import simulate_columns

from backstay.aggregate import AggregateSettings, VoteColumns, fit_columns
from backstay.aggregate.difficulty import errors, given_difficulty, item_difficulty
from backstay.aggregate.fitted import Fitted, Topics
from backstay.aggregate.trust import groups_of, known_of

SETTINGS = AggregateSettings(collusion=False)


def fitted(columns: VoteColumns) -> Fitted:
    fit = fit_columns(columns, SETTINGS)
    known, none = known_of(columns, fit, SETTINGS), np.zeros(0, dtype=np.int32)
    return Fitted(columns, fit, known, groups_of(columns, fit), Topics((), none), SETTINGS)


def with_hard_items(seed: int) -> tuple[VoteColumns, "np.ndarray[tuple[int], np.dtype[np.bool_]]"]:
    """Forty raters, right 92 % on easy and 65 % on hard items; rater 0 judges hard ones only."""
    columns, truth = simulate_columns(seed, items=600, raters=40, per_item=6)
    rng = np.random.default_rng(seed)
    hard = np.bincount(columns.item, columns.rater == 0, 600) > 0
    hard |= rng.random(600) < 0.1
    right = rng.random(columns.n_votes) < np.where(hard[columns.item], 0.65, 0.92)
    side = np.where(right, truth[columns.item], -truth[columns.item])
    return columns._replace(side=side.astype(np.int8), share=np.ones(columns.n_votes, dtype=np.float32)), hard


def test_difficulty_is_errors_over_usual_errors() -> None:
    columns, _ = with_hard_items(0)
    found = fitted(columns)
    actual, usual = errors(found)
    for j in range(0, columns.n_votes, 97):
        belief, accuracy = found.fit.belief[j], found.known.accuracy[columns.rater[j]]
        side = columns.side[j]
        assert actual[j] == pytest.approx(1.0 - (belief if side > 0 else 1.0 - belief))
        says = [accuracy * q + (1.0 - accuracy) * (1.0 - q) for q in (belief, 1.0 - belief)]
        wrong = [1.0 - belief, belief]
        assert usual[j] == pytest.approx(says[0] * wrong[0] + says[1] * wrong[1])
    ratio = item_difficulty(found)
    votes = columns.item == 5
    assert ratio[5] == pytest.approx((actual[votes].sum() + 1.0) / (usual[votes].sum() + 1.0))


def test_hard_items_are_found_and_who_was_given_them() -> None:
    columns, hard = with_hard_items(1)
    found = fitted(columns)
    ratio = item_difficulty(found)
    assert ratio[hard].mean() > 1.3 and ratio[~hard].mean() < 1.05
    given, deviation = given_difficulty(found)
    assert np.argmax(given) == 0 and given[0] > 1.3 and deviation[0] > 3.0


def test_an_item_without_votes_is_ordinary() -> None:
    columns, _ = simulate_columns(2, items=50)
    silent = columns._replace(side=np.zeros(columns.n_votes, dtype=np.int8), gold=np.zeros(50, dtype=np.int8))
    assert np.all(item_difficulty(fitted(silent)) == 1.0)
