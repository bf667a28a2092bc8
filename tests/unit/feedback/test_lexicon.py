"""Word matching, and the repeated share against a count by hand."""

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backstay.feedback.lexicon import hits, matches, normalise, repeated_share, without, words


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Don\u2019t  STOP!", ["don't", "stop"]),
        ("0.9 is bigger", ["0", "9", "is", "bigger"]),
        ("Un caf\u00e9, por favor", ["un", "cafe", "por", "favor"]),
        ("three-second memory", ["three", "second", "memory"]),
        ("", []),
    ],
)
def test_words(text: str, expected: list[str]) -> None:
    assert words(text) == expected


@pytest.mark.parametrize(
    ("phrase", "text", "expected"),
    [
        ("oil", "Use oil.", True),
        ("oil", "Use oils.", True),
        ("oil", "Too oily.", False),
        ("minute", "six minutes", True),
        ("associat", "by association", True),
        ("around the sun", "It goes around the Sun.", True),
        ("around the sun", "around the red sun", False),
        ("no link", "there is no linkage", True),
        ("0.90", "that is 0.90", True),
        ("heart", "sweetheart", False),
    ],
)
def test_matches_whole_words_and_stems(phrase: str, text: str, expected: bool) -> None:
    assert matches(phrase, words(text)) is expected


def test_hits_and_without() -> None:
    text = words("The sun orbits the earth, yes the sun orbits the earth.")
    assert hits(["sun orbits", "moon"], text) == ["sun orbits"]
    assert without(["sun orbits the earth"], text) == ["the", "yes", "the"]


def test_repeated_share_by_hand() -> None:
    assert repeated_share(["a", "b"]) == 0.0
    # abc bca cab abc bca cab abc: 7 triples, 3 of them distinct
    assert repeated_share(list("abcabcabc")) == pytest.approx(4 / 7)


@given(st.lists(st.sampled_from("ab"), max_size=30))
def test_repeated_share_counts_later_copies(letters: list[str]) -> None:
    triples = Counter("".join(letters[i : i + 3]) for i in range(max(0, len(letters) - 2)))
    copies = sum(count - 1 for count in triples.values())
    assert repeated_share(letters) == pytest.approx(copies / max(1, triples.total()))


@given(st.text())
def test_normalising_twice_changes_nothing(text: str) -> None:
    assert normalise(normalise(text)) == normalise(text)
