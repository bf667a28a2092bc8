import pytest

from backstay.errors import UsageError
from backstay.scan.rule_file import labelled_rules, rule_of
from backstay.scan.rule_pack import RulePack

ENTRY = {"kind": "k", "labels": ["pin", "p.i.n."], "shapes": ["[0-9]{4}"]}


def found(pack: RulePack, text: str) -> list[str]:
    return [text[match.start : match.end] for match in pack.matches(text.encode())]


@pytest.mark.parametrize(
    ("text", "values"),
    [
        ("PIN: 1234", ["1234"]), ('{"pin":"1234"}', ["1234"]), ("my pin, which is secret, is 1234.", ["1234"]),
        ("p.i.n. 1234", ["1234"]), ("pin 12345", []), ("pin x1234", []), ("pinned 1234", []), ("spin 1234", []),
        ("pin" + " x" * 20 + " 1234", []), ("pin 1234.5", []), ("pin 1234. 5", ["1234"]), ("pin 1234,", ["1234"]),
    ],
)  # fmt: skip
def test_a_value_counts_behind_its_label(text: str, values: list[str]) -> None:
    assert found(RulePack(labelled_rules(ENTRY)), text) == values


@pytest.mark.parametrize(
    "text", ["card AB12", "card no. AB12", "card number is AB12", "Card_Number: AB12", "card-nr AB12", "card is AB12"]
)
def test_few_words_stand_between_a_label_and_letters(text: str) -> None:
    rules = labelled_rules({"kind": "k", "labels": ["card"], "gap": "tight", "shapes": ["[A-Z]{2}[0-9]{2}"]})
    assert found(RulePack(rules), text) == ["AB12"]


def test_a_head_that_eats_its_value_is_no_match() -> None:
    rules = labelled_rules({"kind": "k", "labels": ["card"], "gap": "tight", "shapes": ["[A-Z]{6}"]})
    assert found(RulePack(rules), "card number, x") == []


def test_characters_that_may_not_stand_beside_a_match() -> None:
    pack = RulePack(
        [rule_of({"kind": "k", "shape": "[0-9]{3}", "not_after": ".", "not_before": "a-z", "number": True})]
    )
    texts = ("123", ".123", "123x", "123X", "123.4", "123.", "123,x", "123,4")
    assert [bool(found(pack, text)) for text in texts] == [True, False, False, True, False, True, True, False]


@pytest.mark.parametrize(
    ("entry", "word"),
    [
        ({"shape": "[a-z][0-9a]"}, "letters, then a digit"),
        ({"shape": "[0-9]{2,}", "not_before": "a"}, "an end of its own"),
        ({"shape": "[0-9]", "not_afterwards": "a"}, "unknown keys"),
    ],
)
def test_faults_of_a_rule_are_told(entry: dict[str, str], word: str) -> None:
    with pytest.raises(UsageError, match=word):
        rule_of({"kind": "k", **entry})


def test_faults_of_a_labelled_rule_are_told() -> None:
    with pytest.raises(UsageError, match="no gap"):
        list(labelled_rules({**ENTRY, "gap": "wider"}))
    with pytest.raises(UsageError, match="unknown keys"):
        list(labelled_rules({**ENTRY, "label": "x"}))
