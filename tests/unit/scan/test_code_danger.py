import warnings

import pytest
from cpu_time import least_cpu_s
from danger_cases import CASES
from hostile_code import PYTHON_BOMBS

from backstay.scan import View
from backstay.scan.code_danger import CodeDanger, python_dangers

WEIGHTY = ("medium", "high", "critical")


def kinds(text: str) -> set[str]:
    return {danger.kind for danger in python_dangers(text)}


@pytest.mark.parametrize(("kind", "text"), [(k, t) for surface, k, t in CASES if surface == "python" and k])
def test_what_does_harm_is_found(kind: str, text: str) -> None:
    assert kind in kinds(text)


@pytest.mark.parametrize("text", [t for surface, k, t in CASES if surface == "python" and not k])
def test_what_people_write_every_day_is_left_alone(text: str) -> None:
    assert [danger for danger in python_dangers(text) if danger.severity in WEIGHTY] == []


@pytest.mark.parametrize(
    "text",
    [
        "from builtins import exec as go\ngo(x)",
        "import builtins as b\nb.eval(x)",
        "import importlib\nimportlib.import_module('o' + 's').system(x)",
        "getattr(__import__('os'), 'sys' + 'tem')(x)",
        "__builtins__['ev' + 'al'](x)",
        "vars()['exec'](x)",
        "e = 'lave'[::-1]\ngetattr(__builtins__, e)(x)",
        "getattr(__builtins__, ''.join(['e', 'xec']))(x)",
    ],
)
def test_names_are_followed(text: str) -> None:
    assert {"code_eval", "code_shell"} & kinds(text)


def test_a_name_that_is_set_anew_is_forgotten() -> None:
    assert kinds("f = eval\nf = len\nf('1')") == set()


def test_spans_are_in_characters() -> None:
    text = "é = 'ü'; exec(x)\n"
    (danger,) = python_dangers(text)
    assert text[slice(*danger.span)] == "exec(x)"


def scanned(text: str) -> set[tuple[str, str]]:
    found = CodeDanger().scan(View.of(text))
    return {(finding.kind, text[slice(*(finding.span or (0, 0)))]) for finding in found}


def test_code_is_found_in_a_fence_and_in_arguments() -> None:
    evil = ("code_eval", "exec(data)")
    assert evil in scanned("See:\n```python\nexec(data)\n```\n")
    assert evil in scanned('{"code": "exec(data)"}')
    assert evil in scanned('{"python": "exec(data)"}')
    assert scanned("An exec(data) call is risky, they say.") == set()


def test_a_copied_session_is_read_without_what_it_printed() -> None:
    assert "code_eval" in {kind for kind, _ in scanned("```python\n>>> exec(data)\nsome output here\n>>> 1\n```\n")}


def test_a_parse_says_nothing_of_the_text_to_the_world(capsys: pytest.CaptureFixture[str]) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("always")
        assert kinds("x = '\\d' if 1else 2\nexec(y)") == {"code_eval"}
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize("text", PYTHON_BOMBS, ids=lambda text: repr(text[:12]))
def test_hostile_scripts_end_soon(text: str) -> None:
    assert (
        least_cpu_s(lambda: python_dangers(text)) < 3.0
    )  # several times what it takes, so that a busy machine does not fail it


def test_what_is_too_much_is_a_finding() -> None:
    for text in ("(" * 5000, "a" * 30_000, "-" * 10_000 + "1", "\x00"):
        assert "code_unparsed" in kinds(text)
