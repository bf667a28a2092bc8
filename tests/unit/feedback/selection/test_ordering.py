from collections import Counter

import numpy as np
import pytest

from backstay.errors import UsageError
from backstay.feedback.selection.ordering import BLOCK, order_shown, position_bias

KEY = bytes(range(32))


@pytest.mark.parametrize("size", [2, 3, 5])
def test_each_block_of_a_rater_is_balanced(size: int) -> None:
    orders = [order_shown(KEY, "p", "r", f"item{n}", n, size) for n in range(4 * BLOCK * size)]
    assert all(sorted(order) == list(range(size)) for order in orders)
    for block in range(4):
        part = orders[block * BLOCK * size : (block + 1) * BLOCK * size]
        assert set(Counter(order.index(0) for order in part).values()) == {BLOCK}


def test_every_order_comes_equally_often_over_raters() -> None:
    counts = Counter(order_shown(KEY, "p", f"r{n}", "item", 0, 3) for n in range(3000))
    assert len(counts) == 6
    assert max(abs(count - 500) for count in counts.values()) < 4 * 21  # four standard deviations


def test_the_same_assignment_shows_the_same_order() -> None:
    assert order_shown(KEY, "p", "r", "i", 7, 4) == order_shown(KEY, "p", "r", "i", 7, 4)


def test_a_lean_to_the_first_place_shows_and_its_absence_does_not() -> None:
    leaning = position_bias(np.r_[np.zeros(80, dtype=np.int64), np.ones(20, dtype=np.int64)], 2)
    assert leaning.low > 0.5
    even = position_bias(np.r_[np.zeros(52, dtype=np.int64), np.ones(48, dtype=np.int64)], 2)
    assert even.low < 0.5 < even.high


def test_what_cannot_be_is_refused() -> None:
    with pytest.raises(UsageError, match="size is 1"):
        order_shown(KEY, "p", "r", "i", 0, 1)
    with pytest.raises(UsageError, match="a place of 2"):
        position_bias(np.array([0, 2]), 2)
