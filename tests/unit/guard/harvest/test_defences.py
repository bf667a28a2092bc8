import random
from itertools import combinations

from kept_traffic import AT_MS, row, thumb

from backstay.guard.harvest.defences import Bounds, asked_of, bursts, chosen, said_of, without_repeats
from backstay.guard.harvest.kept_exchange import KeptRow, Thumb
from backstay.screen.shingles import jaccard, shingles

LONG = "the quick brown fox jumps over the lazy dog while the cat looks on from the red garden wall at noon"
HOUR_MS = 3_600_000


def numbers(rows: list[KeptRow]) -> list[int]:
    return [int(one.kept.exchange[-12:]) for one in rows]


def test_what_repeats_in_question_and_answer_is_left_out() -> None:
    rows = [
        row(1, LONG, "an answer to it that is long enough to compare"),
        row(2, LONG + " today", "an answer to it that is long enough to compare"),
        row(3, LONG, "quite another answer, of other words altogether"),
        row(4, "something else is asked here by the same one", "an answer to it that is long enough to compare"),
        row(5, LONG, "an answer to it that is long enough to compare"),
    ]
    assert numbers(without_repeats(rows, 0.8)) == [1, 3, 4]


def test_a_thumb_is_not_lost_to_a_repetition() -> None:
    rows = [row(1, LONG, "yes"), row(2, LONG, "yes", scores={"alice": -1})]
    assert numbers(without_repeats(rows, 0.8)) == [2]
    two = [
        row(1, LONG, "yes", scores={"alice": 1}),
        row(2, LONG, "yes", scores={"bob": -1}, principal="bob"),
        row(3, LONG, "yes", scores={"alice": -1}),
    ]
    assert numbers(without_repeats(two, 0.8)) == [1, 2]


def test_of_those_that_are_left_no_two_are_alike() -> None:
    rng = random.Random(5)
    words = LONG.split()
    rows = []
    for number in range(60):
        text = list(words)
        for _ in range(rng.randint(0, 3)):
            text[rng.randrange(len(text))] = rng.choice(("one", "two", "three"))
        rows.append(row(number, " ".join(text), " ".join(text[::-1])))
    left = without_repeats(rows, 0.7)
    assert 1 < len(left) < 60
    for a, b in combinations(left, 2):
        assert min(jaccard(shingles(of(a)), shingles(of(b))) for of in (asked_of, said_of)) < 0.7


def test_one_principal_has_at_most_its_share() -> None:
    rows = [row(n, f"question {n} of its own words {n * n}", f"answer {n}") for n in range(20)]
    rows += [row(n, f"question {n} of its own words {n * n}", f"answer {n}", principal="bob") for n in range(20, 23)]
    found = chosen(rows, Bounds(per_principal=5))
    of_alice = [one for one in found.rows if one.kept.principal == "alice"]
    assert (len(of_alice), len(found.rows), found.over_cap, found.repeated) == (5, 8, 15, 0)
    assert numbers(list(found.rows)) == sorted(numbers(list(found.rows)))
    # What came last does not push out what came first: the choice among the same rows stays.
    assert chosen(rows[::-1], Bounds(per_principal=5)).rows[::-1] == found.rows


def brute_force(thumbs: list[Thumb], most: int) -> set[str]:
    found: set[str] = set()
    for start in thumbs:
        window = [
            one
            for one in thumbs
            if one.principal == start.principal and start.at_ms <= one.at_ms < start.at_ms + HOUR_MS
        ]
        if len(window) > most:
            found |= {one.id for one in window}
    return found


def test_bursts_are_those_of_every_window() -> None:
    rng = random.Random(3)
    for most in (1, 3, 6):
        thumbs = [
            thumb(n, 1, rng.choice(("alice", "bob")), at_ms=AT_MS + rng.randint(0, 20) * HOUR_MS // 4)
            for n in range(40)
        ]
        assert bursts(thumbs, most) == brute_force(thumbs, most)
    assert bursts([thumb(n, 1, f"p{n}") for n in range(30)], 3) == frozenset()
