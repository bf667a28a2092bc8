import dataclasses

import numpy as np
import pytest
from crowd_simulator import simulate
from scipy.optimize import minimize
from scipy.special import expit, log_expit

from backstay.aggregate import AggregateSettings, collect_votes, fit_reliability
from backstay.aggregate.likelihood import vote_log_odds
from backstay.aggregate.population import BetaPrior, fit_prior
from backstay.aggregate.reliability import maximise


def test_evidence_of_a_vote_is_the_log_odds_of_accuracy() -> None:
    one = np.ones(1)
    skill = np.log(0.8 / 0.2) * one
    assert vote_log_odds(one, 0 * one, skill, 0 * one)[0] == pytest.approx(np.log(4.0))
    assert vote_log_odds(-one, 0 * one, skill, 0 * one)[0] == pytest.approx(-np.log(4.0))
    assert vote_log_odds(0 * one, one, skill, one)[0] == 0.0


def test_a_vote_against_the_own_leaning_says_more() -> None:
    one = np.ones(1)
    skill, bias = 1.4 * one, 0.8 * one
    with_leaning = vote_log_odds(one, one, skill, bias)[0]
    against = vote_log_odds(one, -one, skill, bias)[0]
    by_hand = np.log(expit(1.4 + 0.8) / expit(-1.4 + 0.8))
    assert with_leaning == pytest.approx(by_hand)
    assert against == pytest.approx(np.log(expit(1.4 - 0.8) / expit(-1.4 - 0.8)))
    assert against > with_leaning


def test_the_m_step_agrees_with_a_general_optimiser() -> None:
    rng = np.random.default_rng(3)
    table = rng.uniform(0.0, 30.0, (2, 3, 5))
    table[1] += 15.0
    prior = BetaPrior(3.0, 1.0)
    skill, bias = maximise(table, prior, 0.7, np.zeros(5), np.zeros(5))
    for _ in range(5):
        skill, bias = maximise(table, prior, 0.7, skill, bias)
    for r in range(5):

        def loss(x: np.ndarray[tuple[int], np.dtype[np.float64]], r: int = r) -> float:
            total = prior.right * log_expit(x[0]) + prior.wrong * log_expit(-x[0]) - x[1] ** 2 / (2 * 0.49)
            for t in (0, 1):
                for c in (0, 1, 2):
                    total += table[t, c, r] * log_expit((2 * t - 1) * x[0] + (c - 1) * x[1])
            return -float(total)

        best = minimize(loss, np.zeros(2), method="BFGS", options={"gtol": 1e-8})
        np.testing.assert_allclose([skill[r], bias[r]], best.x, atol=1e-4)


def test_the_prior_is_found_again() -> None:
    rng = np.random.default_rng(0)
    right = rng.binomial(40, rng.beta(8.0, 2.0, 800))
    prior = fit_prior(right.astype(np.float64), (40 - right).astype(np.float64))
    assert prior.mean == pytest.approx(0.8, abs=0.03)
    assert 6.0 <= prior.right + prior.wrong <= 14.0


def test_renaming_a_and_b_mirrors_the_result() -> None:
    crowd = simulate(1, items=120, flippers=0.2)
    votes = collect_votes(crowd.tasks, crowd.judgments)
    mirrored = dataclasses.replace(votes, side=-votes.side, shown=-votes.shown, gold=1.0 - votes.gold)
    settings = AggregateSettings()
    one = fit_reliability(votes, votes.gold, settings)
    other = fit_reliability(mirrored, mirrored.gold, settings)
    np.testing.assert_allclose(one.log_odds, -other.log_odds, atol=1e-9)
    np.testing.assert_allclose(one.skill, other.skill, atol=1e-9)


def test_gold_is_clamped_whatever_the_votes_say() -> None:
    crowd = simulate(2, items=80, flippers=0.4, gold_share=0.5)
    votes = collect_votes(crowd.tasks, crowd.judgments)
    fit = fit_reliability(votes, votes.gold, AggregateSettings())
    known = ~np.isnan(votes.gold)
    assert np.all((fit.log_odds[known] > 20.0) == (votes.gold[known] > 0.5))


def test_a_flipper_is_read_backwards_or_not_at_all() -> None:
    crowd = simulate(3, flippers=0.3)
    votes = collect_votes(crowd.tasks, crowd.judgments)
    flips = np.array([crowd.kind[name] == "flip" for name in votes.rater_ids])[votes.rater] & (votes.side != 0)
    inverted = fit_reliability(votes, votes.gold, AggregateSettings())
    ignored = fit_reliability(votes, votes.gold, AggregateSettings(adversarial="ignore"))
    assert np.all(inverted.evidence[flips] * votes.side[flips] < 0.0)
    assert np.all(ignored.evidence[flips] == 0.0)


def test_position_bias_is_found_with_its_sign() -> None:
    crowd = simulate(4, items=600, position_bias=1.2)
    votes = collect_votes(crowd.tasks, crowd.judgments)
    fit = fit_reliability(votes, votes.gold, AggregateSettings())
    lean = np.array([1.0 if int(name[-3:]) % 2 == 0 else -1.0 for name in votes.rater_ids])
    assert np.mean(np.sign(fit.bias) == lean) > 0.95
    assert np.mean(fit.bias * lean) == pytest.approx(1.1, abs=0.3)
    off = fit_reliability(votes, votes.gold, AggregateSettings(position_scale=0.0))
    assert np.all(off.bias == 0.0)
