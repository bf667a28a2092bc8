import random
import re

import pytest
from made_secrets import made

from backstay.errors import UsageError
from backstay.scan.rule import ALNUM, Rule, parse_shape
from backstay.scan.rule_file import rule_of
from backstay.scan.secrets import parse_rules, secret_rules


def by_hand(rule: Rule, text: bytes, start: int) -> tuple[int, int] | None:
    """The bounded part of a match, by Python's own engine."""
    flags = re.IGNORECASE if rule.ignore_case else 0
    head = b"".join(item.regex() for item in rule.items[: rule.value_at])
    body = b"".join(item.regex() for item in rule.items[rule.value_at :])
    found = re.compile(b"(%s)(%s)" % (head, body) + _boundary(rule), flags).match(text, start)
    return None if found is None else (found.end(1), found.end(2) - rule.cut)


def _boundary(rule: Rule) -> bytes:
    return b"(?!%s)" % rule.items[-1].pattern if rule.bounded else b""


@pytest.mark.parametrize("rule", secret_rules(), ids=lambda rule: f"{rule.kind}-{rule.gate.decode()}")
def test_a_made_secret_matches_and_its_neighbours_do_as_by_hand(rule: Rule) -> None:
    rng = random.Random(7)
    for _ in range(6):
        text = (made(rule, rng) + rng.choice(["", " ", "z", "-", "0"])).encode()
        cuts = [text, text[: rng.randrange(1, len(text))], text.swapcase()]
        assert [rule.match(t, 0) for t in cuts] == [by_hand(rule, t, 0) for t in cuts]
    assert any(rule.match(made(rule, rng).encode(), 0) for _ in range(20))


@pytest.mark.parametrize("rule", secret_rules(), ids=lambda rule: f"{rule.kind}-{rule.gate.decode()}")
def test_a_prefix_that_may_not_become_more_is_decided(rule: Rule) -> None:
    rng = random.Random(8)
    for _ in range(5):
        text = (made(rule, rng) + rng.choice([" rest", "rest", "-", ""])).encode()
        whole = rule.match(text, 0)
        for cut in range(1, len(text) + 1):
            if not rule.may_become(text[:cut], 0):
                assert rule.match(text[:cut], 0) == whole
            elif cut >= rule.max_length:
                raise AssertionError("still open behind its greatest length")


def test_a_beginning_stays_open_and_something_else_does_not() -> None:
    rule = rule_of({"kind": "k", "gate": "ab", "shape": "ab[0-9]{3}"})
    assert [rule.may_become(text, 0) for text in (b"ab", b"ab12", b"ab123", b"ab1234", b"abx")] == [True] * 3 + [
        False
    ] * 2
    assert rule.match(b"ab123", 0) == (0, 5) and rule.match(b"ab1234", 0) is None


@pytest.mark.parametrize(
    ("entry", "word"),
    [
        ({"shape": "ab(c|d)", "gate": "ab"}, "not understood"),
        ({"shape": "ab[0-9]{2,}x", "gate": "ab"}, "last item"),
        ({"shape": "ab[0-9]{2,}", "gate": "ab"}, "open end"),
        ({"shape": "ab[0-9]{1,2000}", "gate": "ab"}, "1000"),
        ({"shape": "abc", "gate": "zz"}, "gate"),
        ({"shape": "abc", "gate": "abc", "judge": "no"}, "known are"),
        ({"shape": "abc", "gate": "abc", "regex": "x"}, "unknown keys"),
        ({"shape": "abc?", "gate": "ab"}, "must be there"),
    ],
)
def test_faults_of_a_rule_are_told(entry: dict[str, str], word: str) -> None:
    with pytest.raises(UsageError, match=word):
        rule_of({"kind": "k", **entry})


def test_items_of_a_shape() -> None:
    items = parse_shape(r"a\.[0-9]{2,4}x?", ignore_case=False)
    assert [(item.low, item.high) for item in items] == [(1, 1), (1, 1), (2, 4), (0, 1)]
    assert items[1].chars == frozenset(b".") and items[2].chars == frozenset(b"0123456789")


def test_where_a_match_with_items_before_its_gate_begins() -> None:
    rule = rule_of({"kind": "k", "gate": "-us", "shape": "[0-9a-f]{4}-us[0-9]{1,2}"})
    assert rule.starts(b"x 12ab-us1", 6) == 2
    assert rule.starts(b"12ab0-us1", 5) is None and rule.starts(b"2ab-us1", 3) is None
    assert rule.starts(b"z12ab-us1", 5) is None and ord("z") in ALNUM


def test_a_rule_file_is_read() -> None:
    first = "rules: [{kind: a, gate: qq, shape: 'qq[0-9]{2}'}]"
    second = "assignments: {kind: b, keywords: [pin], head: '=', shape: '[0-9]{9}', judge: random}"
    text = f"{first}\n{second}\n"
    assert [rule.kind for rule in parse_rules(text)] == ["a", "b"]
