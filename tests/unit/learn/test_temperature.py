import numpy as np
import pytest
from scipy.special import expit

from backstay.learn.temperature import HIGHEST, LOWEST, cross_fitted, fit_temperature, log_loss


def pairs(count: int, temperature: float, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Leads whose labels come true as if they were divided by `temperature`."""
    rng = np.random.default_rng(seed)
    lead = rng.normal(0, 3, count)
    return lead, (rng.random(count) < expit(lead / temperature)).astype(float)


def test_log_loss_equals_a_slow_loop() -> None:
    lead, label = np.array([2.0, -1.0, 0.3]), np.array([0.9, 0.2, 0.5])
    slow = -np.mean([p * np.log(expit(x)) + (1 - p) * np.log(1 - expit(x)) for x, p in zip(lead, label, strict=True)])
    assert log_loss(lead, label) == pytest.approx(slow)


@pytest.mark.parametrize("temperature", [0.5, 1.0, 4.0])
def test_the_temperature_of_the_data_is_found(temperature: float) -> None:
    assert fit_temperature(*pairs(20_000, temperature)) == pytest.approx(temperature, rel=0.06)


def test_no_temperature_on_a_grid_is_better() -> None:
    lead, label = pairs(300, 2.0, seed=1)
    label = 0.8 * label + 0.1
    found = fit_temperature(lead, label)
    best = min(np.geomspace(LOWEST, HIGHEST, 4000), key=lambda t: log_loss(lead / t, label))
    assert found == pytest.approx(best, rel=2e-3)
    assert log_loss(lead / found, label) <= log_loss(lead / best, label) + 1e-9


def test_labels_that_are_always_met_end_at_the_bound() -> None:
    lead = np.array([1.0, -2.0, 3.0])
    assert fit_temperature(lead, (lead > 0).astype(float)) == pytest.approx(LOWEST, rel=1e-3)
    assert fit_temperature(lead, (lead < 0).astype(float)) == pytest.approx(HIGHEST, rel=1e-3)


def test_no_pair_is_judged_with_a_temperature_that_its_own_prompt_made() -> None:
    lead, label = pairs(60, 2.0)
    prompts = [f"p{i % 6}" for i in range(60)]
    scaled, folds = cross_fitted(lead, label, prompts, folds=3, seed=0)
    assert folds == 3
    changed = label.copy()
    own = np.array([name == "p2" for name in prompts])
    changed[own] = 1 - changed[own]
    again, _ = cross_fitted(lead, changed, prompts, folds=3, seed=0)
    assert np.array_equal(scaled[own], again[own])
    assert not np.allclose(scaled[~own], again[~own])


def test_every_fold_has_one_temperature_of_the_other_folds() -> None:
    lead, label = pairs(40, 3.0)
    scaled, folds = cross_fitted(lead, label, [f"p{i % 2}" for i in range(40)], folds=5, seed=0)
    assert folds == 2
    for side in (0, 1):
        other = fit_temperature(lead[1 - side :: 2], label[1 - side :: 2])
        assert scaled[side::2] == pytest.approx(lead[side::2] / other)


def test_a_single_prompt_leaves_nothing_to_fit_to() -> None:
    lead, label = pairs(5, 1.0)
    scaled, folds = cross_fitted(lead, label, ["p"] * 5, folds=5, seed=0)
    assert folds == 0 and np.array_equal(scaled, lead)
