import numpy as np
import pytest
from scipy.stats import binomtest

from backstay.feedback.selection.repeats import repeat_weights, self_consistency, wilson


def test_repeats_come_after_the_lag_and_once() -> None:
    ago, repeated = np.array([1, 20, 25, 40]), np.array([False, False, True, False])
    assert repeat_weights(ago, repeated, 20).tolist() == [0, 0.5, 0, 0.5]
    assert not repeat_weights(ago, repeated, 41).any()
    assert repeat_weights(np.zeros(0, dtype=np.int64), np.zeros(0, dtype=np.bool_), 5).size == 0


@pytest.mark.parametrize(("count", "of"), [(0, 7), (3, 9), (50, 60), (5, 5)])
def test_the_interval_is_wilsons(count: int, of: int) -> None:
    oracle = binomtest(count, of).proportion_ci(method="wilson")
    found = wilson(count, of)
    assert (found.low, found.high) == pytest.approx((oracle.low, oracle.high), abs=1e-9)


def test_self_consistency_counts_equal_answers() -> None:
    found = self_consistency(np.array([0, 1, 2, 0]), np.array([0, 1, 0, 0]))
    assert found.share == 0.75 and found.of == 4
    nothing = wilson(0, 0)
    assert (nothing.low, nothing.high) == (0.0, 1.0)
