import numpy as np
import pytest

from backstay.screen.text_features import (
    DIMENSIONS,
    FORM,
    answer_features,
    column,
    form,
    frequent_columns,
    pair_difference,
    tokens,
)


def test_tokens_are_words_of_any_script() -> None:
    assert tokens("Don\u2019t, \u00c9tude 9!") == ["don't", "\u00e9tude", "9"]


def test_column_is_stable() -> None:
    # CRC-32 of "123456789" is the published check value 0xCBF43926.
    assert column("123456789") == 0xCBF43926 % DIMENSIONS


def test_word_features_by_hand() -> None:
    table = answer_features(["q"], ["red red fox"]).toarray()[0]
    raw = {"red": np.log(3.0), "fox": np.log(2.0), "red red": np.log(2.0), "red fox": np.log(2.0)}
    norm = np.sqrt(sum(value**2 for value in raw.values()))
    for feature, value in raw.items():
        assert table[column(feature)] == pytest.approx(value / norm)
    assert np.count_nonzero(table[:DIMENSIONS]) == 4
    assert np.linalg.norm(table[:DIMENSIONS]) == pytest.approx(1.0)


def test_form_by_hand() -> None:
    found = dict(zip(FORM, form("what is red", "Red is 12. Is it?\nYes."), strict=True))
    assert found["words"] == pytest.approx(np.log(7))
    assert found["sentences"] == pytest.approx(np.log(4))
    assert found["lines"] == pytest.approx(np.log(2))
    assert found["questions"] == pytest.approx(np.log(2))
    assert found["variety"] == pytest.approx(5 / 6)
    assert found["of_request"] == pytest.approx(3 / 6)


def test_empty_answers_have_no_words() -> None:
    table = answer_features(["q"], [""]).toarray()
    assert np.isfinite(table).all()
    assert not table[:, :DIMENSIONS].any()
    assert answer_features([], []).shape == (0, DIMENSIONS + len(FORM))


def test_difference_turns_sign_with_the_order() -> None:
    there = pair_difference(["q", "r"], ["one two", "x"], ["three", "y"])
    back = pair_difference(["q", "r"], ["three", "y"], ["one two", "x"])
    assert np.abs((there + back).toarray()).max() == pytest.approx(0.0, abs=1e-12)
    single = answer_features(["q"], ["one two"]) - answer_features(["q"], ["three"])
    assert np.allclose(there[[0]].toarray(), single.toarray())


def test_frequent_columns_counts_pairs_that_differ() -> None:
    table = pair_difference(["q"] * 3, ["same rare", "same", "same b"], ["same", "other", "same c"])
    kept = set(frequent_columns(table, 1).tolist())
    assert {column("rare"), column("other"), column("b")} <= kept
    assert column("rare") not in set(frequent_columns(table, 2).tolist())
