from itertools import combinations

import numpy as np
import pytest
from crowd_simulator import simulate
from scipy.special import expit

from backstay.aggregate import AggregateSettings, collect_votes, fit_reliability
from backstay.aggregate.collusion import (
    CoAgreement,
    blocs,
    co_agreement,
    co_votes,
    design_effect_weights,
    predicted_agreement,
    residual_correlation,
)
from backstay.aggregate.likelihood import item_log_odds, vote_log_odds

ITEM = np.array([0, 0, 0, 0, 1, 1, 2])
RATER = np.array([0, 1, 2, 3, 1, 0, 2])
SIDE = np.array([1.0, 1.0, 0.0, -1.0, 1.0, -1.0, 1.0])


def test_all_pairs_of_directional_votes_on_an_item() -> None:
    pairs = co_votes(ITEM, RATER, SIDE)
    expected = {
        (i, j) for i, j in combinations(range(7), 2) if ITEM[i] == ITEM[j] and SIDE[i] != 0.0 and SIDE[j] != 0.0
    }
    assert set(zip(pairs.first.tolist(), pairs.second.tolist(), strict=True)) == expected
    assert np.all(pairs.u < pairs.v)


def test_predicted_agreement_by_enumeration() -> None:
    rng = np.random.default_rng(0)
    shown, skill, bias = rng.choice([-1.0, 1.0], 7), rng.uniform(0.0, 2.0, 7), rng.uniform(-0.5, 0.5, 7)
    evidence = vote_log_odds(SIDE, shown, skill, bias)
    log_odds = item_log_odds(ITEM, evidence, np.full(3, np.nan))
    pairs = co_votes(ITEM, RATER, SIDE)
    found = predicted_agreement(pairs, log_odds, evidence, ITEM, shown, skill, bias)
    for p, (i, j) in enumerate(zip(pairs.first, pairs.second, strict=True)):
        rest = sum(evidence[k] for k in range(7) if ITEM[k] == ITEM[i] and k not in {i, j})
        total = 0.0
        for z, q in ((1, expit(rest)), (-1, 1.0 - expit(rest))):
            u, v = (expit(z * skill[k] + shown[k] * bias[k]) for k in (i, j))
            total += q * (u * v + (1.0 - u) * (1.0 - v))
        assert found[p] == pytest.approx(total)


def test_a_bloc_of_copies_counts_as_one_vote_and_others_stay_whole() -> None:
    m, n = 5, 40  # five copies and one independent rater on forty items
    item, rater = np.repeat(np.arange(n), m + 1), np.tile(np.arange(m + 1), n)
    coin = np.random.default_rng(1).choice([-1.0, 1.0], n)
    side = np.where(rater < m, coin[item], np.where(item % 2 == 0, coin[item], -coin[item]))
    pairs = co_votes(item, rater, side)
    found = co_agreement(pairs, side, np.full(pairs.first.size, 0.5), m + 1)
    correlation = np.where(found.v < m, 1.0, residual_correlation(found, 1.0))
    weights = design_effect_weights(pairs, side, correlation, found)
    assert weights[(rater < m) & (item == 0)].sum() == pytest.approx(1.0)
    assert np.all(weights[rater == m] == 1.0)


def test_blocs_are_connected_groups_with_their_strongest_tie() -> None:
    found = CoAgreement(
        u=np.array([0, 1, 3, 0]),
        v=np.array([1, 2, 4, 4]),
        excess=np.array([10.0, 8.0, 9.0, 1.0]),
        variance=np.ones(4),
        shared=np.array([9.0, 9.0, 3.0, 9.0]),
        edge_of_pair=np.arange(4),
    )
    others, z = blocs(found, 4.0, 6)
    assert others.tolist() == [2, 2, 2, 0, 0, 0]  # 3 and 4 share too few items
    assert z.tolist() == [10.0, 10.0, 8.0, 0.0, 0.0, 0.0]


def test_without_gold_a_bloc_wins_only_when_collusion_is_not_looked_for() -> None:
    right: dict[bool, list[float]] = {True: [], False: []}
    for seed in range(4):
        crowd = simulate(seed, bloc=0.33, gold_share=0.0)
        votes = collect_votes(crowd.tasks, crowd.judgments)
        truth = np.array(list(crowd.truth.values()))
        for collusion in (True, False):
            fit = fit_reliability(votes, votes.gold, AggregateSettings(collusion=collusion))
            right[collusion].append(float(np.mean((fit.log_odds > 0) == (truth == 1))))
    assert min(right[True]) > 0.8
    assert np.mean(right[True]) > np.mean(right[False]) + 0.1
