from datetime import UTC, datetime, timedelta
from itertools import combinations

import numpy as np
import pytest

from backstay.records import Choice, Judgment, Message, Pair, Prompt
from backstay.screen.shifts import find_shifts, permutation_p
from backstay.screen.texts import PairTexts

START = datetime(2026, 1, 5, tzinfo=UTC)


def row(number: int, source: str, words: int = 10, *, sided: bool = True) -> PairTexts:
    prompt = Prompt.make((Message(role="user", content=f"q{number}"),), source=source)
    pair = Pair(id=f"pair-{number}", prompt_id=prompt.id, a="a", b="b", p_a=0.9 if sided else 0.5, weight=1.0)
    a, b = "w " * words, "w " * 10
    return PairTexts(pair, prompt, a, b, a if sided else None, b if sided else None)


def judged(number: int) -> list[Judgment]:
    stamp = (START + timedelta(minutes=number)).isoformat()
    choice = Choice.prefer(0, 1)
    return [Judgment(id=f"j{number}", task_id="t", rater_id="r", order_shown=(0, 1), choice=choice, created_at=stamp)]


def test_the_p_value_is_that_of_all_dealings() -> None:
    value = np.array([5.0, 4.0, 6.0, 1.0, 2.0, 0.0, 1.5])
    parts = [np.array([0, 1, 2]), np.array([3, 4, 5, 6])]

    def spread(some: tuple[int, ...]) -> float:
        chosen = np.isin(np.arange(7), some)
        few, many = (float(value[part].mean() - value.mean()) for part in (chosen, ~chosen))
        return 3 * few**2 + 4 * many**2

    dealings = [spread(some) for some in combinations(range(7), 3)]
    exact = np.mean([other >= spread((0, 1, 2)) - 1e-12 for other in dealings])
    assert permutation_p(value, parts, np.random.default_rng(0)) == pytest.approx(exact, abs=0.015)


def test_a_source_with_longer_answers_and_fewer_sides_is_named_with_its_means() -> None:
    rng = np.random.default_rng(1)
    rows = [row(k, "near", int(rng.integers(8, 13))) for k in range(60)]
    rows += [row(100 + k, "far", int(rng.integers(18, 23)), sided=k % 2 == 0) for k in range(40)]
    told = find_shifts(rows, [False] * 100, [[] for _ in rows])
    assert told["tests"] == 5
    found = {shift["measure"]: shift for shift in told["found"]}
    assert set(found) == {"answer_words", "chosen_words", "no_side"}
    parts = {part["part"]: part for part in found["no_side"]["parts"]}
    assert (parts["far"]["mean"], parts["near"]["mean"], parts["far"]["prompts"]) == (0.5, 0.0, 40)
    assert parts["far"]["low"] < 0.5 < parts["far"]["high"]


def test_what_is_set_aside_late_is_found_in_time() -> None:
    rows = [row(k, "one") for k in range(180)]
    told = find_shifts(rows, [k >= 150 for k in range(180)], [judged(k) for k in range(180)])
    (shift,) = told["found"]
    assert (shift["by"], shift["measure"]) == ("time", "quarantined")
    assert [part["mean"] for part in shift["parts"]] == [0.0] * 5 + [1.0]
    assert shift["parts"][5]["part"] == "6 of 6, from 2026-01-05 02:30"


def test_a_prompt_of_many_pairs_counts_once() -> None:
    many = [row(0, "far", 40) for _ in range(300)]
    rows = many + [row(k, "near") for k in range(1, 60)] + [row(100 + k, "far") for k in range(59)]
    assert find_shifts(rows, [False] * len(rows), [[] for _ in rows])["found"] == []


def test_chance_is_seldom_a_shift() -> None:
    rng = np.random.default_rng(2)
    wrong = 0
    for _ in range(20):
        rows = [row(k, "near" if k % 2 else "far", int(rng.integers(5, 15))) for k in range(80)]
        aside = (rng.random(80) < 0.1).tolist()
        wrong += bool(find_shifts(rows, aside, [[] for _ in rows])["found"])
    assert wrong <= 3


def test_too_few_prompts_are_not_compared() -> None:
    rows = [row(k, f"s{k % 3}") for k in range(40)]
    assert find_shifts(rows, [False] * 40, [[] for _ in rows]) == {"tests": 0, "prompts": 40, "found": []}
    assert find_shifts([], [], [])["found"] == []
