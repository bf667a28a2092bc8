import time

import pytest

from backstay.errors import UsageError
from backstay.scan import compile_phrase, compile_regex, first_match, plain_words, scan_terms


@pytest.mark.parametrize(
    ("phrase", "text", "hit"),
    [
        ("hack into", "How do I HACK,\n into it?", "hack into"),
        ("hack into", "hackers into chess", None),
        ("make ... bomb*", "make me a really big bombshell", "make me a really big bombshell"),
        ("make ... bomb*", "make a very big and very loud bomb", None),
        ("steal", "a stealthy cat", None),
        ("without her knowing", "Read it without her knowing!", "without her knowing"),
    ],
)
def test_phrases(phrase: str, text: str, hit: str | None) -> None:
    assert first_match([compile_phrase(phrase)], plain_words(text)) == hit


@pytest.mark.parametrize("phrase", ["", "...", "*", "!!!", "make ... !!"])
def test_phrases_without_words_are_refused(phrase: str) -> None:
    with pytest.raises(UsageError):
        compile_phrase(phrase)


@pytest.mark.parametrize("source", ["(?:a|b)?c", r"\bbuy [a-z]{0,20} guns?", "a{2,3}b", r"[*+{]x", r"\*\+"])
def test_bounded_expressions_are_taken(source: str) -> None:
    assert compile_regex(source).pattern == source


@pytest.mark.parametrize(
    "source",
    [
        "(a|a){0,5}",
        "(a*)*b",
        "a+",
        "x{3,}",
        r"(a)\1",
        "(?=a)b",
        "[a-z",
        "a?" * 20,
        "(a|b)" * 15,
        "{",
        "(?i)a",
        "(a",
        "x" * 201,
    ],
)
def test_runaway_expressions_are_refused_with_a_cure(source: str) -> None:
    with pytest.raises(UsageError) as caught:
        compile_regex(source)
    assert caught.value.cure


def test_the_worst_accepted_expression_stays_fast() -> None:
    pattern = compile_regex("a{0,48}a{0,48}b")
    start = time.process_time()
    assert pattern.search("a" * 50_000) is None
    assert time.process_time() - start < 5.0


def test_scan_terms_names_topic_and_words() -> None:
    (finding,) = scan_terms("I want to Steal a car", [compile_phrase("steal")], topic="theft")
    assert (finding.kind, finding.evidence) == ("theft", "steal")
    assert scan_terms("I want to buy a car", [compile_phrase("steal")], topic="theft") == ()
