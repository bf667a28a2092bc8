"""What holds for every baseline."""

import numpy as np
import pytest
from crowd_simulator import simulate
from planted_votes import columns_from, independent_crowd, mirrored

from backstay.aggregate.baselines import BASELINES
from backstay.aggregate.columns import columns_of
from backstay.aggregate.majority import majority_share
from backstay.aggregate.votes import collect_votes

NAMES = ["majority", "dawid-skene", "one-coin", "glad", "mace", "bradley-terry", "noisy-bradley-terry"]
RATE_NOBODY = {"majority", "bradley-terry"}
USE_GOLD = {"dawid-skene", "one-coin"}
COUNT_TIES = {"majority", "bradley-terry"}

EMPTY = {
    "nothing at all": columns_from([], n_items=0, n_raters=0),
    "raters but no items": columns_from([], n_items=0, n_raters=2),
    "items but no votes": columns_from([], n_items=3, n_raters=2),
    "all ties": columns_from([(0, 0, 0), (0, 1, 0), (1, 1, 0), (2, 0, 0)], n_items=3, n_raters=2),
    "two who always differ": columns_from([(i, r, 1 - 2 * r) for i in range(4) for r in (0, 1)], n_items=4, n_raters=2),
}


def test_the_registry_has_every_name() -> None:
    assert list(BASELINES) == NAMES


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("case", EMPTY)
def test_votes_that_say_nothing_get_a_neutral_answer(name: str, case: str) -> None:
    columns = EMPTY[case]
    fit = BASELINES[name](columns)
    assert fit.converged
    assert fit.log_odds.dtype == fit.accuracy.dtype == np.float64
    assert fit.log_odds == pytest.approx(np.zeros(columns.n_items), abs=1e-3)
    assert fit.accuracy.shape == (columns.n_raters,)
    if name in RATE_NOBODY:
        assert np.all(np.isnan(fit.accuracy))
    elif case != "two who always differ":
        assert fit.accuracy == pytest.approx(np.full(columns.n_raters, 0.5))


@pytest.mark.parametrize("name", NAMES)
def test_a_single_rater_is_followed(name: str) -> None:
    columns = columns_from([(0, 0, 1), (1, 0, -1), (2, 0, 1), (3, 0, -1)], n_items=5, n_raters=1)
    assert np.sign(BASELINES[name](columns).log_odds).tolist() == [1, -1, 1, -1, 0]


@pytest.mark.parametrize("name", NAMES)
def test_silent_raters_and_items_change_nothing(name: str) -> None:
    columns, _ = independent_crowd(3, [0.9, 0.8, 0.85, 0.7], items=60, per_item=3)
    more = columns._replace(
        start=np.append(columns.start, columns.start[-1]),
        a=np.append(columns.a, np.int32(columns.n_responses)),
        b=np.append(columns.b, np.int32(columns.n_responses + 1)),
        gold=np.append(columns.gold, np.int8(0)),
        n_raters=columns.n_raters + 1,
        n_responses=columns.n_responses + 2,
    )
    # MACE starts from one random number a rater, which the silent one would shift: only the optimum is the same.
    fit, longer = BASELINES[name](columns), BASELINES[name](more)
    assert longer.log_odds[:-1] == pytest.approx(fit.log_odds, abs=0.02)
    assert longer.log_odds[-1] == 0.0
    assert np.isnan(longer.accuracy[-1]) if name in RATE_NOBODY else longer.accuracy[-1] == 0.5


@pytest.mark.parametrize("name", NAMES)
def test_renaming_a_and_b_mirrors_the_answer(name: str) -> None:
    crowd = simulate(5, items=120, flippers=0.2, tie_rate=0.1, gold_share=0.2)
    votes = collect_votes(crowd.tasks, crowd.judgments)
    columns = columns_of(votes, votes.gold)
    fit, mirror = BASELINES[name](columns, seed=2), BASELINES[name](mirrored(columns), seed=2)
    assert mirror.log_odds == pytest.approx(-fit.log_odds, abs=1e-3)
    assert mirror.accuracy == pytest.approx(fit.accuracy, abs=1e-4, nan_ok=True)


@pytest.mark.parametrize("name", NAMES)
def test_the_same_seed_gives_the_same_answer(name: str) -> None:
    columns, _ = independent_crowd(4, [0.9, 0.6, 0.8, 0.7, 0.75], items=50, per_item=3)
    first, second = BASELINES[name](columns, seed=9), BASELINES[name](columns, seed=9)
    assert np.array_equal(first.log_odds, second.log_odds)


