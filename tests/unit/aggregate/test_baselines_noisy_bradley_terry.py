"""Noisy Bradley-Terry: its derivatives by finite differences, its crowd planted."""

import numpy as np
import pytest
from planted_votes import columns_from, scored_crowd

from backstay.aggregate.baselines.bradley_terry import bradley_terry
from backstay.aggregate.baselines.noisy_bradley_terry import RIGHT, WRONG, loss_and_gradient, noisy_bradley_terry

COLUMNS, SCORES = scored_crowd(41, [0.95, 0.9, 0.85, 0.2, 0.5, 0.9], responses=12, items=40, per_item=3)


@pytest.mark.parametrize("scale", [0.0, 0.5, 3.0])
def test_every_derivative_equals_its_finite_difference(scale: float) -> None:
    columns = COLUMNS._replace(share=np.linspace(0.2, 1.0, COLUMNS.n_votes).astype(np.float32))
    x = scale * np.random.default_rng(42).normal(size=columns.n_responses + columns.n_raters)
    _, gradient = loss_and_gradient(columns, x)
    for place in range(x.size):
        step = np.zeros_like(x)
        step[place] = 1e-5
        by_difference = (loss_and_gradient(columns, x + step)[0] - loss_and_gradient(columns, x - step)[0]) / 2e-5
        assert gradient[place] == pytest.approx(by_difference, rel=1e-5, abs=1e-6)


def test_the_loss_of_one_vote_by_hand() -> None:
    columns = columns_from([(0, 0, -1)], n_items=1, n_raters=1)
    eta, p_a = 0.9, 1.0 / (1.0 + np.exp(-1.0))
    likelihood = np.log(eta * (1.0 - p_a) + (1.0 - eta) * p_a)
    prior = RIGHT * np.log(eta) + WRONG * np.log(1.0 - eta) - 0.01 / 2.0 * (0.7**2 + 0.3**2)
    assert loss_and_gradient(columns, np.array([0.7, -0.3, np.log(9.0)]))[0] == pytest.approx(-likelihood - prior)


def test_the_fit_is_a_stationary_point() -> None:
    fit = noisy_bradley_terry(COLUMNS)
    assert fit.converged
    # The scores of one component sum to zero, so that the differences along the items determine them.
    incidence = np.zeros((COLUMNS.n_items + 1, COLUMNS.n_responses))
    incidence[np.arange(COLUMNS.n_items), COLUMNS.a] = 1.0
    incidence[np.arange(COLUMNS.n_items), COLUMNS.b] = -1.0
    incidence[-1] = 1.0
    scores = np.linalg.lstsq(incidence, np.append(fit.log_odds, 0.0), rcond=None)[0]
    x = np.concatenate([scores, np.log(fit.accuracy / (1.0 - fit.accuracy))])
    assert np.abs(loss_and_gradient(COLUMNS, x)[1]).max() < 1e-3


def test_planted_competence_and_scores_are_recovered() -> None:
    competence = [0.98] * 6 + [0.75] * 4 + [0.5] * 3 + [0.1] * 3
    columns, scores = scored_crowd(43, competence, responses=60, items=1500, per_item=5)
    fit = noisy_bradley_terry(columns)
    planted = scores[columns.a] - scores[columns.b]
    assert fit.accuracy == pytest.approx(np.array(competence), abs=0.1)
    right = np.mean(fit.log_odds * planted > 0)
    assert right > np.mean(bradley_terry(columns).log_odds * planted > 0) + 0.02
    assert np.corrcoef(fit.log_odds, planted)[0, 1] > 0.97


def test_a_pair_across_components_is_unknown() -> None:
    columns = columns_from(
        [(0, 0, 1), (0, 1, 1), (1, 0, 1), (2, 0, 0)], n_items=3, n_raters=2, pairs=[(0, 1), (2, 3), (1, 2)]
    )
    log_odds = noisy_bradley_terry(columns).log_odds
    assert log_odds[2] == 0.0
    assert min(log_odds[:2]) > 0.5
