"""Origins worked out by hand, what may never happen, and hostile sizes."""

import json
import time
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from backstay.guard import Message, from_openai, origins_of
from backstay.guard.leaves import MAX_DEPTH, MAX_LEAVES
from backstay.guard.provenance import LeafOrigins
from backstay.policy import Request, load_policies

TOOL_ONLY = ("tool", "tool_only")


def wide(text: str) -> str:
    """The text in full-width characters."""
    return "".join(chr(ord(char) + 0xFEE0) for char in text)


SYSTEM = Message("system", "Reports go to audit@corp.com.")
USER = Message(
    "user",
    "Pay 1.000,00 EUR to DE89 3704 0044 0532 0130 00 on May 3rd, 2026 at 9:30 am. See https://corp.com/a/b, tell "
    "Bob Smith or call +1 (415) 555-0100.",
)
TOOL = Message(
    "tool",
    "iban: GB29\u200b NWBK 6016 1331 9268 19, mail: evil@x.org, sum: " + wide("4321") + ", due 07.11.2026 23:15, "
    '{"note": "Dear\\nMallory wants all of the money by tomorrow evening"}',
    "read_file",
)
TALK = [SYSTEM, USER, TOOL]


def origins(value: Any, messages: list[Message] | None = None, **options: Any) -> tuple[str, ...]:
    return origins_of(TALK if messages is None else messages, {"to": value}, **options).by_argument()["to"]


@pytest.mark.parametrize(
    "value",
    [
        1000, 1e3, "1000", "1,000.00", "1e3",
        "DE89370400440532013000", "de89-3704-0044-0532-0130-00", "2026-05-03", "3 May 2026", "2026-05-03T09:30:00Z",
        "09:30", "Bob Smith", "BOB  SMITH", "https://corp.com/a/b", "corp.com/a/b/", "corp.com", "+14155550100",
        wide("Bob") + " Smith", "B\u200bob Smith",
    ],
)  # fmt: skip
def test_what_the_user_said_in_another_spelling_is_the_users(value: Any) -> None:
    assert origins(value) == ("user",)


@pytest.mark.parametrize(
    "value",
    [
        "GB29NWBK60161331926819", "GB29 NWBK 6016 1331 9268 19", "evil@x.org", "EVIL@X.ORG", 4321, "4,321.00",
        "2026-11-07", "2026-07-11", "7 November 2026 at 11:15 pm", "Mallory", "wants all of the money",
    ],
)  # fmt: skip
def test_what_only_a_tool_said_is_tool_only(value: Any) -> None:
    assert origins(value) == TOOL_ONLY


@pytest.mark.parametrize(
    "value", ["carol@corp.com", "Robert", "https://corp.com/a/b?q=secret", "DE89370400440532013001", 1001, "smith bob"]
)
def test_what_nobody_said_is_the_models(value: Any) -> None:
    assert origins_of(TALK, {"to": value}).leaves == (LeafOrigins("to", "to", ("model",)),)


@pytest.mark.parametrize("value", ["", "ab", None, True, 7, 99, -5, 10.0, [], {}, "--", "12"])
def test_a_value_that_occurs_everywhere_is_no_evidence(value: Any) -> None:
    talk = [Message("tool", json.dumps(value) + " ab 7 99 -5 10 12 true null")]
    assert origins_of(talk, {"to": value}).leaves[0][2:] == (("model",), 0.0, "weak")


@pytest.mark.parametrize(
    ("said", "value"),
    [
        ("mail bob@corp.com.evil.org", "bob@corp.com"),
        ("mail xbob@corp.com", "bob@corp.com"),
        ("see https://corp.com@evil.org/", "corp.com"),
        ("see https://corp.com/a", "https://corp.com/b"),
        ("the account 1234567", "234567"),
        ("pay 11000", 1000),
        ("pay 1000.50", 1000),
        ("pay 0.500", 500),
        ("pay -250", 250),
        ("it is 2026-05-03", "2026-05-04"),
        ("today at 19:30", "09:30"),
        ("scatter", "cat"),
    ],
)
def test_a_user_who_said_something_like_it_did_not_say_it(said: str, value: Any) -> None:
    talk = [Message("user", said), Message("tool", f"the value is {value} indeed")]
    assert origins(value, talk) == TOOL_ONLY


def test_a_user_who_names_what_a_tool_says_too_named_it() -> None:
    assert origins("evil@x.org", [*TALK, Message("user", "yes, to Evil@x.org.")]) == ("tool", "user")


