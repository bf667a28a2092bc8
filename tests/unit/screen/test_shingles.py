import numpy as np
import pytest

from backstay.screen.shingles import MAX_WORDS, WordHashes, jaccard, shingle_rows, shingles, words

TEXTS = ["a b c d a b c", "b c d e", "yes", "", "yes no", "🙂🙁", "A  b, C! d", "\x00\x1f"]


def test_jaccard_of_known_sets() -> None:
    assert jaccard(shingles("a b c d"), shingles("b c d e")) == pytest.approx(1 / 3)
    assert jaccard(frozenset(), frozenset()) == 1.0
    assert jaccard(shingles("a"), frozenset()) == 0.0


def test_hashes_are_as_many_and_as_equal_as_the_triples() -> None:
    rows = shingle_rows([words(text) for text in TEXTS], WordHashes())
    hashed = [frozenset(rows.values[rows.start[k] : rows.start[k + 1]].tolist()) for k in range(len(TEXTS))]
    plain = [shingles(text) for text in TEXTS]
    assert [len(row) for row in hashed] == [len(row) for row in plain]
    for one_hashed, one in zip(hashed, plain, strict=True):
        for two_hashed, two in zip(hashed, plain, strict=True):
            assert len(one_hashed & two_hashed) == len(one & two)


def test_no_texts_have_no_shingles() -> None:
    assert shingle_rows([], WordHashes()).start.tolist() == [0]
    assert shingle_rows([[], []], WordHashes()).start.tolist() == [0, 0, 0]


def test_hashes_do_not_depend_on_order_or_on_what_was_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    lists = [[f"w{k}" for k in range(40)], [f"w{k}" for k in range(39, -1, -1)]]
    plain = shingle_rows(lists, WordHashes()).values
    monkeypatch.setattr("backstay.screen.shingles.MAX_WORDS", 3)
    small = WordHashes()
    assert np.array_equal(shingle_rows(lists, small).values, plain)
    assert len(small) <= 3 < MAX_WORDS