@pytest.mark.parametrize("name", NAMES)
def test_a_ranking_vote_counts_by_its_share(name: str) -> None:
    rows = [(0, 0, 1), (0, 1, 1), (0, 2, -1), (1, 0, -1), (1, 1, -1), (2, 2, 1), (2, 0, 1), (3, 1, -1), (3, 2, 1)]
    once = columns_from(rows, n_items=4, n_raters=3)
    halves = columns_from([row for row in rows for _ in "ab"], n_items=4, n_raters=3, share=[0.5] * 18)
    assert BASELINES[name](halves).log_odds == pytest.approx(BASELINES[name](once).log_odds, abs=1e-3)


@pytest.mark.parametrize("name", NAMES)
def test_a_tie_is_half_a_vote_for_each_or_no_vote(name: str) -> None:
    rows = [(0, 0, 1), (0, 1, 1), (1, 0, -1), (1, 1, -1), (2, 0, 1), (2, 1, -1)]
    plain = columns_from(rows, n_items=3, n_raters=2)
    tied = columns_from([*rows, (0, 1, 0)], n_items=3, n_raters=2)
    before, after = BASELINES[name](plain).log_odds[0], BASELINES[name](tied).log_odds[0]
    if name in COUNT_TIES:
        assert 0.0 < after < before - 0.1
    else:
        assert after == pytest.approx(before, abs=1e-3)


@pytest.mark.parametrize("name", NAMES)
def test_gold_anchors_or_is_ignored(name: str) -> None:
    crowd = simulate(6, raters=20, items=300, flippers=0.7, tie_rate=0.0, gold_share=0.3)
    votes = collect_votes(crowd.tasks, crowd.judgments)
    known = columns_of(votes, votes.gold)
    blind = known._replace(gold=np.zeros_like(known.gold))
    with_gold, without = BASELINES[name](known), BASELINES[name](blind)
    truth = np.array([crowd.truth[task.id] for task in crowd.tasks]) * 2 - 1
    asked = known.gold == 0
    if name in USE_GOLD:
        assert np.mean(with_gold.log_odds[asked] * truth[asked] > 0) > 0.85
        assert np.all(with_gold.log_odds[~asked] * truth[~asked] == 30.0)
        assert np.mean(without.log_odds[asked] * truth[asked] > 0) < 0.3
    else:
        assert np.array_equal(with_gold.log_odds, without.log_odds)


@pytest.mark.parametrize("name", ["dawid-skene", "one-coin", "glad", "noisy-bradley-terry"])
def test_flippers_are_found_and_used(name: str) -> None:
    crowd = simulate(7, raters=20, items=600, per_item=7, flippers=0.3, tie_rate=0.05)
    votes = collect_votes(crowd.tasks, crowd.judgments)
    columns = columns_of(votes, np.full(votes.n_items, np.nan))
    truth = np.array([crowd.truth[task.id] for task in crowd.tasks]) * 2 - 1
    fit = BASELINES[name](columns)
    heads = np.mean(BASELINES["majority"](columns).log_odds * truth > 0)
    assert np.mean(fit.log_odds * truth > 0) > heads + 0.1
    planted = np.array([crowd.accuracy[rater] for rater in votes.rater_ids])
    assert np.corrcoef(fit.accuracy, planted)[0, 1] > 0.95


@pytest.mark.parametrize("name", ["dawid-skene", "one-coin", "glad", "mace"])
def test_careful_raters_outweigh_many_careless_ones(name: str) -> None:
    accuracy = [0.97] * 4 + [0.55] * 8
    columns, truth = independent_crowd(8, accuracy, items=800, per_item=6)
    fit, heads = BASELINES[name](columns), BASELINES["majority"](columns)
    assert np.mean(fit.log_odds * truth > 0) > np.mean(heads.log_odds * truth > 0) + 0.05
    assert fit.accuracy == pytest.approx(np.array(accuracy), abs=0.13)


def test_majority_is_the_smoothed_share() -> None:
    crowd = simulate(9, items=40, tie_rate=0.2)
    votes = collect_votes(crowd.tasks, crowd.judgments)
    share = majority_share(votes)
    assert BASELINES["majority"](columns_of(votes, votes.gold)).log_odds == pytest.approx(np.log(share / (1.0 - share)))