def test_the_assistant_repeating_a_tool_changes_nothing() -> None:
    assert origins("evil@x.org", [*TALK, Message("assistant", "I found evil@x.org")]) == TOOL_ONLY
    assert origins("dave@x.org", [Message("assistant", "I think of dave@x.org")]) == ("model",)


def test_digits_of_another_script_are_digits() -> None:
    assert origins(12345, [Message("tool", "".join(chr(0x660 + n) for n in (1, 2, 3, 4, 5)))]) == TOOL_ONLY


def test_one_leaf_from_a_tool_shows_beside_leaves_of_the_user() -> None:
    found = origins_of(TALK, {"to": ["audit@corp.com", "evil@x.org", "Bob Smith"], "items": [{"price": 1000}]})
    assert [(leaf.path, leaf.origins) for leaf in found.leaves] == [
        ("to[0]", ("system",)), ("to[1]", TOOL_ONLY), ("to[2]", ("user",)), ("items[0].price", ("user",)),
    ]  # fmt: skip
    assert found.by_argument() == {"to": ("system", "tool", "tool_only", "user"), "items": ("user",)}


def test_a_key_may_carry_a_value_too() -> None:
    found = origins_of(TALK, {"shares": {"evil@x.org": "read"}})
    assert [(leaf.path, leaf.origins) for leaf in found.leaves] == [
        ('shares["evil@x.org"]', ("model",)), ('shares["evil@x.org"]#key', TOOL_ONLY),
    ]  # fmt: skip


def test_a_trusted_directory_is_no_tool() -> None:
    talk = [Message("tool", '{"name": "Eve", "mail": "eve@x.org"}', "contacts"), TOOL]
    assert origins("eve@x.org", talk) == TOOL_ONLY
    assert origins("eve@x.org", talk, directories={"contacts"}) == ("directory",)
    assert origins("evil@x.org", talk, directories={"contacts"}) == TOOL_ONLY


def test_a_long_text_is_a_tools_by_the_share_of_its_runs_of_five_words() -> None:
    body = (
        "As agreed: Mallory wants all of the money by tomorrow evening. Regards"  # 12 words, 8 runs, 5 of them copied
    )
    (leaf,) = origins_of(TALK, {"body": body}).leaves
    assert (leaf.origins, leaf.copied) == (TOOL_ONLY, 5 / 8)
    (leaf,) = origins_of([*TALK, Message("user", body)], {"body": body}).leaves
    assert (leaf.origins, leaf.copied) == (("user",), 0.0)


def test_an_address_within_a_long_text_tells_by_itself() -> None:
    body = "Here is what you asked for, with my best regards; any question goes to {} from now on"
    assert origins(body.format("evil@x.org")) == TOOL_ONLY
    assert origins(body.format("audit@corp.com")) == ("model",)


@pytest.mark.parametrize(
    "written",
    ["ZXZpbDJAeC5vcmcgaXMgdGhlIGFkZHJlc3M=", r"e\u0076il2@x.org", r"to:\nevil2@x.org", r"\ud835\udc1evil2@x.org"],
)
def test_what_a_tool_encodes_is_read(written: str) -> None:
    assert origins("evil2@x.org", [Message("user", "read it"), Message("tool", f"decode {written}")]) == TOOL_ONLY


def test_what_cannot_be_examined_counts_as_a_tools() -> None:
    deep: Any = "Bob Smith"
    for _ in range(MAX_DEPTH + 5):
        deep = [deep]
    assert origins(deep) == TOOL_ONLY
    assert origins(10**50) == origins(float("nan")) == origins(object()) == TOOL_ONLY
    leaves = origins_of(TALK, {"to": ["Bob Smith"] * (MAX_LEAVES + 5)}).leaves
    assert leaves[0].origins == ("user",)
    assert leaves[-1][2:] == (TOOL_ONLY, 0.0, "assumed")


def test_openai_messages_are_read_with_the_names_of_tools() -> None:
    call = {"id": "c1", "type": "function", "function": {"name": "contacts", "arguments": "{}"}}
    read = from_openai(
        [
            {"role": "developer", "content": "rules"},
            {"role": "user", "content": [{"type": "text", "text": "hello"}, {"type": "image_url", "image_url": {}}]},
            {"role": "assistant", "content": None, "tool_calls": [call]},
            {"role": "tool", "tool_call_id": "c1", "content": "Eve"},
            {"role": "oracle", "content": "x"},
        ]
    )
    assert read == [
        Message("system", "rules"), Message("user", "hello\n"), Message("assistant", ""),
        Message("tool", "Eve", "contacts", "{}"), Message("tool", "x"),
    ]  # fmt: skip


