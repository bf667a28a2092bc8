"""What people are shown: everything, and nothing that hides."""

import json
import unicodedata

import pytest
from approval_world import World, needs
from hypothesis import given
from hypothesis import strategies as st

from backstay.guard.approvals import Current, Identity, digest_of, shown_json
from backstay.guard.approvals.rendering import visible

TEXT = st.text(st.characters(exclude_categories=["Cs"]))
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53) + 1, 2**53 - 1) | TEXT,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXT, inner, max_size=4),
    max_leaves=12,
)
MISLEADING = "\u202e\u2066\u200b\u00ad\ufeff\u3000\u00a0\U000e0041\u0301\u2028\x7f\x1b\u0085\ufe0f\u115f"


@given(VALUES)
def test_what_is_shown_reads_back_as_what_is_hashed(value: object) -> None:
    assert json.loads(shown_json(value)) == value


@given(TEXT)
def test_nothing_unseen_or_written_from_the_right_is_shown(text: str) -> None:
    for char in shown_json(text).replace("\n", ""):
        assert unicodedata.category(char)[0] not in "CZM" or char == " "
        assert unicodedata.bidirectional(char) in {"L", "EN", "ES", "ET", "CS", "WS", "ON", "B", "S", ""}


@given(VALUES, VALUES)
def test_two_values_never_look_the_same(one: object, other: object) -> None:
    assert (shown_json(one) == shown_json(other)) == (json.dumps(one) == json.dumps(other) or _same(one, other))


def _same(one: object, other: object) -> bool:
    return json.dumps(one, sort_keys=True) == json.dumps(other, sort_keys=True)


@pytest.mark.parametrize("char", MISLEADING)
def test_each_misleading_character_is_an_escape(char: str) -> None:
    shown = shown_json(f"a{char}b")
    assert char not in shown
    assert "\\u" in shown
    assert json.loads(shown) == f"a{char}b"


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("p\u0430ypal.com", "p\\u0430ypal.com"),
        ("\u0440\u0430\u0443\u0440\u0430l", "\\u0440\\u0430\\u0443\\u0440\\u0430l"),
        ("\u0441\u043e\u0441\u043e", "\\u0441\\u043e\\u0441\\u043e"),
        ("\uff21\uff22", "\\uff21\\uff22"),
        ("\u0131nfo", "\\u0131nfo"),
        ("1\u0661 \u05d0", "1\\u0661 \\u05d0"),
        ("\U0001d41a", "\\ud835\\udc1a"),
        ("caf\u00e9 Stra\u00dfe", "caf\u00e9 Stra\u00dfe"),
        ("\u043f\u0440\u0438\u0432\u0435\u0442", "\u043f\u0440\u0438\u0432\u0435\u0442"),
        ("\u4e2d\u6587", "\u4e2d\u6587"),
    ],
)
def test_look_alikes_are_escapes_and_plain_words_are_not(text: str, shown: str) -> None:
    assert visible(text) == shown


def test_all_of_a_long_call_is_shown_under_its_digest(world: World) -> None:
    text = "long " * 40_000
    held = world.approvals.get(world.ask(args={"text": text}))
    shown = world.approvals.rendered(held.id).decode()
    first, _, rest = shown.partition("\n")
    assert first == f"digest {held.digest}"
    content = json.loads(rest)
    assert content["args"] == {"text": text}
    assert digest_of(content) == held.digest


def test_an_edit_shows_each_change_and_both_sides(world: World) -> None:
    held = world.ask(args={"to": "DE89", "lines": [1, 2], "note": "a\u202eb"}, obligations=needs((1, "finance")))
    world.recheck = lambda draft: Current("hold", draft)
    world.restarted()
    digest = world.approvals.get(held).digest
    made = world.approvals.edit(held, Identity("alice", "token"), {"to": "DE90", "lines": [1], "x": {}}, digest)
    lines = world.approvals.rendered(made.id).decode().splitlines()
    assert lines[lines.index(f"changed by alice from {digest}") + 1 :] == [
        '- ["args"]["lines"][1]: 2',
        '- ["args"]["note"]: "a\\u202eb"',
        '- ["args"]["to"]: "DE89"',
        '+ ["args"]["to"]: "DE90"',
        '+ ["args"]["x"]: {}',
    ]
