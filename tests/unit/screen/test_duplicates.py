from dataclasses import replace

import numpy as np
import pytest

from backstay.records import Message, Pair, Prompt
from backstay.screen import duplicates, near_pairs
from backstay.screen.duplicates import duplicate_pairs, find_duplicates, identical_answers
from backstay.screen.shingles import words
from backstay.screen.texts import PairTexts

LONG = " ".join(f"w{n} of" for n in range(60))


def row(name: str, request: str, a: str, b: str, p_a: float = 0.9, weight: float = 1.0) -> PairTexts:
    prompt = Prompt.make((Message(role="user", content=request),), source="test")
    pair = Pair(id=name, prompt_id=prompt.id, a="a", b="b", p_a=p_a, weight=weight)
    chosen, rejected = (a, b) if p_a > 0.5 else (b, a)
    return PairTexts(pair, prompt, a, b, chosen, rejected)


def found(*rows: PairTexts) -> dict[str, str]:
    return {name: finding.kind for name, finding in duplicate_pairs(rows, 0.9).items()}


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


def test_a_dimension_is_a_question_of_its_own() -> None:
    safe = row("y", "q", LONG, "no")
    safe = replace(safe, pair=safe.pair.model_copy(update={"dimension": "harmless"}))
    assert found(row("x", "q", LONG, "no"), safe) == {}


def triples(text: str) -> set[str]:
    tokens = words(text)
    return {" ".join(tokens[i : i + 3]) for i in range(max(1, len(tokens) - 2))} if tokens else set()


def alike(first: str, second: str) -> float:
    one, two = triples(first), triples(second)
    return len(one & two) / len(one | two) if one | two else 1.0


def brute_force(rows: list[PairTexts], threshold: float) -> dict[str, str]:
    """Every pair against every better one that is kept itself, in plain sets of joined words."""
    repeats: dict[str, str] = {}
    order = sorted(rows, key=lambda given: (-given.pair.weight, given.pair.id))
    for place, later in enumerate(order):
        for kept in order[:place]:
            both = len(triples(kept.a) | triples(kept.b) | triples(later.a) | triples(later.b))
            shared = len((triples(kept.a) | triples(kept.b)) & (triples(later.a) | triples(later.b)))
            ways = ((later.a, later.b), (later.b, later.a))
            if (
                kept.pair.id not in repeats
                and alike(kept.request, later.request) >= threshold
                and (shared / both if both else 1.0) >= threshold
                and max(min(alike(kept.a, a), alike(kept.b, b)) for a, b in ways) >= threshold
            ):
                repeats[later.pair.id] = kept.pair.id
                break
    return repeats


def edited(text: str, rng: np.random.Generator, share: float) -> str:
    return " ".join(f"n{rng.integers(9)}" if rng.random() < share else word for word in text.split())


def crowd(rng: np.random.Generator, size: int) -> list[PairTexts]:
    """Pairs of few words, of which many are edited, swapped or exact copies of earlier ones."""
    rows: list[PairTexts] = []
    for k in range(size):
        request, a, b = (" ".join(f"w{x}" for x in rng.integers(30, size=n)) for n in (6, 40, 30))
        if rows and rng.random() < 0.7:
            source = rows[int(rng.integers(len(rows)))]
            request, a, b = source.request, edited(source.a, rng, 0.02), edited(source.b, rng, rng.choice([0.0, 0.02]))
            a, b = (b, a) if rng.random() < 0.5 else (a, b)
        rows.append(row(f"pair-{k:03d}", request, a, b, weight=float(rng.integers(1, 3))))
    return rows


@pytest.mark.parametrize("threshold", [0.5, 0.8, 0.9, 1.0])
def test_the_findings_are_those_of_brute_force(threshold: float) -> None:
    rng = np.random.default_rng(8)
    for _ in range(25):
        rows = crowd(rng, 24)
        said = {
            name: finding.evidence.split()[1].rstrip(":") for name, finding in duplicate_pairs(rows, threshold).items()
        }
        assert said == brute_force(rows, threshold)


def test_equal_pairs_are_compared_with_nobody() -> None:
    rows = [row(f"pair-{k:05d}", "q", LONG, "no") for k in range(3000)]
    told = find_duplicates(rows, 0.9)
    assert len(told.findings) == 2999
    assert (told.compared, told.left_out) == (0, 0)
    assert {finding.evidence for finding in told.findings.values()} == {"repeats pair-00000: Jaccard 1.00"}


def test_common_answers_to_different_requests_are_hardly_compared() -> None:
    rows = [
        row(f"pair-{k:05d}", f"tell{k} me{k} more{k} of{k} it{k}", "yes it is so", "no it is not") for k in range(800)
    ]
    told = find_duplicates(rows, 0.9)
    assert (told.findings, told.left_out) == ({}, 0)
    assert told.compared < 10


def test_a_template_cannot_make_the_work_grow_faster_than_the_rows(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every pair shares most bands with every other, and none is a duplicate."""
    monkeypatch.setattr(near_pairs, "SPARE", 0)
    rows = [row(f"pair-{k:05d}", f"what is thing {k} of them all", "yes it is so", "no it is not") for k in range(600)]
    told = find_duplicates(rows, 0.9)
    assert told.findings == {}
    assert told.compared <= near_pairs.COMPARED * 600
    assert told.left_out > 0


def test_chunks_do_not_change_the_findings(monkeypatch: pytest.MonkeyPatch) -> None:
    rows = crowd(np.random.default_rng(3), 60)
    whole = duplicate_pairs(rows, 0.9)
    monkeypatch.setattr(duplicates, "CHUNK_ROWS", 7)
    monkeypatch.setattr(duplicates, "CHUNK_SIGNS", 900)
    monkeypatch.setattr(duplicates, "KEPT_SIGNS", 500)
    assert duplicate_pairs(rows, 0.9) == whole


def test_no_rows_no_findings() -> None:
    assert duplicate_pairs([], 0.9) == {}
    assert found(row("x", "", "", ""), row("y", "", "", "")) == {"y": "exact_duplicate"}