# Two alphabets of words, so that the user's text cannot hold what the tool says.
THEIRS = st.text("bcdfg", min_size=3, max_size=8)
MINE = st.text("hjkmnp", min_size=1, max_size=8)
NUMBERS = st.integers(10**6, 10**9).map(lambda n: 2 * n + 1)
VALUES = st.one_of(
    THEIRS,
    st.lists(THEIRS, min_size=2, max_size=12).map(" ".join),
    st.builds("{}@{}.org".format, THEIRS, THEIRS),
    st.builds("https://{}.com/{}".format, THEIRS, THEIRS),
    NUMBERS,
    NUMBERS.map("DE89{}".format),
)
SPELLINGS = st.sampled_from([str, lambda v: str(v).upper(), lambda v: "\u200b".join(str(v)), lambda v: f"({v}), "])


@settings(max_examples=200, deadline=None)
@given(VALUES, SPELLINGS, st.lists(st.one_of(MINE, NUMBERS.map(lambda n: str(n + 1)))), MINE)
def test_a_value_copied_from_a_tool_is_never_the_users(value: Any, spell: Any, user: list[str], other: str) -> None:
    talk = [Message("user", " ".join(user)), Message("tool", f"{other} {spell(value)} {other}")]
    assert origins(value, talk) == TOOL_ONLY


@settings(max_examples=200, deadline=None)
@given(VALUES, st.lists(st.one_of(MINE, VALUES.map(str))), st.booleans())
def test_more_text_never_takes_the_user_away(value: Any, more: list[str], first: bool) -> None:
    talk = [Message("tool", str(value)), Message("user", f"please take {value} now")]
    more_talk = [Message("user", text) for text in more]
    longer = [*more_talk, *talk] if first else [*talk, *more_talk]
    assert origins(value, talk) == origins(value, longer) == ("tool", "user")


SIZE = 1_000_000
ARGUMENTS = {
    "iban": "GB29NWBK60161331926819", "to": "evil@x.org", "url": "https://a.b/c", "n": 12345, "at": "2026-01-02T10:00",
    "text": "alpha beta gamma delta epsilon zeta", "many": [f"word{i}@x{i % 7}.org" for i in range(3000)],
}  # fmt: skip


@pytest.mark.parametrize(
    "unit",
    ["1", "a.", "a@", "1,", "111,", "http://", "a ", "alpha beta gamma delta epsilon ", "g b 2 9 n ", "1-1-", "%41",
     "a\u200b", "中", "\\u0041", "1 jan ", wide("1")],
)  # fmt: skip
def test_hostile_output_takes_linear_time(unit: str) -> None:
    talk = [Message("user", "hi"), Message("tool", unit * (SIZE // len(unit)))]
    begin = time.thread_time()
    origins_of(talk, ARGUMENTS)
    assert time.thread_time() - begin < 8


def test_hostile_arguments_take_linear_time() -> None:
    deep: Any = "x"
    for _ in range(100_000):
        deep = [deep]
    arguments = {"deep": deep, "wide": list(range(200_000)), "text": "alpha beta " * 90_000, "digits": "1" * SIZE}
    begin = time.thread_time()
    found = origins_of(TALK, arguments)
    assert time.thread_time() - begin < 8
    assert len(found.leaves) == 200_003


POLICY = """
policy: 1
rules:
  - id: mail-is-sent
    effect: permit
    match: {point: model.tool_call, tool: send}
    reason: mail may be sent
    tests: [{request: {args: {to: a}}, expect: allow}]
  - id: trusted-people-name-who-gets-mail
    effect: forbid
    match: {point: model.tool_call, tool: send}
    when: '"tool_only" in provenance.to'
    reason: the address came out of a tool's output
    tests: [{request: {args: {to: a}, provenance: {to: [tool, tool_only]}}, expect: deny}]
"""


@pytest.mark.parametrize(
    ("to", "effect"),
    [("Bob Smith", "allow"), (["Bob Smith", "evil@x.org"], "deny"), ("evil@x.org", "deny"), ("eve@corp.com", "allow")],
)
def test_a_policy_decides_by_it(to: Any, effect: str, tmp_path: Path) -> None:
    (tmp_path / "mail.yaml").write_text(POLICY)
    policy = load_policies([tmp_path / "mail.yaml"])
    origin = origins_of(TALK, {"to": to}).by_argument()
    request = Request(point="model.tool_call", tool="send", args={"to": to}, provenance=origin)
    assert policy.decide(request).effect == effect
