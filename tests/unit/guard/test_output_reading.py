"""Outputs are data; two readers must not see two things in one."""

import contextlib
import time

import pytest

from backstay.guard.output_reading import MAX_CHARACTERS, MAX_DEPTH, UnreadableOutput, read_output

DEEP = "[" * (MAX_DEPTH + 2) + "]" * (MAX_DEPTH + 2)


def test_json_and_yaml_are_read_as_texts_lists_and_mappings() -> None:
    assert read_output('[{"id": 13, "n": 1.50, "big": 1e999}]', "json") == [{"id": "13", "n": "1.50", "big": "1e999"}]
    assert read_output("- id: 0x10\n  on: yes\n  at: 2026-01-02\n  n: [a, {b: c}]\n", "yaml") == [
        {"id": "0x10", "on": "yes", "at": "2026-01-02", "n": ["a", {"b": "c"}]}
    ]


@pytest.mark.parametrize(
    ("text", "written"),
    [
        ("{'a': 1}", "json"), ('{"a": 1, "a": 2}', "json"), ("a: 1\na: 2", "yaml"), ("a: &x 1\nb: *x", "yaml"),
        ("&x [1]", "yaml"), ("{[a]: 1}", "yaml"), ("--- a\n--- b", "yaml"), ("", "yaml"), ("", "json"),
        ("a: 1\n b: 2", "yaml"), ("\ud800", "yaml"), ("a\0b", "yaml"), ("[" * 100_000, "json"), ("[" * 100_000, "yaml"),
        (DEEP, "json"), (DEEP, "yaml"),
        ('"' + "a" * MAX_CHARACTERS + '"', "json"),
    ],
)  # fmt: skip
def test_what_is_no_plain_data_is_refused(text: str, written: str) -> None:
    with pytest.raises(UnreadableOutput):
        read_output(text, written)  # type: ignore[arg-type]  # the two names of the parameters above


def test_a_tag_makes_no_object() -> None:
    assert read_output("a: !!python/object/apply:os.system [x]", "yaml") == {"a": ["x"]}


@pytest.mark.parametrize(
    "unit", ["- a\n", "a", "a: b\n", "[a],", "{a: ", "? ", "'", "! ", "# \n", "\t", "- - ", "|\n "]
)
def test_hostile_output_takes_linear_time(unit: str) -> None:
    begin = time.thread_time()
    for written in ("yaml", "json"):
        with contextlib.suppress(UnreadableOutput):
            read_output(unit * (500_000 // len(unit)), written)
    assert time.thread_time() - begin < 8
