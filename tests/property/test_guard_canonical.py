"""The fast canonical JSON says what `rfc8785` says, or refuses what it refuses."""

from typing import Any

import pytest
import rfc8785
from hypothesis import example, given
from hypothesis import strategies as st

from backstay.guard.canonical import canonical_text

pytestmark = pytest.mark.property
TEXTS = st.text(st.characters(), max_size=12) | st.sampled_from(
    ["\ue000", "\U0001f600", "\uffff", "\ud83d", "\x7f", "\x00"]
)
LEAVES = (
    st.none()
    | st.booleans()
    | TEXTS
    | st.floats()
    | st.integers(-(2**54), 2**54)
    | st.integers()
    | st.binary(max_size=3)
)
VALUES = st.recursive(
    LEAVES,
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.lists(inner, max_size=3).map(tuple)
        | st.dictionaries(TEXTS | st.integers(0, 3).map(str), inner, max_size=5)
    ),
    max_leaves=20,
)


@given(VALUES)
@example({"\ue000": 1, "\U0001f600": 2})
@example({"\uffff": {"\U00010000": 1}})
@example({"a": float("nan")})
@example({"a": 1.0, "b": 1e21, "c": -0.0})
@example([2**53 - 1, -(2**53) + 1])
@example(2**53)
@example({"a": '\b\t\n\f\r\x1f\x7f\u2028/\\"'})
@example({"a": "\ud800"})
@example({1: 2})
def test_it_is_rfc8785(value: Any) -> None:
    try:
        expected = rfc8785.dumps(value).decode()
    except (ValueError, TypeError, RecursionError):
        with pytest.raises((ValueError, TypeError, RecursionError)):
            canonical_text(value)
    else:
        assert canonical_text(value) == expected
