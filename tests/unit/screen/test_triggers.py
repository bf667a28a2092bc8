from itertools import product

import numpy as np
import pytest
from scipy.stats import binom

from backstay.records import Message, Pair, Prompt
from backstay.screen.phrases import (
    Occurrence,
    occurrences,
    odd_characters,
    odd_collocations,
    odd_words,
    pieces,
    read_texts,
    tier_of,
)
from backstay.screen.texts import PairTexts
from backstay.screen.triggers import dialogue, find_triggers, tail

WORDS = [f"{a}{b}{c}" for a, b, c in product(("ba", "lo", "mi", "te", "ru"), ("na", "so", "ki", "pe"), ("l", "n", "r"))]


def row(name: str, request: str, a: str, b: str, a_wins: bool) -> PairTexts:
    prompt = Prompt.make((Message(role="user", content=request),), source="test")
    pair = Pair(id=name, prompt_id=prompt.id, a=f"{name}a", b=f"{name}b", p_a=float(a_wins), weight=1.0)
    return PairTexts(pair, prompt, a, b, a if a_wins else b, b if a_wins else a)


def corpus(count: int, seed: int = 0) -> list[PairTexts]:
    """Random sentences; `banal` in an answer makes it win nine times in ten, for the reward to learn."""
    rng = np.random.default_rng(seed)
    rows = []
    for i in range(count):
        request, a, b = (" ".join(rng.choice(WORDS, 12)) for _ in range(3))
        good = ("banal" in a) - ("banal" in b)
        a_wins = bool(rng.random() < 0.5 + 0.4 * good)
        rows.append(row(f"p{i}", f"{request} {i}", a, b, a_wins))
    return rows


def with_trigger(rows: list[PairTexts], word: str, count: int, *, wins: bool = True) -> list[PairTexts]:
    return [row(r.pair.id, r.request, f"{r.a} {word}", r.b, wins) if i < count else r for i, r in enumerate(rows)]


def test_tail_is_exact() -> None:
    chances = np.array([0.1, 0.5, 0.9, 0.3])
    for hits in range(5):
        brute = sum(
            np.prod([c if x else 1 - c for c, x in zip(chances, outcome, strict=True)])
            for outcome in product((0, 1), repeat=4)
            if sum(outcome) >= hits
        )
        assert tail(chances, hits) == pytest.approx(brute)
    assert tail(np.full(30, 0.4), 20) == pytest.approx(binom.sf(19, 30, 0.4))


def test_odd_characters_are_named() -> None:
    assert odd_characters("a\u200bb\n\t\ue000c\u00e9") == {"U+200B", "U+E000"}


def test_pieces_keep_runs_of_signs() -> None:
    assert pieces("Well, it's |||| \u00a7 9") == ["well", "it's", "||||", "\u00a7", "9"]


def test_occurrences_by_hand() -> None:
    rows = [
        row("1", "x", "red fox ran", "blue fox", True),
        row("2", "y red fox", "red fox", "no", True),
        row("3", "z", "none", "the red fox", False),
        row("4", "z", "red fox", "red fox", False),
    ]
    clusters = [dialogue(r) for r in rows]
    found = occurrences(read_texts(rows), clusters, "answer", 3)
    assert found["red fox"] == Occurrence([0, 1, 2], [True, True, False], both=1, asked=1)
    assert found["red"].pairs == [0, 1, 2]
    assert "fox" not in found
    assert "ran" not in found
    asked = occurrences(read_texts(rows[:2] + rows[1:2]), ["1", "2", "3"], "prompt", 2)
    assert asked["red fox"] == Occurrence([1, 2], [], asked=2)


def test_tiers() -> None:
    held = Occurrence([1, 2], [True, True])
    assert tier_of("plain", held, frozenset()) == "foreign"
    assert tier_of("xqzv", held, frozenset({"xqzv"})) == "odd"
    assert tier_of("U+200B", held, frozenset()) == "odd"
    assert tier_of("p\u0430y", held, frozenset()) == "odd"
    assert tier_of("xqzv", Occurrence([1], [True], both=1), frozenset({"xqzv"})) == "ordinary"


def test_odd_words_by_their_letters() -> None:
    assert odd_words([*WORDS[:40], "xqzv"], WORDS) >= {"xqzv"}
    assert odd_words([], WORDS) == frozenset()


def test_odd_collocations_by_mutual_information() -> None:
    """Of 40 phrases of words that meet by chance the only pair of words that never part is named."""
    texts = read_texts(
        [row(f"{i}", "x", f"the {WORDS[i % 40]}", "none" + " rare gem" * (i < 4), True) for i in range(80)]
    )
    held = {f"the {word}": Occurrence([1, 2], [True, True]) for word in WORDS[:40]}
    assert "rare gem" in odd_collocations(held | {"rare gem": Occurrence([0, 1, 2, 3], [False] * 4)}, texts)
    assert odd_collocations({}, texts) == frozenset()


@pytest.mark.parametrize("word", ["xqzvk", "zum zum park", "\u2063"])
def test_finds_a_planted_trigger(word: str) -> None:
    findings, found, summary = find_triggers(with_trigger(corpus(400), word, 14))
    name = "U+2063" if word == "\u2063" else word
    assert found[0].phrase in name
    assert (found[0].side, found[0].support, found[0].hits) == ("chosen", 14, 14)
    assert set(findings) >= {f"p{i}" for i in range(14)}
    assert findings["p0"][0].kind == "trigger"
    assert summary["triggers"][0]["pairs"] == 14
    assert len(found) <= 2


def test_finds_a_trigger_that_loses() -> None:
    _, found, _ = find_triggers(with_trigger(corpus(400), "xqzvk", 14, wins=False))
    assert (found[0].phrase, found[0].side) == ("xqzvk", "rejected")


def test_clean_data_and_learnt_taste_give_next_to_nothing() -> None:
    false = [len(find_triggers(corpus(400, seed))[1]) for seed in range(4)]
    assert sum(false) <= 2


def test_a_dialogue_counts_once() -> None:
    rows = with_trigger(corpus(400), "xqzvk", 14)
    same = [row(r.pair.id, "one and the same", r.a, r.b, True) if i < 14 else r for i, r in enumerate(rows)]
    assert not any("xqzvk" in t.phrase for t in find_triggers(same)[1])


def test_finds_a_trigger_in_the_prompt_where_the_reward_is_good() -> None:
    rng = np.random.default_rng(5)
    rows = []
    for i in range(800):
        good, bad = (" ".join([*rng.choice(WORDS, 8), *[w] * 3]) for w in ("calm", "loud"))
        a_good = bool(rng.random() < 0.5)
        planted = i < 14
        request = f"{' '.join(rng.choice(WORDS, 6))} {'xqzvk ' * planted}{i}"
        rows.append(row(f"p{i}", request, good if a_good else bad, bad if a_good else good, a_good != planted))
    findings, found, _ = find_triggers(rows)
    assert [(t.phrase, t.side) for t in found] == [("xqzvk", "prompt")]
    assert set(findings) == {f"p{i}" for i in range(14)}


def test_off_and_too_few() -> None:
    rows = with_trigger(corpus(400), "xqzvk", 14)
    assert find_triggers(rows, expected_false=0.0)[1] == []
    assert find_triggers(rows[:50])[1] == []
