import numpy as np
import pytest
from scipy.optimize import minimize

from backstay.redteam.linear_reward import Floats, bt_loss, fit_linear_bt


def _problem(seed: int, pairs: int = 60, width: int = 5) -> tuple[Floats, Floats, Floats, Floats]:
    generator = np.random.default_rng(seed)
    a, b = generator.normal(size=(2, pairs, width)) * np.arange(1, width + 1)
    return a, b, generator.uniform(size=pairs), generator.uniform(0.1, 2.0, size=pairs)


def _scaled(a: Floats, b: Floats) -> tuple[Floats, Floats]:
    scale = np.sqrt(np.mean((a - b) ** 2, axis=0))
    return (a - b) / scale, scale


def test_optimum_agrees_with_a_general_optimiser() -> None:
    a, b, p_a, weight = _problem(0)
    x, scale = _scaled(a, b)
    found = minimize(bt_loss, np.zeros(5), (x, p_a, weight, 3.0), method="L-BFGS-B", tol=1e-14)
    assert fit_linear_bt(a, b, p_a, weight, l2=3.0) == pytest.approx(found.x / scale, abs=1e-5)


def test_one_feature_in_closed_form() -> None:
    """With one feature of difference 1 everywhere: sum of weights * (sigmoid(w) - p) + l2 * w = 0."""
    a, b = np.ones((8, 1)), np.zeros((8, 1))
    w = float(fit_linear_bt(a, b, np.full(8, 0.9), np.full(8, 0.5), l2=0.25)[0])
    assert 4.0 * (1 / (1 + np.exp(-w)) - 0.9) + 0.25 * w == pytest.approx(0.0, abs=1e-8)


def test_weight_equals_copies() -> None:
    a, b, p_a, _ = _problem(1)
    times = np.arange(60) % 3 + 1
    # The scale is taken over rows, so the rows' scale is kept equal by using unit-scale features.
    x, _ = _scaled(a, b)
    signs = np.sign(x)
    weighted = fit_linear_bt(signs, np.zeros_like(signs), p_a, times.astype(float), l2=2.0)
    repeated = np.repeat(signs, times, axis=0)
    copied = fit_linear_bt(repeated, np.zeros_like(repeated), np.repeat(p_a, times), np.ones(times.sum()), l2=2.0)
    assert weighted == pytest.approx(copied, abs=1e-8)


def test_swapping_a_and_b_with_the_label_changes_nothing() -> None:
    a, b, p_a, weight = _problem(2)
    assert fit_linear_bt(b, a, 1.0 - p_a, weight) == pytest.approx(fit_linear_bt(a, b, p_a, weight), abs=1e-9)


def test_labels_of_one_half_teach_nothing() -> None:
    a, b, _, weight = _problem(3)
    assert fit_linear_bt(a, b, np.full(60, 0.5), weight) == pytest.approx(np.zeros(5), abs=1e-12)


def test_scores_do_not_depend_on_the_units_of_a_feature() -> None:
    a, b, p_a, weight = _problem(4)
    units = np.array([1.0, 1e3, 1e-3, 7.0, 1.0])
    assert fit_linear_bt(a * units, b * units, p_a, weight) * units == pytest.approx(fit_linear_bt(a, b, p_a, weight))


def test_constant_and_separable_features_are_no_trouble() -> None:
    a, b = np.array([[1.0, 5.0], [2.0, 5.0]]), np.array([[0.0, 5.0], [0.0, 5.0]])
    w = fit_linear_bt(a, b, np.ones(2), np.ones(2), l2=0.01)
    assert w[0] > 0
    assert w[1] == 0.0


def test_bad_shapes_and_penalties_are_named() -> None:
    a, b, p_a, weight = _problem(5)
    with pytest.raises(ValueError, match="N pairs need"):
        fit_linear_bt(a, b, p_a[:-1], weight)
    with pytest.raises(ValueError, match="l2 must be above 0"):
        fit_linear_bt(a, b, p_a, weight, l2=0.0)
