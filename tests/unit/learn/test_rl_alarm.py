"""Each monitor at, below and over its limit; patience; reasons in words; divergence by hand."""

import json
from dataclasses import replace
from typing import Any

import pytest

from backstay.learn import PpoSettings
from backstay.learn.rl.alarm import Alarm, Monitored
from backstay.learn.rl.divergence import Probe

FIRST = Monitored(response_tokens=10.0, repetition=0.125, refusal=0.25, spread=0.5, novelty=0.0)
ON: dict[str, Any] = {
    "alarm_length": 2.0,
    "alarm_repetition": 0.25,
    "alarm_refusal": 0.5,
    "alarm_spread": 3.0,
    "alarm_novelty": 0.5,
    "alarm_divergence": 0.05,
}
OFF = dict.fromkeys(ON, 0.0)
LIMITS = [  # field of a round, its value exactly at the limit, the monitor, the reason just over it
    ("response_tokens", 20.0, "length", "responses are 2.0 times as long as in the first round (limit 2)"),
    ("repetition", 0.375, "repetition", "repeated 3-grams rose by 25% (limit 25%)"),
    ("refusal", 0.75, "refusal", "refusals rose by 50% (limit 50%)"),
    ("spread", 1.5, "spread", "members disagree 3.0 times as much as in the first round (limit 3)"),
    ("novelty", 0.5, "novelty", "50% of responses are unlike any of the reference's (limit 50%)"),
]


def with_number(field: str, value: float) -> Monitored:
    """The first round with another number."""
    return Monitored(**(vars(FIRST) | {field: value}))


def alarm(**changes: Any) -> Alarm:
    made = Alarm(PpoSettings(**({**ON, "alarm_patience": 1} | changes)))
    assert made.update(FIRST, None) == {}
    return made


@pytest.mark.parametrize(("field", "limit", "name", "reason"), LIMITS)
def test_a_monitor_is_over_above_its_limit_and_not_at_it(field: str, limit: float, name: str, reason: str) -> None:
    for factor, over in ((0.5, False), (0.999, False), (1.0, False), (1.001, True)):
        made = alarm()
        found = made.update(with_number(field, limit * factor), None)
        assert found == ({name: reason} if over else {})
        assert made.reasons(found) == ([reason] if over else [])


@pytest.mark.parametrize(("field", "limit", "name", "reason"), LIMITS)
def test_a_limit_of_0_is_off(field: str, limit: float, name: str, reason: str) -> None:
    assert alarm(**{f"alarm_{name}": 0.0}).update(with_number(field, 100 * limit), None) == {}
    assert reason


def test_what_was_nothing_at_the_start_has_no_multiple() -> None:
    made = Alarm(PpoSettings(**ON))
    made.update(replace(FIRST, spread=0.0), None)
    assert made.update(replace(FIRST, spread=9.0), None) == {}


def test_a_round_without_a_number_is_over_nothing() -> None:
    nan = float("nan")
    nothing = Monitored(nan, nan, nan, nan, nan)
    assert alarm().update(nothing, None) == {}


def test_a_multiplier_at_its_maximum_is_over_whatever_the_limits() -> None:
    found = alarm(**OFF).update(replace(FIRST, multiplier_pinned=True), None)
    assert found == {"multiplier": "the multiplier stands at its maximum: the cost threshold is out of reach"}


def test_a_reason_needs_rounds_in_a_row() -> None:
    made = alarm(alarm_patience=3)
    long, calm = replace(FIRST, response_tokens=30.0), FIRST
    counts = []
    for seen in (long, long, calm, long, long, long, long, calm):
        over = made.update(seen, None)
        assert set(over) == ({"length"} if seen is long else set())
        counts.append(len(made.reasons(over)))
    assert counts == [0, 0, 0, 0, 0, 1, 1, 0]


def test_monitors_have_their_own_patience_and_reasons_are_sorted_by_name() -> None:
    made = alarm(alarm_patience=2)
    made.update(replace(FIRST, spread=2.0), None)
    over = made.update(replace(FIRST, spread=2.0, response_tokens=30.0, novelty=1.0), None)
    assert sorted(over) == ["length", "novelty", "spread"]
    assert made.reasons(over) == ["members disagree 4.0 times as much as in the first round (limit 3)"]
    over = made.update(replace(FIRST, spread=2.0, response_tokens=30.0, novelty=1.0), None)
    assert [reason.split()[0] for reason in made.reasons(over)] == ["responses", "100%", "members"]


def probes(proxy: list[float], gold: list[float]) -> list[Probe]:
    return [Probe(p, g) for p, g in zip(proxy, gold, strict=True)]


def over_time(made: Alarm, proxy: list[float], gold: list[float]) -> list[bool]:
    return ["divergence" in made.update(FIRST, probe) for probe in probes(proxy, gold)]


def test_a_reward_that_rises_while_gold_falls_sets_it_off() -> None:
    rising = [float(i) for i in range(12)]
    hump = [0.0, 1.0, 2.0, 3.0, 4.0, 4.0, 4.0, 3.0, 2.0, 1.0, 0.0, -1.0]
    found = over_time(alarm(), rising, hump)
    # gold's last three against the three before: first not above at probe 8, (4+3+2)/3 against (3+4+4)/3
    assert found == [False] * 8 + [True] * 4
    assert over_time(alarm(), rising, rising) == [False] * 12
    assert over_time(alarm(), hump, hump) == [False] * 12
    assert over_time(alarm(alarm_divergence=0.0), rising, hump) == [False] * 12


def test_rounds_without_a_probe_change_no_verdict() -> None:
    made = alarm()
    for probe in probes([0.0, *[9.0] * 3, *[10.0] * 3], [0.0, *[2.0] * 3, *[1.0] * 3]):
        made.update(FIRST, probe)
    assert set(made.update(FIRST, None)) == {"divergence"}
    assert len(made.probes) == 7


def test_numbers_go_through_json_and_bring_everything_back() -> None:
    first, second = alarm(alarm_patience=3), Alarm(PpoSettings(**ON, alarm_patience=3))
    hump = probes([float(i) for i in range(9)], [1.0, 2.0, 3.0, 4.0, 3.0, 3.0, 2.0, 1.0, 0.0])
    for probe in hump[:7]:
        first.update(replace(FIRST, novelty=0.9), probe)
    second.restore(json.loads(json.dumps(first.numbers())))
    for probe in hump[7:]:
        one, two = (made.update(replace(FIRST, novelty=0.9), probe) for made in (first, second))
        assert one == two
        assert first.reasons(one) == second.reasons(two) != []
    fresh = Alarm(PpoSettings(**ON))
    fresh.restore(json.loads(json.dumps(Alarm(PpoSettings(**ON)).numbers())))
    assert fresh.first is None
