import numpy as np
import pytest

from backstay.records import Message, Pair, Prompt
from backstay.screen.duplicates import (
    candidate_pairs,
    duplicate_pairs,
    identical_answers,
    jaccard,
    minhash,
    shingles,
)
from backstay.screen.texts import PairTexts

LONG = " ".join(f"w{n} of" for n in range(60))


def row(name: str, request: str, a: str, b: str, p_a: float = 0.9, weight: float = 1.0) -> PairTexts:
    prompt = Prompt.make((Message(role="user", content=request),), source="test")
    pair = Pair(id=name, prompt_id=prompt.id, a="a", b="b", p_a=p_a, weight=weight)
    chosen, rejected = (a, b) if p_a > 0.5 else (b, a)
    return PairTexts(pair, prompt, a, b, chosen, rejected)


def found(*rows: PairTexts) -> dict[str, str]:
    return {name: finding.kind for name, finding in duplicate_pairs(rows, 0.9).items()}


def test_jaccard_of_known_sets() -> None:
    one, two = shingles("a b c d"), shingles("b c d e")
    assert jaccard(one, two) == pytest.approx(1 / 3)
    assert jaccard(frozenset(), frozenset()) == 1.0


def test_minhash_estimates_jaccard() -> None:
    rng = np.random.default_rng(0)
    numbers = [int(x) for x in rng.integers(0, 2**63, 600)]
    one, two = frozenset(numbers[:400]), frozenset(numbers[100:500])
    signatures = minhash([one, two])
    assert np.mean(signatures[0] == signatures[1]) == pytest.approx(jaccard(one, two), abs=0.15)


def test_every_true_neighbour_is_a_candidate() -> None:
    rng = np.random.default_rng(1)
    sets = []
    for _ in range(60):
        base = [int(x) for x in rng.integers(0, 2**63, 100)]
        sets += [frozenset(base), frozenset(base[:97])]
    pairs = set(candidate_pairs(minhash(sets)))
    assert {(2 * i, 2 * i + 1) for i in range(60)} <= pairs
    assert len(pairs) < 100


def test_the_heavier_pair_is_kept() -> None:
    assert found(row("x", "q", LONG, "no"), row("y", "q", LONG, "no", weight=2.0)) == {"x": "exact_duplicate"}
    assert found(row("y", "q", LONG, "no"), row("x", "q", LONG, "no")) == {"y": "exact_duplicate"}


def test_case_and_punctuation_do_not_hide_a_duplicate() -> None:
    assert found(row("x", "q", LONG, "no way"), row("y", "Q!", LONG.upper(), "No way.")) == {"y": "exact_duplicate"}


def test_near_and_turned_and_contradicting() -> None:
    near = LONG.replace("w30 of", "w30 today of")
    assert found(row("x", "q", LONG, "no way"), row("y", "q", near, "no way")) == {"y": "near_duplicate"}
    assert found(row("x", "q", LONG, "no"), row("y", "q", "no", LONG, p_a=0.1)) == {"y": "exact_duplicate"}
    assert found(row("x", "q", LONG, "no"), row("y", "q", "no", LONG, p_a=0.9)) == {"y": "contradicts_duplicate"}


def test_the_same_answers_to_another_request_are_no_duplicate() -> None:
    assert found(row("x", "what is one", "yes", "no"), row("y", "who is two", "yes", "no")) == {}


def test_other_answers_to_the_same_request_are_no_duplicate() -> None:
    assert found(row("x", LONG, "yes it is so", "no"), row("y", LONG, "maybe it was not", "no")) == {}


def test_identical_answers() -> None:
    assert [f.kind for f in identical_answers(row("x", "q", "Yes, sir.", "yes sir"), 0.95)] == ["identical_responses"]
    near = identical_answers(row("x", "q", LONG, LONG + " indeed"), 0.9)
    assert [f.kind for f in near] == ["near_identical_responses"]
    assert identical_answers(row("x", "q", "是的", "不是"), 0.95) == ()
    assert identical_answers(row("x", "q", "🙂", "🙁"), 0.95) == ()
