import json

import pytest
from cpu_time import least_cpu_s

from backstay.scan.snippets import MAX_SNIPPETS, fences, snippets


def pieces(text: str) -> list[tuple[str, str | None]]:
    return [(piece.text, piece.language) for piece in snippets(text).found]


def test_fences_give_their_language_and_place() -> None:
    text = "Run:\n```bash\nls -la\n```\nor\n~~~ {.sql}\nSELECT 1\n~~~\n```\nx\n"
    assert [(text[start:end], tag) for start, end, tag in fences(text)] == [
        ("ls -la\n", "bash"),
        ("SELECT 1\n", "sql"),
        ("x\n", ""),
    ]
    by_language = {language: piece for piece, language in pieces(text)}
    assert by_language["shell"] == "ls -la\n" and by_language["sql"] == "SELECT 1\n"


def test_a_longer_fence_holds_a_shorter_one() -> None:
    text = "````md\n```sh\nls\n```\n````\nend"
    assert [text[start:end] for start, end, _ in fences(text)] == ["```sh\nls\n```\n"]


def test_exact_pieces_stand_where_they_say() -> None:
    text = "a `rm -rf x` b\n```sh\nls `pwd -P`\n```\n"
    for piece in snippets(text).found:
        assert piece.exact and text[slice(*piece.span)] == piece.text
        assert piece.place(1, 3) == (piece.span[0] + 1, piece.span[0] + 3)


def test_json_gives_its_strings_and_not_itself() -> None:
    text = json.dumps({"sql": "SELECT 'a'", "n": 1, "note": 'say "hi"\n', "deep": [{"command": "ls é"}]})
    found = snippets(text).found
    assert [(piece.text, piece.language) for piece in found] == [
        ("SELECT 'a'", "sql"),
        ('say "hi"\n', None),
        ("ls é", "shell"),
    ]
    assert [piece.exact for piece in found] == [True, False, False]
    assert text[slice(*found[1].span)] == r"say \"hi\"\n"


def test_a_name_that_stands_twice_hides_nothing() -> None:
    assert [piece for piece, _ in pieces('{"sql": "DROP TABLE x", "sql": "SELECT 1"}')] == ["DROP TABLE x", "SELECT 1"]


def test_a_list_of_words_is_a_command_line_too() -> None:
    text = '{"argv": ["bash", "-c", "rm -rf /"]}'
    last = snippets(text).found[-1]
    assert (last.text, last.language) == ("bash -c 'rm -rf /'", "shell")
    assert text[slice(*last.span)] == 'bash", "-c", "rm -rf /'


@pytest.mark.parametrize("text", ["{not json", "[1, 2", "", "[" * 100_000, '{"a": "' + "\\" * 50_001 + '"}'])
def test_what_is_no_json_is_one_text(text: str) -> None:
    assert pieces(text) == [(text, None)]


def test_more_pieces_than_are_taken_are_told() -> None:
    found = snippets("`a b` " * (MAX_SNIPPETS + 5))
    assert len(found.found) == MAX_SNIPPETS and not found.complete


@pytest.mark.parametrize("unit", ["```\n", "`", "` ", '{"a":"\\\\', '["', "~~~\n```\n", '\\"'])
def test_time_is_linear(unit: str) -> None:
    assert least_cpu_s(lambda: snippets(unit * (200_000 // len(unit)))) < 2.0
