"""Canonical JSON against the reference implementation of RFC 8785."""

from typing import Any

import pytest
import rfc8785
from hypothesis import given
from hypothesis import strategies as st

from backstay.records import canonical_json

TEXT = st.text(st.characters(exclude_categories=["Cs"]))
LEAVES = (
    st.none()
    | st.booleans()
    | st.integers(-(2**53) + 1, 2**53 - 1)
    | TEXT
    | st.floats(allow_nan=False, allow_infinity=False)
)
VALUES = st.recursive(LEAVES, lambda inner: st.lists(inner) | st.dictionaries(TEXT, inner), max_leaves=20)


@given(VALUES)
def test_every_value_is_written_as_the_reference_writes_it(value: Any) -> None:
    assert canonical_json(value) == rfc8785.dumps(value)


@pytest.mark.parametrize("text", ['\x00\x1f\x7f\b\f\n\r\t"\\/', "\u2028\u2029\ufeff\U0001f600é", "</script>"])
def test_text_that_encoders_escape_in_different_ways(text: str) -> None:
    assert canonical_json({"key": [text, (text,)]}) == rfc8785.dumps({"key": [text, [text]]})


@pytest.mark.parametrize("value", [2**53, -(2**53), float("nan"), float("inf"), "\ud800", {"\udfff": 1}, {1: 2}, {1}])
def test_what_canonical_json_cannot_hold_is_refused_within_a_record_too(value: Any) -> None:
    with pytest.raises(ValueError, match="."):
        canonical_json({"in": [value]})


def test_whole_numbers_as_fractions_and_keys_beyond_ascii_take_the_slow_way() -> None:
    assert canonical_json({"b": 1.0, "a": 1e21}) == b'{"a":1e+21,"b":1}'
    # UTF-16 order: the surrogate pair of U+1F600 comes before U+FB33.
    assert canonical_json({"\ufb33": 1, "\U0001f600": 2}) == '{"\U0001f600":2,"\ufb33":1}'.encode()
