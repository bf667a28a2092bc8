"""Every place where a rule matches is a place that the gate names, whatever part of the text has been seen before."""

import random
import re

from backstay.scan.rule import ALNUM, Rule
from backstay.scan.rule_file import rule_of
from backstay.scan.token_gate import TokenGate

RULES = [
    rule_of({"kind": "k", **entry})
    for entry in (
        {"shape": "[0-9]{3}-[0-9]{2}"},
        {"shape": "[A-Z]{2}[0-9]{2}[ ]?[A-Z0-9]{3}", "ignore_case": True},
        {"shape": "a?[0-9]{1,2}[.][0-9]", "not_after": "."},
        {"shape": "[0-9]{5,12}", "number": True},
    )
]


def by_hand(rule: Rule, text: bytes) -> set[int]:
    """All places that stand at the beginning of a token and at which the rule matches, by Python's own engine."""
    regex = re.compile(b"".join(item.regex() for item in rule.items), re.IGNORECASE if rule.ignore_case else 0)
    free = (i for i in range(len(text)) if i == 0 or (text[i - 1] not in ALNUM and text[i - 1] not in rule.not_after))
    return {i for i in free if regex.match(text, i)}


def made(rng: random.Random) -> bytes:
    return "".join(rng.choices("aXb0123 .-", k=rng.randint(0, 40))).encode()


def test_no_match_is_missed_however_the_text_is_cut() -> None:
    rng, matches = random.Random(4), 0
    for _ in range(3000):
        text, gate = made(rng), TokenGate(enumerate(RULES))
        wanted = {(start, index) for index, rule in enumerate(RULES) for start in by_hand(rule, text)}
        matches += len(wanted)
        assert wanted <= set(gate.found(text, 0))
        cuts = sorted(rng.randint(0, len(text)) for _ in range(3))
        found = [
            pair
            for low, high in zip([0, *cuts], [*cuts, len(text)], strict=True)
            for pair in gate.found(text[:high], low)
        ]
        assert wanted <= set(found) and len(found) == len(set(found))
    assert matches > 500


def test_letters_at_the_end_are_held_while_a_digit_may_open_them() -> None:
    gate = TokenGate(enumerate(RULES))
    assert gate.lead == 2
    assert [gate.held_from(text) for text in (b"x ab", b"x abc", b"1a", b"-a", b"", b"ab ")] == [2, 5, 2, 1, 0, 3]


def test_patterns_are_few() -> None:
    rng, gate = random.Random(5), TokenGate(enumerate(RULES))
    for _ in range(300):
        list(gate.found(bytes(rng.choices(range(128), k=200)), 0))
    assert len(gate._known) < 6000


def test_without_rules_nothing_is_held_or_found() -> None:
    gate = TokenGate(())
    assert list(gate.found(b"a1", 0)) == [] and gate.held_from(b"ab") == 2
