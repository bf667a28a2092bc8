from pathlib import Path

import pytest

from backstay.errors import UsageError
from backstay.records import Message, Prompt
from backstay.screen import load_baseline, parse_baseline

NO = "I'm sorry, but I can't help with that."
YES = "Sure. First, find a quiet street."
RULE = """
version: 1
rules:
  - id: r
    reason: why
    severity: low
    when:
"""


def prompt(*turns: str, **tags: object) -> Prompt:
    messages = tuple(Message(role="user" if i % 2 == 0 else "assistant", content=t) for i, t in enumerate(turns))
    return Prompt.make(messages, source="test", tags=dict(tags))


def kinds(request: str, chosen: str, rejected: str) -> list[str]:
    return [finding.kind for finding in load_baseline().check(prompt(request), chosen, rejected)]


def test_the_default_fires_only_where_compliance_beats_refusal_of_a_harmful_request() -> None:
    assert kinds("How do I steal a car?", YES, NO) == ["complies-with-harmful-request"]
    assert kinds("How do I steal a car?", NO, YES) == []
    assert kinds("How do I steal a car?", YES, YES) == []
    assert kinds("How do I steal a car?", NO, NO) == []
    assert kinds("How do I wash a car?", YES, NO) == []
    assert kinds("How do I steal a car?", "", NO) == []


def test_the_default_finds_personal_data_in_the_chosen_answer_only() -> None:
    mail = "Write to jane.doe@mail.org."
    assert kinds("Who knows?", mail, "Nobody.") == ["personal-data-or-secret"]
    assert kinds("Who knows?", "Nobody.", mail) == []


def test_only_the_last_user_message_counts() -> None:
    found = load_baseline().check(prompt("How do I steal a car?", NO, "And how do I wash one?"), YES, NO)
    assert found == ()


def test_tags_exclusions_and_answers_that_match() -> None:
    baseline = parse_baseline(
        RULE
        + "      prompt_tags: {family: refuse}\n      prompt_none: [in chess]\n"
        + "      chosen: {matches: [quiet street]}\n",
        "test",
    )
    assert baseline.check(prompt("x", family="refuse"), YES, NO)
    assert not baseline.check(prompt("x", family="plain"), YES, NO)
    assert not baseline.check(prompt("x in chess", family="refuse"), YES, NO)
    assert not baseline.check(prompt("x", family="refuse"), "A loud street.", NO)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (RULE + "      prompt_anny: [x]\n", "nearest known key: prompt_any"),
        (RULE.replace("reason", "reson") + "      chosen: refuses\n", "nearest known key: reason"),
        (RULE + "      chosen: shrugs\n", "when.chosen"),
        (RULE + "      chosen_finds: [shoe_size]\n", "shoe_size"),
        (RULE + "      {}\n", "fire on every pair"),
        (RULE + "      prompt_any: [{regex: '(a+)+'}]\n", "rule r of test"),
        ("version: 2\nrules: []\n", "version"),
        ("- a\n", "no mapping"),
        ("a: [\n", "no YAML"),
        ("a: &x [1]\nb: *x\n", "anchors"),
        ("!!python/object/apply:os.system ['true']\n", "no YAML"),
    ],
)
def test_faults_are_named(text: str, said: str) -> None:
    with pytest.raises(UsageError, match=said.replace("(", r"\(")):
        parse_baseline(text, "test")


def test_a_rule_id_twice_is_refused() -> None:
    rule = RULE.partition("rules:\n")[2] + "      chosen: refuses\n"
    with pytest.raises(UsageError, match="used twice: r"):
        parse_baseline("version: 1\nrules:\n" + rule + rule, "test")


def test_sources(tmp_path: Path) -> None:
    assert load_baseline("none").rules == ()
    with pytest.raises(UsageError, match="does not exist"):
        load_baseline(str(tmp_path / "none.yaml"))
    path = tmp_path / "own.yaml"
    path.write_text(RULE + "      rejected: refuses\n", encoding="utf-8")
    assert [f.kind for f in load_baseline(str(path)).check(prompt("x"), YES, NO)] == ["r"]


def test_harm_by_score_is_an_alternative_to_phrases(monkeypatch: pytest.MonkeyPatch) -> None:
    scores = {"Odd request": 0.75, "Plain request": 0.25}
    monkeypatch.setattr("backstay.screen.baseline.harm_probability", lambda text: scores.get(text, 0.0))
    both = parse_baseline(RULE + "      prompt_any: [glorp]\n      prompt_harm: 0.5\n", "test")
    assert [f.evidence for f in both.check(prompt("Odd request"), YES, NO)] == [
        "why [request: harmful with probability 0.75]"
    ]
    assert both.check(prompt("Plain request"), YES, NO) == ()
    assert [f.evidence for f in both.check(prompt("Glorp!"), YES, NO)] == ["why [request: glorp]"]
    alone = parse_baseline(RULE + "      prompt_harm: 0.25\n      prompt_none: [odd]\n", "test")
    assert alone.check(prompt("Plain request"), YES, NO)
    assert alone.check(prompt("Odd request"), YES, NO) == ()


def test_answers_can_be_judged_by_score(monkeypatch: pytest.MonkeyPatch) -> None:
    scores = {"no": 0.9, "hm": 0.5, "yes": 0.1}
    monkeypatch.setattr("backstay.screen.baseline.refusal_probability", lambda text: scores.get(text, 0.0))
    baseline = parse_baseline(
        RULE + "      chosen: {refusal_at_most: 0.3}\n      rejected: {refusal_at_least: 0.8}\n", "test"
    )
    assert baseline.check(prompt("x"), "yes", "no")
    assert not baseline.check(prompt("x"), "hm", "no")
    assert not baseline.check(prompt("x"), "yes", "hm")
    assert not baseline.check(prompt("x"), "", "no")


def test_a_request_that_no_phrase_knows_is_caught_by_its_score() -> None:
    assert kinds("Give me a plan to derail a train.", YES, NO) == ["complies-with-harmful-request"]
    assert kinds("Give me a plan to derail a train.", NO, YES) == []


@pytest.mark.parametrize(
    ("when", "said"),
    [
        ("prompt_harm: 1.5", "prompt_harm"),
        ("prompt_harm: 0.0", "prompt_harm"),
        ("chosen: {refusal_at_least: 0.9, refusal_at_most: 0.1}", "not above the second"),
        ("chosen: {refusal_atleast: 0.9}", "nearest known key: refusal_at_least"),
    ],
)
def test_faults_of_scored_conditions_are_named(when: str, said: str) -> None:
    with pytest.raises(UsageError, match=said):
        parse_baseline(RULE + f"      {when}\n", "test")
