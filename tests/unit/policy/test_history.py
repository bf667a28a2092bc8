import random

import pytest
from policy_texts import bundle, call, rule

from backstay.errors import ResourceError
from backstay.policy import Histories, SessionHistory, WindowedCounter, counted_values
from backstay.policy.rules import Counter


class Clock:
    def __init__(self) -> None:
        self.now_s = 1000.0

    def __call__(self) -> float:
        return self.now_s


def test_a_window_counts_at_least_its_length_and_at_most_a_64th_more() -> None:
    rng = random.Random(5)
    window, events, now_s = WindowedCounter(100.0), [], 0.0
    for _ in range(3000):
        now_s += rng.expovariate(1)
        amount = float(rng.randrange(10))
        window.add(amount, now_s)
        events.append((now_s, amount))
        held = window.value(now_s)
        assert held is not None
        assert sum(a for t, a in events if t > now_s - 100) <= held + 1e-9
        assert held <= sum(a for t, a in events if t >= now_s - 100 * 65 / 64) + 1e-9
    assert len(window._buckets) <= 66


def test_without_a_window_everything_counts_in_one_number() -> None:
    window = WindowedCounter(None)
    for second in range(10_000):
        window.add(1, float(second))
    assert window.value(1e9) == 10_000
    assert len(window._buckets) == 1


def test_a_clock_that_jumps_back_never_shrinks_what_was_counted() -> None:
    window = WindowedCounter(60.0)
    window.add(5, 1000.0)
    assert window.value(0.0) == 5
    window.add(2, -1e6)
    assert window.value(1000.0) == 7
    assert window.value(1059.0) == 7
    assert window.value(1062.0) == 0


@pytest.mark.parametrize("value", ["40", None, float("nan"), float("inf"), True, [1], 10**400])
def test_what_is_no_number_makes_a_sum_unknown_for_its_window(value: object) -> None:
    window = WindowedCounter(60.0)
    window.add(1, 0.0)
    window.add(value, 0.0)
    assert window.value(59.0) is None
    window.add(3, 61.0)
    assert window.value(62.0) == 3


def test_negative_values_take_nothing_away() -> None:
    window = WindowedCounter(60.0)
    for value in (50, -1000):
        window.add(value, 0.0)
    assert window.value(0.0) == 50


def test_a_session_counts_what_matches_and_a_rule_reads_it() -> None:
    head = {
        "counters": {
            "paid": {"sum": "args.order.amount", "tool": "pay", "within_s": 60},
            "reads": {"count": True, "tool": "read_*"},
        }
    }
    policy = bundle([rule("open", "permit"), rule("cap", "forbid", "counter.paid > 50.0 || counter.reads > 1")], **head)
    clock = Clock()
    session = SessionHistory(policy.counters, clock)
    session.record("model.tool_call", "call", "pay", {"order": {"amount": 30}})
    session.record("model.tool_call", "call", "other", {"order": {"amount": 30}})
    session.record("tool.result", "call", "pay", {"order": {"amount": 30}})
    assert session.values() == {"paid": 30.0, "reads": 0}
    assert policy.decide(call(counters=session.values())).effect == "allow"
    session.record("model.tool_call", "call", "pay", {"order": {"amount": 30}})
    assert policy.decide(call(counters=session.values())).effect == "deny"
    clock.now_s += 62
    assert policy.decide(call(counters=session.values())).effect == "allow"
    for name in ("read_a", "read_b"):
        session.record("model.tool_call", "call", name, {})
    assert policy.decide(call(counters=session.values())).effect == "deny"
    session.record("model.tool_call", "call", "pay", {"order": "much"})
    assert session.values()["paid"] is None


def test_sessions_are_bounded_and_none_that_counts_is_forgotten() -> None:
    clock = Clock()
    histories = Histories({"n": Counter(count=True, within_s=10.0)}, clock, max_sessions=3)
    for name in "abc":
        histories.of(name).record("model.tool_call", "", "", {})
    with pytest.raises(ResourceError, match="3 sessions are counted"):
        histories.of("d")
    assert histories.of("a").values() == {"n": 1}
    clock.now_s += 11
    histories.of("d").record("model.tool_call", "", "", {})
    assert histories.of("d").values() == {"n": 1}
    assert len(histories._sessions) == 3


def test_what_was_counted_can_be_counted_again_at_its_time() -> None:
    counters = {"n": Counter(count=True, tool=("pay",), within_s=64.0), "sum": Counter(sum="args.a.b", within_s=None)}
    assert counted_values(counters, "model.tool_call", "call", "read", {"a": {"b": 7}}) == {"sum": 7}
    assert counted_values(counters, "tool.result", "call", "pay", {}) == {}
    past = counted_values(counters, "model.tool_call", "call", "pay", {"a": {"b": 5}})
    assert past == {"n": 1, "sum": 5}
    clock = Clock()
    clock.now_s = 100.0
    session = SessionHistory(counters, clock)
    session.restore({**past, "gone": 1}, 30.0)
    session.restore(past, 90.0)
    assert session.values() == {"n": 1, "sum": 10.0}
    session.restore({"sum": None}, 95.0)
    assert session.values() == {"n": 1, "sum": None}
