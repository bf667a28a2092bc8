import numpy as np
import pytest
from scipy.special import logit
from scipy.stats import norm

from backstay.aggregate.coupling import Coupling, couple


def settled(pairs: list[tuple[int, int]], log_odds: list[float], variance: float, responses: int) -> np.ndarray:
    """Priors after many passes with tau^2 held."""
    a, b = (np.array(side, dtype=np.int32) for side in zip(*pairs, strict=True))
    state, prior = Coupling.start(len(pairs)), np.zeros(len(pairs))
    for _ in range(60):
        state.variance = variance
        couple(state, a, b, np.array(log_odds), prior, responses)
    return prior


def test_a_pair_compared_with_nothing_else_has_an_even_prior() -> None:
    prior = settled([(0, 1), (2, 3)], [5.0, -5.0], 1.0, 4)
    np.testing.assert_allclose(prior, 0.0, atol=1e-9)


def test_two_links_of_a_chain_against_the_exact_posterior() -> None:
    """The prior of (0, 2) from votes on (0, 1) and (1, 2), by a grid over the three strengths."""
    variance, told = 1.3, [2.0, 1.0, 0.0]
    found = settled([(0, 1), (1, 2), (0, 2)], told, variance, 3)[2]
    x = np.linspace(-6.0, 6.0, 121)
    s0, s1, s2 = np.meshgrid(x, x, x, indexing="ij")
    density = norm.pdf(s0, scale=variance**0.5) * norm.pdf(s1, scale=variance**0.5) * norm.pdf(s2, scale=variance**0.5)
    for difference, log_odds in ((s0 - s1, 2.0), (s1 - s2, 1.0)):
        for_a = 1.0 / (1.0 + np.exp(-log_odds))
        density = density * (for_a * norm.cdf(difference) + (1.0 - for_a) * norm.cdf(-difference))
    exact = float((density * norm.cdf(s0 - s2)).sum() / density.sum())
    assert found == pytest.approx(logit(exact), abs=0.05)
    assert found > 0.3


def test_renaming_mirrors_and_order_does_not_matter() -> None:
    pairs, told = [(0, 1), (1, 2), (0, 2), (2, 3)], [1.5, 0.7, -0.4, 2.0]
    prior = settled(pairs, told, 1.0, 4)
    np.testing.assert_allclose(settled([(b, a) for a, b in pairs], [-x for x in told], 1.0, 4), -prior, atol=1e-9)
    np.testing.assert_allclose(settled(pairs[::-1], told[::-1], 1.0, 4), prior[::-1], atol=1e-9)


def test_certain_and_contradicting_votes_stay_finite() -> None:
    cycle = [(0, 1), (1, 2), (2, 0)] * 3
    prior = settled(cycle, [30.0] * 9, 10.0, 3)
    assert np.all(np.isfinite(prior))
    assert np.max(np.abs(prior)) < 25.0


def test_the_spread_of_strengths_is_learned() -> None:
    rng = np.random.default_rng(0)
    strength = rng.normal(0.0, 2.0, 60)
    a, b = rng.integers(0, 60, 2500), rng.integers(0, 60, 2500)
    a, b = a[a != b].astype(np.int32), b[a != b].astype(np.int32)
    for_a = rng.random(a.size) < norm.cdf(strength[a] - strength[b])
    state, prior = Coupling.start(a.size), np.zeros(a.size)
    for _ in range(80):
        couple(state, a, b, np.where(for_a, 8.0, -8.0), prior, 60)
    assert state.variance == pytest.approx(strength.var(), rel=0.35)
    assert np.mean((prior > 0) == (strength[a] > strength[b])) > 0.93
