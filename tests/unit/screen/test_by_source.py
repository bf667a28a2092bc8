from collections.abc import Sequence
from math import comb

import numpy as np
import pytest

from backstay.records import Choice, Finding, Judgment, Pair
from backstay.screen.by_source import (
    Membership,
    answered_by,
    design_effect,
    judged_by,
    quarantine_rates,
    shrunk,
    upper_tail,
)

BAD = Finding(scanner="duplicates", kind="near_duplicate", severity="low")


def pair(number: int, *, aside: bool, prompt: str = "", a: str = "a", b: str = "b") -> Pair:
    return Pair(
        id=f"pair-{number}",
        prompt_id=prompt or f"prompt-{number}",
        a=a,
        b=b,
        p_a=0.9,
        weight=1.0,
        status="quarantined" if aside else "accepted",
        findings=(BAD,) if aside else (),
    )


def judgment(rater: str, number: int) -> Judgment:
    return Judgment(
        id=f"j-{rater}-{number}",
        task_id="t",
        rater_id=rater,
        order_shown=(0, 1),
        choice=Choice.prefer(0, 1),
        created_at="2026-01-05T08:00:00.000Z",
    )


def rates(hits: dict[str, tuple[int, int]]) -> list[dict[str, object]]:
    """Members with (quarantined, pairs), every pair of its own prompt."""
    pairs: list[Pair] = []
    who: list[str] = []
    for name, (some, every) in hits.items():
        who += [name] * every
        pairs += [pair(len(pairs) + k, aside=k < some) for k in range(every)]
    return quarantine_rates(pairs, Membership(who, range(len(pairs))))


def fisher(k: int, n: int, hits: int, every: int) -> float:
    return sum(comb(hits, x) * comb(every - hits, n - x) for x in range(k, min(n, hits) + 1)) / comb(every, n)


def test_the_chance_is_fishers() -> None:
    k, n = np.array([6.0, 1.0, 0.0]), np.array([40.0, 60.0, 20.0])
    assert upper_tail(k, n) == pytest.approx([fisher(6, 40, 7, 120), fisher(1, 60, 7, 120), 1.0])


def test_a_rater_behind_many_quarantined_pairs_stands_out_and_leads() -> None:
    found = rates({"many": (30, 100), **{f"r{k}": (3, 100) for k in range(9)}})
    first = found[0]
    assert (first["name"], first["pairs"], first["quarantined"], first["stands_out"]) == ("many", 100, 30, True)
    assert first["expected"] == pytest.approx(100 * 57 / 1000)
    assert first["p_corrected"] == pytest.approx(10 * fisher(30, 100, 57, 1000))
    assert first["by_reason"] == {"duplicates/near_duplicate": 30}
    assert not any(row["stands_out"] for row in found[1:])


def test_three_judgments_do_not_lead_the_list() -> None:
    found = rates({"few": (3, 3), "many": (30, 100), **{f"r{k}": (3, 100) for k in range(9)}})
    assert found[0]["name"] == "many"


def test_one_hit_against_none_is_nothing() -> None:
    found = rates({"one": (1, 50), "none": (0, 50)})
    assert not any(row["stands_out"] for row in found)
    assert found[0]["p_value"] == pytest.approx(0.5)


def test_alone_there_is_nothing_to_compare_with() -> None:
    (row,) = rates({"all": (5, 50)})
    assert (row["expected"], row["p_value"], row["stands_out"]) == (None, None, False)
    assert quarantine_rates([], Membership([], [])) == []


def test_chance_names_nobody_most_of_the_time() -> None:
    rng = np.random.default_rng(5)
    named = 0
    for _ in range(60):
        found = rates({f"r{k}": (int(rng.binomial(60, 0.05)), 60) for k in range(12)})
        named += any(row["stands_out"] for row in found)
    assert named <= 6


def test_the_design_effect_is_the_number_of_equal_copies() -> None:
    hit = np.array([1.0, 0.0, 0.0, 1.0, 0.0, 0.0])
    assert design_effect(hit, np.arange(6)) == 1.0
    assert design_effect(np.repeat(hit, 4), np.repeat(np.arange(6), 4)) == pytest.approx(4.0)
    assert design_effect(np.zeros(3), np.arange(3)) == 1.0


def test_one_bad_prompt_of_many_pairs_accuses_nobody() -> None:
    pairs = [pair(k, aside=True, prompt="bad") for k in range(12)] + [pair(100 + k, aside=False) for k in range(188)]
    found = quarantine_rates(pairs, Membership(["x"] * 40 + ["y"] * 160, range(200)))
    assert not any(row["stands_out"] for row in found)


def test_equal_rates_are_drawn_together_and_different_ones_are_left_apart() -> None:
    n = np.full(8, 500.0)
    rate, low, high = shrunk(n * np.array([0.04, 0.06, 0.05, 0.05, 0.05, 0.05, 0.04, 0.06]), n)
    assert np.ptp(rate) < 0.003
    assert np.all((low < rate) & (rate < high))
    apart, _, _ = shrunk(n * np.array([0.4, 0.05, 0.05, 0.05, 0.05, 0.05, 0.05, 0.05]), n)
    assert apart[0] == pytest.approx(0.4, abs=0.02)


def members(found: Membership) -> list[tuple[str, int]]:
    return list(zip(found.who, found.pair, strict=True))


def test_who_judged_and_who_answered() -> None:
    given: Sequence[Sequence[Judgment]] = [[judgment("x", 0), judgment("x", 1), judgment("y", 0)], []]
    assert members(judged_by(given)) == [("x", 0), ("y", 0)]
    pairs = [pair(0, aside=False, a="r1", b="r2"), pair(1, aside=False, a="r1", b="r3")]
    assert members(answered_by(pairs, {"r1": "m", "r2": "m", "r3": "n"})) == [("m", 0), ("m", 1), ("n", 1)]
