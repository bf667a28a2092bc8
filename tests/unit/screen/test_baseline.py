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
