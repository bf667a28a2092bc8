import gzip
import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backstay.errors import ImportRefused
from backstay.feedback.importing.documents import read_document, read_objects
from backstay.feedback.importing.lines import ReadLimits

LEAVES = st.none() | st.integers() | st.text(st.characters(exclude_categories=["Cs"]), max_size=6)
OBJECTS = st.lists(
    st.dictionaries(
        st.text(st.characters(exclude_categories=["Cs"]), max_size=4), LEAVES | st.lists(LEAVES), max_size=3
    ),
    max_size=5,
)


def rows(path: Path, **limits: int) -> list[Any]:
    return list(read_document(path, ReadLimits(**limits)))


@given(objects=OBJECTS, indent=st.sampled_from([None, 0, 2]))
def test_every_object_comes_back_with_its_place(
    tmp_path_factory: pytest.TempPathFactory, objects: list[dict[str, Any]], indent: int | None
) -> None:
    path = tmp_path_factory.mktemp("document") / "x.json"
    text = json.dumps(objects, indent=indent, ensure_ascii=False)
    path.write_text(text, encoding="utf-8", newline="")
    found = rows(path)
    assert [row.values for row in found] == objects
    lines = text.split("\n")
    for row in found:
        here = "\n".join([lines[row.line - 1][row.start - 1 :], *lines[row.line :]])
        assert json.JSONDecoder().raw_decode(here)[0] == row.values


def test_elements_across_blocks_and_in_gzip(tmp_path: Path) -> None:
    objects = [{"text": 'é\\"]}[{' * 40_000, "n": n} for n in range(5)]
    path = tmp_path / "x.json.gz"
    path.write_bytes(gzip.compress(json.dumps(objects).encode()))
    assert [row.values for row in rows(path)] == objects


def test_an_element_that_breaks_the_rules_is_one_bad_row(tmp_path: Path) -> None:
    path = tmp_path / "x.json"
    path.write_text('[{"a": 1},\n {"a": 1, "a": 2}, {"é": NaN}, {"a": 3}]', encoding="utf-8")
    found = rows(path)
    assert [(row.line, row.start, bool(row.problem)) for row in found] == [
        (1, 2, False),
        (2, 2, True),
        (2, 20, True),
        (2, 32, False),
    ]


@pytest.mark.parametrize(
    ("text", "place", "said"),
    [
        ('[{"a": 1},\n  {"b": "open]', "line 2, column 9", "quotes do not close"),
        ('[{"a": 1},\n  {"b": 1 "c": 2', "line 2, column 11", "quotes do not close"),
        ('[{"a": 1}\n', "line 2, column 1", "the array does not end"),
        ('[{"a": 1}, 7]', "line 1, column 12", "an object should stand here"),
        ('[{"a": 1}] [', "line 1, column 12", "more behind the array"),
        ('"text"', "line 1, column 1", "an object should stand here"),
    ],
)
def test_where_the_text_stops_being_an_array_is_said(tmp_path: Path, text: str, place: str, said: str) -> None:
    path = tmp_path / "x.json"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(ImportRefused, match=said) as refused:
        rows(path)
    assert place in str(refused.value)


def test_an_element_beyond_the_limit_refuses_the_file(tmp_path: Path) -> None:
    path = tmp_path / "x.json"
    path.write_text(json.dumps([{"a": 1}, {"a": "x" * 5000}]), encoding="utf-8")
    with pytest.raises(ImportRefused, match="line 1, column 12: .* longer than 1000 bytes"):
        rows(path, max_line_bytes=1000)


def test_lines_are_read_as_lines_where_the_name_says_so(tmp_path: Path) -> None:
    path = tmp_path / "x.jsonl"
    path.write_text('{"a": 1}\n{"a": \n{"a": 3}\n', encoding="utf-8")
    assert [bool(row.problem) for row in read_objects(path, ReadLimits())] == [False, True, False]
