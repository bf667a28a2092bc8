import pytest

from backstay.errors import RecipeError
from backstay.pipeline.yaml_text import parse_yaml


def test_scalars_follow_the_yaml_1_2_core_schema() -> None:
    text = "a: 1e-3\nb: off\nc: 2026-11-21\nd: 12\ne: true\nf: 0.5\ng: ~\nh: '7'\ni: 1_000\nj: -3\nk: .5\nl: 1.e2"
    assert parse_yaml(text, "t").data == {
        "a": 0.001,
        "b": "off",
        "c": "2026-11-21",
        "d": 12,
        "e": True,
        "f": 0.5,
        "g": None,
        "h": "7",
        "i": "1_000",
        "j": -3,
        "k": 0.5,
        "l": 100.0,
    }


def test_lines_are_known_for_nested_keys_and_items() -> None:
    parsed = parse_yaml("a: 1\nb:\n  c: 2\n  d:\n    - 3\n    - 4\n", "t")
    assert parsed.lines[("b", "c")] == 3
    assert parsed.lines[("b", "d", "1")] == 6


def test_an_empty_text_is_an_empty_mapping() -> None:
    assert parse_yaml("# only a comment\n", "t").data == {}


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("a: 1\na: 2\n", "a stands twice in t: lines 1 and 2"),
        ("b:\n  a: 1\n  c: 3\n  a: 2\n", r"b\.a stands twice in t: lines 2 and 4"),
        ("a: [1\n", "t line 2 is not YAML"),
        ("a: &x 1\nb: *x\n", r"t line 2: alias \*x"),
        ("1: 2\n", "t line 1: a key must be text, seen '1'"),
        ("? [a]\n: 2\n", "a key must be text"),
        ("a: !!python/object/apply:os.system [true]\n", "t line 1: tag tag:yaml.org,2002:python/object/apply"),
        ("a: 1\nb: !own 2\n", "t line 2: tag !own"),
        ("a: !!binary aGk=\n", "tags are refused"),
        ("a: \x07\n", "t is not YAML"),
        ("a: 1\n---\nb: 2\n", "another document"),
        (f"a: {'9' * 5000}\n", "cannot be read"),
    ],
)
def test_what_has_no_business_in_settings_is_refused_with_its_line(text: str, said: str) -> None:
    with pytest.raises(RecipeError, match=said):
        parse_yaml(text, "t")


@pytest.mark.hostile
def test_size_and_depth_are_bounded_before_anything_is_built() -> None:
    with pytest.raises(RecipeError, match="at most 1048576"):
        parse_yaml("a: " + "x" * (1 << 20), "t")
    with pytest.raises(RecipeError, match="nested deeper than 16 levels"):
        parse_yaml("[" * 5000 + "]" * 5000, "t")
