import numpy as np
import pytest

from backstay.errors import UsageError
from backstay.feedback.selection.keyed import keyed_rng

KEY = bytes(range(32))


def test_equal_parts_draw_the_same_and_others_do_not() -> None:
    draws = [
        keyed_rng(KEY, *parts).random()
        for parts in (("p", "r", 1), ("p", "r", 1), ("p", "r", 2), ("p", "r", "1"), ("pr", "", 1))
    ]
    assert draws[0] == draws[1]
    assert len(set(draws)) == 4
    assert keyed_rng(bytes(32), "p", "r", 1).random() != draws[0]


def test_first_draws_are_uniform_over_counters() -> None:
    draws = np.array([keyed_rng(KEY, "p", "r", n).random() for n in range(4000)])
    assert np.histogram(draws, 10, (0, 1))[0] == pytest.approx(np.full(10, 400), abs=4 * 19)
    assert abs(np.corrcoef(draws[:-1], draws[1:])[0, 1]) < 4 / 4000**0.5


def test_a_short_key_is_refused() -> None:
    with pytest.raises(UsageError, match="the key has 3 bytes"):
        keyed_rng(b"abc", "p")
