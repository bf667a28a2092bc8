"""Texts made to break or to stall the search for near duplicates."""

import tracemalloc

import pytest

from backstay.records import Message, Pair, Prompt
from backstay.screen.duplicates import find_duplicates, identical_answers
from backstay.screen.texts import PairTexts

pytestmark = pytest.mark.hostile


def row(name: str, request: str, a: str, b: str) -> PairTexts:
    prompt = Prompt.make((Message(role="user", content=request),), source="test")
    pair = Pair(id=name, prompt_id=prompt.id, a="a", b="b", p_a=0.9, weight=1.0)
    return PairTexts(pair, prompt, a, b, a, b)


def kinds(*rows: PairTexts) -> dict[str, str]:
    return {name: finding.kind for name, finding in find_duplicates(rows, 0.9).findings.items()}


def test_texts_of_a_megabyte_take_bounded_memory() -> None:
    """Pairs of their own hundred thousand words each; the words of one pair at a time are in memory."""
    rows = [row(f"p{k}", "q", "".join(f"w{k}x{n:05d} " for n in range(100_000)), "no") for k in range(4)]
    rows.append(row("p3-again", "q", "no", rows[3].a + "and one more"))
    tracemalloc.start()
    told = find_duplicates(rows, 0.9)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert {name: finding.kind for name, finding in told.findings.items()} == {"p3-again": "contradicts_duplicate"}
    assert peak < 200e6


def test_one_word_a_million_times_is_one_shingle() -> None:
    assert kinds(row("x", "q", "a " * 500_000, "no"), row("y", "q", "a " * 400_000, "no")) == {"y": "exact_duplicate"}


def test_invisible_signs_and_halves_of_letters_are_texts_like_others() -> None:
    odd = ("\x00", "\x00\x01", "\ud800", "\u200b\u200b", "\U0001f642", "")
    rows = [row(f"p{k}", "q", text, "no") for k, text in enumerate(odd)]
    assert kinds(*rows) == {}
    assert kinds(*rows, row("q0", "q", "\ud800", "no")) == {"q0": "exact_duplicate"}
    assert all(identical_answers(given, 0.9) == () for given in rows)


def test_a_text_cannot_pose_as_two_others() -> None:
    """The digest of a pair must not mistake where one text ends and the next begins."""
    assert kinds(row("x", "a", "b c", "d"), row("y", "a b", "c", "d")) == {}
    assert kinds(row("x", "1:a", "b", "d"), row("y", "1", "a b", "d")) == {}
    assert kinds(row("x", "q", "\x00", "\x00\x00"), row("y", "q", "\x00\x00", "\x00\x00")) == {}


def test_many_pairs_that_share_nearly_everything_end_soon() -> None:
    body = " ".join(f"w{k}" for k in range(40))
    rows = [row(f"p{k:05d}", "q", f"{body} n{k} m{k}", "no") for k in range(3000)]
    told = find_duplicates(rows, 0.9)
    assert len(told.findings) == 2999
    assert told.compared < 2 * 3000
