from itertools import combinations

import numpy as np
import pytest
from scipy.stats import hypergeom

from backstay.errors import UsageError
from backstay.feedback.selection.gold import gold_weights, has_leaked, leak_test, log_symmetric, look_level


def test_the_least_exposed_gold_items_rotate() -> None:
    exposure, none = np.array([3, 1, 1, 0, 9]), np.zeros(5, dtype=np.bool_)
    assert gold_weights(exposure, none, none, 9).tolist() == [0, 0, 0, 1, 0]
    assert gold_weights(exposure, np.array([0, 0, 0, 1, 0], dtype=np.bool_), none, 9).tolist() == [0, 0.5, 0.5, 0, 0]
    assert gold_weights(exposure, none, np.array([0, 1, 1, 1, 0], dtype=np.bool_), 9).tolist() == [1, 0, 0, 0, 0]
    assert not gold_weights(exposure, ~none, none, 9).any()
    assert not gold_weights(np.full(5, 9), none, none, 9).any()


def test_symmetric_polynomials_by_subsets() -> None:
    weight = np.array([0.5, 2.0, 3.0, 1.5])
    expected = [sum(np.prod(subset) for subset in combinations(weight, k)) for k in range(5)]
    assert np.exp(log_symmetric(weight)) == pytest.approx(expected)


def test_raters_of_equal_accuracy_make_it_fishers_exact_test() -> None:
    right = np.array([0, 1, 0, 0, 1, 1, 1, 1, 1, 0], dtype=np.bool_)
    late = np.arange(10) >= 5
    found = leak_test(right, np.full(10, 0.7), late)
    assert found.p_value == pytest.approx(hypergeom.sf(found.late_right - 1, 10, int(right.sum()), 5))
    assert found.expected == pytest.approx(right.sum() / 2)


def test_unequal_raters_by_enumeration() -> None:
    accuracy = np.array([0.5, 0.6, 0.9, 0.8, 0.95, 0.55])
    right, late = np.array([0, 1, 1, 1, 1, 0], dtype=np.bool_), np.array([0, 0, 0, 1, 1, 1], dtype=np.bool_)
    odds, total, above = accuracy / (1 - accuracy), 0.0, 0.0
    for subset in combinations(range(6), 4):
        mass = float(np.prod(odds[list(subset)]))
        total += mass
        above += mass if sum(late[list(subset)]) >= 2 else 0.0
    assert leak_test(right, accuracy, late).p_value == pytest.approx(above / total)


def test_the_test_keeps_its_level_however_easy_the_item() -> None:
    rng, alarms = np.random.default_rng(5), []
    for ease in (0.3, 1.0, 6.0):
        accuracy = rng.uniform(0.4, 0.95, (2000, 16))
        odds = ease * accuracy / (1 - accuracy)
        right = rng.random((2000, 16)) < odds / (1 + odds)
        late = np.arange(16) >= 8
        alarms.append(np.mean([leak_test(r, a, late).p_value <= 0.05 for r, a in zip(right, accuracy, strict=True)]))
    assert max(alarms) < 0.05 + 3 * (0.05 * 0.95 / 2000) ** 0.5


def test_looks_double_and_spend_at_most_the_level() -> None:
    spent = [look_level(answers, 0.01) for answers in range(1, 5000)]
    assert [i + 1 for i, s in enumerate(spent) if s] == [8, 16, 32, 64, 128, 256, 512, 1024, 2048, 4096]
    assert spent[7] == pytest.approx(0.005) and sum(spent) < 0.01


def test_a_leaked_item_is_found_and_an_easy_one_is_not() -> None:
    accuracy = np.full(32, 0.6)
    hard_then_known = np.r_[np.tile([True, False], 8), np.ones(16, dtype=np.bool_)]
    assert has_leaked(hard_then_known, accuracy)
    assert not has_leaked(np.ones(32, dtype=np.bool_), accuracy)
    assert not has_leaked(hard_then_known[:31], accuracy[:31])  # no look is due


def test_better_raters_late_are_no_leak() -> None:
    right = np.r_[np.tile([True, False], 8), np.ones(16, dtype=np.bool_)]
    assert not has_leaked(right, np.r_[np.full(16, 0.5), np.full(16, 0.97)])


def test_sizes_must_agree() -> None:
    with pytest.raises(UsageError, match="sizes differ"):
        leak_test(np.ones(3, dtype=np.bool_), np.ones(2), np.ones(3, dtype=np.bool_))
