import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backstay.policy.points import glob_covers, glob_matches, is_glob, is_plain_name


@given(st.text("ab*?", max_size=8), st.text("ab", max_size=10))
def test_patterns_match_what_the_regular_expression_matches(pattern: str, name: str) -> None:
    regex = re.escape(pattern).replace(r"\*", ".*").replace(r"\?", ".")
    assert glob_matches(pattern, name) == (re.fullmatch(regex, name) is not None)


@given(st.text("ab*?", min_size=1, max_size=5), st.text("ab*?", min_size=1, max_size=5), st.text("ab", max_size=6))
def test_what_is_covered_is_matched(wider: str, narrower: str, name: str) -> None:
    if glob_covers(wider, narrower) and glob_matches(narrower, name):
        assert glob_matches(wider, name)


@pytest.mark.parametrize("name", ["", "p\u0430y", "pay ", "pa\u200by", "pay\n", "pay\0", "p\uff41y", "x" * 201])
def test_names_that_look_like_others_are_not_plain(name: str) -> None:
    assert not is_plain_name(name)
    assert not is_glob(name)


def test_usual_tool_names_are_plain() -> None:
    assert all(is_plain_name(name) for name in ("get_order", "mcp__files__read", "a.b/c:d@1", "x-y"))
