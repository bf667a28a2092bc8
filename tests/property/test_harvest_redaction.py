"""Whatever is said, nothing that the scanners of secrets and personal data find is kept."""

import json
from functools import cache
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from kept_traffic import decided, said
from made_secrets import token_with_check

from backstay.guard.harvest import KeptExchange, Redactor, Turn, Unredactable
from backstay.guard.harvest.redacting import leaves
from backstay.scan import scan_identifiers, scan_secrets

pytestmark = pytest.mark.property
PLANTED = [
    token_with_check("ghp_", 3),
    "AKIA" + "QYLPMN5HFIQR7XYA",
    "maria.keller@firma-nord.de",
    "4111111111111111",
    "5500-0055-5555-5559",
    "+49 151 23456789",
    "219-09-9998",
]
FILLERS = st.text(alphabet="ab \n.,:;=\"'()<>/@-_0129\u200b\u00e9\u4e2d[]", max_size=12)
PIECES = st.one_of(FILLERS, st.sampled_from(PLANTED), st.sampled_from(["ssn: ", "card ", "token=", "[REDACTED:email]"]))
TEXTS = st.lists(PIECES, max_size=6).map("".join)
SCALARS = st.one_of(TEXTS, st.integers(), st.just(4111111111111111), st.booleans(), st.none(), st.floats(0, 1e9))
VALUES = st.recursive(
    SCALARS, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXTS, inner, max_size=3), max_leaves=6
)


@cache
def redactor() -> Redactor:
    return Redactor()


def found(text: str) -> list[str]:
    return [one.kind for one in (*scan_secrets(text), *scan_identifiers(text)) if one.span is not None]


@settings(max_examples=150, deadline=None)
@given(TEXTS)
def test_nothing_is_left_in_a_text_and_again_changes_nothing(text: str) -> None:
    try:
        masked = redactor().text(text)
    except Unredactable:
        return
    assert found(masked.text) == []
    assert redactor().text(masked.text) == (masked.text, frozenset())
    assert masked.kinds or masked.text == text


@settings(max_examples=100, deadline=None)
@given(st.sampled_from(PLANTED), FILLERS, FILLERS)
def test_what_stands_by_itself_is_gone(planted: str, before: str, after: str) -> None:
    assert planted not in redactor().text(f"{before}\n\n{planted}\n\n{after}").text


@settings(max_examples=100, deadline=None)
@given(st.dictionaries(TEXTS, VALUES, max_size=3), TEXTS, TEXTS, TEXTS)
def test_nothing_is_left_in_an_exchange(args: dict[str, Any], asked: str, answer: str, name: str) -> None:
    call = decided("model.tool_call", "deny", args=args, text=answer, tool=name, resource=name)
    turns = (Turn(role="user", text=asked), Turn(role="tool", text=answer, tool=name))
    given_exchange = said(1, asked, answer, model=name).model_copy(update={"turns": turns, "decisions": (call,)})
    try:
        kept = redactor().exchange(given_exchange)
    except Unredactable:
        return
    (one,) = kept.decisions
    texts = [kept.model, *(part for turn in kept.turns for part in (turn.text, turn.tool)), one.text, one.tool]
    assert [kind for text in [*texts, one.resource, *leaves(one.args)] for kind in found(text)] == []
    assert found("\n".join(leaves(one.args))) == []
    assert KeptExchange.from_json(kept.to_json()) == kept  # What stays is JSON that can be stored.


@settings(max_examples=60, deadline=None)
@given(VALUES)
def test_values_without_findings_stay_as_they_are(value: Any) -> None:
    kinds: set[str] = set()
    kept = redactor().value(value, kinds)
    if not any(found(leaf) for leaf in leaves(value)) and all(
        abs(number) < 2**53 for number in numbers_of(value) if isinstance(number, int | float)
    ):
        assert json.dumps(kept) == json.dumps(value) and not kinds


def numbers_of(value: Any) -> list[Any]:
    if isinstance(value, dict):
        return [number for item in value.values() for number in numbers_of(item)]
    if isinstance(value, list):
        return [number for item in value for number in numbers_of(item)]
    return [value]
