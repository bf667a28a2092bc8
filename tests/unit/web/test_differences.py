"""The pieces always join to both texts, the change is the shortest one, and the work is bounded."""

import random

import pytest

from backstay.web.differences import MOST_STEPS, Piece, line_changes, word_changes


def joined(pieces: list[Piece], but: str) -> str:
    return "".join(piece.text for piece in pieces if piece.kind != but)


def longest_shared(old: list[str], new: list[str]) -> int:
    """Lines in the longest common subsequence, by the table that every textbook has."""
    row = [0] * (len(new) + 1)
    for a in old:
        before = row[:]
        for place, b in enumerate(new, start=1):
            row[place] = before[place - 1] + 1 if a == b else max(before[place], row[place - 1])
    return row[-1]


def test_pieces_join_to_both_texts_and_keep_as_much_as_can_be_kept() -> None:
    rng = random.Random(5)
    for _ in range(500):
        old, new = ([f"{rng.choice('abc')}\n" for _ in range(rng.randrange(9))] for _ in range(2))
        pieces = line_changes("".join(old), "".join(new))
        assert joined(pieces, "new") == "".join(old) and joined(pieces, "gone") == "".join(new)
        kept = sum(piece.text.count("\n") for piece in pieces if piece.kind == "same")
        assert kept == longest_shared(old, new)


@pytest.mark.parametrize(
    ("old", "new"), [("", ""), ("", "a"), ("a b", ""), ("a  b\n", "a b"), ("é\u200b", "e"), (" ", "\n")]
)
def test_words_join_to_both_texts(old: str, new: str) -> None:
    pieces = word_changes(old, new)
    assert joined(pieces, "new") == old and joined(pieces, "gone") == new


def test_a_changed_word_is_the_only_change() -> None:
    assert word_changes("The quick brown fox jumps.", "The slow brown fox jumps.") == [
        Piece("same", "The "),
        Piece("gone", "quick"),
        Piece("new", "slow"),
        Piece("same", " brown fox jumps."),
    ]


def test_changed_words_in_a_row_are_one_change() -> None:
    pieces = word_changes("We see a red old car in the big wide street", "We see a blue new van in the big wide street")
    assert [piece.text for piece in pieces if piece.kind != "same"] == ["red old car", "blue new van"]


def test_texts_with_little_in_common_are_replaced_whole() -> None:
    old, new = "one two three four five", "six seven three eight nine"
    assert word_changes(old, new) == [Piece("gone", old), Piece("new", new)]


def test_what_differs_too_much_is_replaced_whole() -> None:
    old, new = ("".join(f"{name}{n}\n" for n in range(MOST_STEPS)) for name in "ab")
    assert line_changes(old, new) == [Piece("gone", old), Piece("new", new)]
