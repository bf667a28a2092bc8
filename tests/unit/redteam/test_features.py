"""Frozen features: principal components by the eigenvectors of the covariance, products where they belong."""

import numpy as np

from backstay.redteam import interaction_features
from backstay.redteam.features import principal_components


def test_components_span_what_the_leading_eigenvectors_span_and_have_unit_variance() -> None:
    rng = np.random.default_rng(0)
    x = rng.normal(size=(200, 6)) * np.array([5.0, 3.0, 1.0, 0.5, 0.2, 0.1])
    scores = principal_components(x, 2)
    values, vectors = np.linalg.eigh(np.cov(x.T, bias=True))
    expected = (x - x.mean(0)) @ vectors[:, ::-1][:, :2] / np.sqrt(values[::-1][:2])
    assert np.allclose(np.abs(scores), np.abs(expected), atol=1e-9)
    assert np.allclose(scores.var(0), 1.0)


def test_fewer_components_than_asked_where_the_data_has_no_more() -> None:
    x = np.outer(np.arange(5.0), np.ones(7))
    assert principal_components(x, 4).shape == (5, 1)
    assert principal_components(np.ones((4, 3)), 2).shape == (4, 0)


def test_products_let_a_linear_score_flip_its_preference_with_the_prompt() -> None:
    rng = np.random.default_rng(1)
    refuses, harmful = rng.choice([-1.0, 1.0], size=(2, 64))
    response = np.stack((refuses, rng.normal(size=64)), 1)
    prompt = np.stack((harmful, rng.normal(size=64)), 1)
    features = interaction_features(response, prompt, components=2, meeting=(2, 2))
    assert features.shape == (64, 2 + 4)
    target = refuses * harmful
    fitted = features @ np.linalg.lstsq(features, target, rcond=None)[0]
    assert np.corrcoef(fitted, target)[0, 1] > 0.9
    alone = features[:, :2] @ np.linalg.lstsq(features[:, :2], target, rcond=None)[0]
    assert abs(np.corrcoef(alone, target)[0, 1]) < 0.5
