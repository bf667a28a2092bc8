import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backstay.feedback.importing.json_text import fault_offset, offset_of, parse_json
from backstay.feedback.importing.problems import RowProblem

LEAVES = st.none() | st.booleans() | st.integers() | st.text(max_size=5)
VALUES = st.recursive(
    LEAVES, lambda inner: st.lists(inner) | st.dictionaries(st.text(max_size=3), inner), max_leaves=15
)


def paths(value: Any) -> list[tuple[str | int, ...]]:
    """Every path into a value, found by walking it."""
    if isinstance(value, dict):
        return [(), *((key, *path) for key, one in value.items() for path in paths(one))]
    if isinstance(value, list):
        return [(), *((k, *path) for k, one in enumerate(value) for path in paths(one))]
    return [()]


def value_at(value: Any, path: tuple[str | int, ...]) -> Any:
    for step in path:
        value = value[step]
    return value


@given(VALUES, st.sampled_from([None, 0, 3]), st.booleans())
def test_the_text_at_the_offset_of_a_path_is_the_value_of_the_path(
    value: Any, indent: int | None, ascii_only: bool
) -> None:
    text = json.dumps(value, indent=indent, ensure_ascii=ascii_only)
    for path in paths(value):
        found, _ = json.JSONDecoder().raw_decode(text, offset_of(text, path))
        assert found == value_at(value, path)


def test_a_missing_key_is_placed_at_its_object() -> None:
    text = '{"a": 1, "b": {"c": 2}}'
    assert offset_of(text, ("b", "x")) == text.index('{"c"')
    assert offset_of(text, ("b", "c", "x")) == text.index("2}")
    assert offset_of(text, ("zz",)) == 0


@pytest.mark.parametrize(
    ("text", "said", "mark"),
    [
        ('{"a": 1, "b": {"x": 1, "x": 2}}', "a key comes twice", '"x": 2'),
        ('{"a": {"k": 1}, "b": {"k": 1}, "a": 2}', "a key comes twice", '"a": 2'),
        ('{"a": "NaN", "b": NaN}', "NaN is not JSON", "NaN}"),
        ('{"a": [1, -Infinity]}', "-Infinity is not JSON", "-Infinity"),
        ('{"a": 1, "b": 1e999999}', "the number 1e999999 is too large", "1e999999"),
        ('{"a": 1, "b": ' + "7" * 100_000 + "}", "a number has 100000 digits", "777"),
        ('{"a": 1 "b": 2}', "Expecting ',' delimiter", '"b"'),
        ('{"a": "open}', "Unterminated string", '"open'),
        ('{"a": 1} x', "Extra data", "x"),
        ("{'a': 1}", "Expecting property name", "'a'"),
    ],
)
def test_a_fault_is_named_with_its_place(text: str, said: str, mark: str) -> None:
    with pytest.raises(RowProblem, match=said) as refused:
        parse_json(text)
    assert refused.value.offset == text.index(mark)


def test_nesting_without_end_is_placed_where_it_becomes_too_deep() -> None:
    with pytest.raises(RowProblem, match="nested too deeply") as refused:
        parse_json('{"a": ' + "[" * 100_000)
    assert refused.value.offset == len('{"a": ') + 199
    assert fault_offset("[[[]]]") == 0


def test_bytes_that_are_no_text_are_placed_in_characters() -> None:
    with pytest.raises(RowProblem, match="not valid UTF-8 at byte 9") as refused:
        parse_json('{"é": "'.encode() + b"x\xff")
    assert refused.value.offset == 8
