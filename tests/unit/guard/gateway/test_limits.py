"""Rates, budgets and numbers at the same time."""

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backstay.guard.gateway.faults import ApiFault
from backstay.guard.gateway.keys import Budget, Principal, VirtualKey
from backstay.guard.gateway.limits import Limits, Rate
from backstay.policy import Limit


class Clock:
    def __init__(self) -> None:
        self.now_s = 1000.0

    def __call__(self) -> float:
        return self.now_s


def principal(**facts: object) -> Principal:
    key = VirtualKey.model_validate({"id": "agent", "token": "sha256:" + "0" * 64, **facts})
    return Principal(key.id, key=key)


@given(st.integers(1, 600), st.lists(st.floats(0, 30), min_size=1, max_size=200))
def test_never_more_than_the_rate_and_its_burst(per_minute: int, gaps: list[float]) -> None:
    rate, now, passed = Rate(per_minute), 0.0, []
    for gap in gaps:
        now += gap
        if rate.wait_s(now) == 0:
            passed.append(now)
    burst = max(1.0, per_minute / 10)
    for first in range(len(passed)):
        for last in range(first, len(passed)):
            most = (passed[last] - passed[first]) * per_minute / 60 + burst
            assert last - first + 1 <= most + 1 + 1e-6


def test_the_wait_that_is_told_is_enough() -> None:
    rate = Rate(6)
    assert rate.wait_s(0.0) == 0
    wait = rate.wait_s(0.0)
    assert wait == pytest.approx(10.0)
    assert rate.wait_s(wait - 0.01) > 0 and rate.wait_s(wait + 1e-6) == 0


def test_a_budget_is_a_sliding_window() -> None:
    clock = Clock()
    limits = Limits(10, clock, clock)
    who = principal(budget=Budget(tokens=100, within_s=3600))
    with limits.admitted(who):
        limits.spend(who, 100)
    with pytest.raises(ApiFault, match="100 tokens"), limits.admitted(who):
        pass
    clock.now_s += 3600 * 66 / 64
    with limits.admitted(who):
        pass


def test_at_the_same_time() -> None:
    limits = Limits(3)
    one, other = principal(concurrent=2), Principal("other")
    with contextlib.ExitStack() as stack:
        stack.enter_context(limits.admitted(one))
        stack.enter_context(limits.admitted(one))
        with pytest.raises(ApiFault, match="2 requests running"):
            stack.enter_context(limits.admitted(one))
        stack.enter_context(limits.admitted(other))
        with pytest.raises(ApiFault, match="3 requests run"):
            stack.enter_context(limits.admitted(other))
        assert limits.in_flight == 3
    assert limits.in_flight == 0
    with limits.admitted(one):
        pass


def test_limits_of_rules_are_kept_apart() -> None:
    clock = Clock()
    limits = Limits(10, clock, clock)
    limit, who = Limit(at_most=2, within_s=60), Principal("agent")
    assert [limits.within(who, "mail", limit) for _ in range(3)] == [True, True, False]
    assert limits.within(who, "pay", limit) and limits.within(Principal("b"), "mail", limit)
    clock.now_s += 62
    assert limits.within(who, "mail", limit)
