from hypothesis import given
from hypothesis import strategies as st

from backstay.web.accounts import rate_limits
from backstay.web.accounts.rate_limits import Buckets


def test_a_burst_then_as_many_as_flow_in() -> None:
    now = [0.0]
    buckets = Buckets(2.0, 3, lambda: now[0])
    assert [buckets.take("a") for _ in range(4)] == [0, 0, 0, 1]
    assert buckets.take("b") == 0
    now[0] = 0.5
    assert [buckets.take("a") for _ in range(2)] == [0, 1]


def test_a_wait_that_was_told_is_enough() -> None:
    now = [0.0]
    buckets = Buckets(0.1, 1, lambda: now[0])
    assert buckets.take("a") == 0
    wait_s = buckets.take("a")
    assert wait_s == 10
    now[0] += wait_s
    assert buckets.take("a") == 0


@given(st.lists(st.floats(0, 5), max_size=60))
def test_never_more_than_burst_and_flow(gaps: list[float]) -> None:
    now = [0.0]
    buckets = Buckets(3.0, 5, lambda: now[0])
    let_through = 0
    for gap in gaps:
        now[0] += gap
        let_through += buckets.take("a") == 0
    assert let_through <= 5 + 3.0 * now[0] + 1e-6


def test_memory_is_bounded() -> None:
    buckets = Buckets(1.0, 1)
    for number in range(rate_limits.MAX_TRACKED + 10):
        buckets.take(str(number))
    assert len(buckets._left) == rate_limits.MAX_TRACKED
