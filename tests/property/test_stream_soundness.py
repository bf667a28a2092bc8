"""For every split of every text, what a stream releases is the redaction of the whole."""

import dataclasses
import random
from typing import Any

import pytest
from hostile_texts import tricky_text
from hypothesis import given, settings
from hypothesis import strategies as st

from backstay.guard import Redaction, TextStream, redact
from backstay.scan import default_pack, identifier_pack, latch_rules
from backstay.scan.identifiers import identifier_rules
from backstay.scan.rule_file import rule_of
from backstay.scan.rule_pack import RulePack
from backstay.scan.secrets import secret_rules

REDACTIONS = (Redaction(), Redaction(deny=frozenset({"jwt", "private_key", "assigned_secret"})))
PERSONAL = (Redaction(identifier_pack()), Redaction(identifier_pack(), deny=frozenset({"email", "date_of_birth"})))
redact("é")  # rules and tables are made once, outside of what hypothesis times


def check(text: str, cuts: list[int], redaction: Redaction) -> None:
    whole, decision = redact(text, redaction)
    stream, released = TextStream(redaction), ""
    for low, high in zip([0, *cuts], [*cuts, len(text)], strict=True):
        released += stream.feed(text[low:high])
        assert whole.startswith(released)
    assert released + stream.finish() == whole
    assert stream.decision.effect == decision.effect
    if decision.effect != "deny":
        assert set(stream.decision.spans) == set(decision.spans)


@pytest.mark.property
@settings(max_examples=150, deadline=None)
@given(st.randoms(use_true_random=False), st.sampled_from(REDACTIONS))
def test_any_split_releases_the_redaction_of_the_whole(rng: random.Random, redaction: Redaction) -> None:
    text = tricky_text(rng, secret_rules())
    for count in (1, 5, len(text)):
        check(text, sorted(rng.randint(0, len(text)) for _ in range(count)), redaction)


@pytest.mark.property
@settings(max_examples=100, deadline=None)
@given(st.text(max_size=80), st.data())
def test_any_text_at_all(text: str, data: st.DataObject) -> None:
    cuts = sorted(data.draw(st.lists(st.integers(0, len(text)), max_size=6)))
    check(text, cuts, REDACTIONS[0])


@pytest.mark.property
@settings(max_examples=150, deadline=None)
@given(st.randoms(use_true_random=False), st.sampled_from(PERSONAL))
def test_personal_data_is_redacted_whatever_the_split(rng: random.Random, redaction: Redaction) -> None:
    text = tricky_text(rng, identifier_rules())
    for count in (1, 5, len(text)):
        check(text, sorted(rng.randint(0, len(text)) for _ in range(count)), redaction)


LATCHED = (
    "![a](https://evil.org/?d=1)",
    "![a](https://ok.org/b)",
    "![a](https://o\u200bk.org/b)",
    "![a](https://\u043ek.org/b)",
    "[r]: //evil.org\n",
    "<img src=//evil.org/x>",
    "![](",
    "](",
    "<img ",
    "url(//evil.org)",
    "]: ",
    "!",
    "[",
    "]",
    "(",
    ")",
    "\\",
    "https://",
    "o\u200bk.org",
    "\u043ek.org",
)
DEFAULT = Redaction(default_pack(allowed_hosts=["ok.org"]))
LATCH = Redaction(RulePack(latch_rules(["ok.org"])), mask="*")


@pytest.mark.property
@settings(max_examples=200, deadline=None)
@given(st.randoms(use_true_random=False))
def test_images_are_redacted_whatever_the_split(rng: random.Random) -> None:
    pieces = rng.choices(LATCHED, k=rng.randint(1, 12))
    text = rng.choice(("", " ", "a")).join(
        (tricky_text(rng, DEFAULT.pack.rules[:300]) if rng.random() < 0.3 else "", *pieces)
    )
    for count in (1, 5, len(text)):
        check(text, sorted(rng.randint(0, len(text)) for _ in range(count)), rng.choice((DEFAULT, LATCH)))


@pytest.mark.property
@settings(max_examples=200, deadline=None)
@given(st.text("0123456789 .,-+()/@:aBX\u200b", max_size=60), st.data())
def test_numbers_at_random(text: str, data: st.DataObject) -> None:
    cuts = sorted(data.draw(st.lists(st.integers(0, len(text)), max_size=6)))
    check(text, cuts, PERSONAL[0])


@pytest.mark.property
@pytest.mark.slow
def test_a_hundred_thousand_splits() -> None:
    rng = random.Random(2026)
    for _ in range(12_500):
        text = tricky_text(rng, secret_rules())
        for count in (0, 1, 1, 3, 3, 10, 30, len(text)):
            check(text, sorted(rng.randint(0, len(text)) for _ in range(count)), rng.choice(REDACTIONS))


DENSE = RulePack(
    rule_of(entry)
    for entry in (
        {"kind": "short", "gate": "a", "shape": "ab?c"},
        {"kind": "head", "gate": "b", "head": "b[ac]{0,3}", "shape": "[de]{1,4}", "word_start": False},
        {"kind": "infix", "gate": "-d", "shape": "[abc]{1,3}-d[ab]{2}"},
        {"kind": "inner", "gate": ".", "shape": r"[a-e]{2,4}\.[a-e]{1,2}", "word_start": False},
        {"kind": "tail", "gate": "ca", "shape": "ca[a-c-]{2,}", "word_start": False},
        {"kind": "tail_too", "gate": "e", "shape": "e[d.e]{1,}"},
        {"kind": "latch", "gate": "<", "shape": "<[ab]{1,2}>", "close": "/>", "cap": 12, "word_start": False},
        {"kind": "fold", "gate": "dc", "shape": "dc[A-C]{1,5}", "ignore_case": True},
    )
)
DENSE_REDACTIONS = (Redaction(DENSE, mask="*"), Redaction(DENSE, deny=frozenset({"short", "tail"}), mask="*"))


@pytest.mark.property
def test_rules_that_overlap_in_every_way() -> None:
    rng, denied = random.Random(17), 0
    for _ in range(2500):
        alphabet = "abcde-.<>/ \u200b\u0430\ufb06"[: rng.randint(4, 14)]
        text = "".join(rng.choices(alphabet, k=rng.randint(1, 40)))
        redaction = rng.choice(DENSE_REDACTIONS)
        denied += redact(text, redaction)[1].effect == "deny"
        for count in (1, 4, len(text)):
            check(text, sorted(rng.randint(0, len(text)) for _ in range(count)), redaction)
    assert denied > 100


ENTRIES: dict[str, dict[str, Any]] = {
    "digits": {"shape": "[0-9]{3,4}", "not_after": ".-", "not_before": "b-", "number": True},
    "lettered": {"shape": "[ab]{2}[0-9][ab0-9]{1,3}", "not_before": "-"},
    "grouped": {"shape": "[0-9]{1,2}[ .]?[0-9]{1,2}[ .][0-9a]", "number": True},
    "maybe": {"shape": "a?[1][.,-]{0,2}[0-9ab]{2,3}", "not_after": "."},
    "tail": {"shape": "[0-9][0-9b]{2,}"},
    "labelled": {
        "gate": "ab",
        "head": "ab[^0-9]{0,4}",
        "shape": "[0-9]{2,3}",
        "not_after": "ab",
        "number": True,
    },
    "infix": {"gate": "-", "shape": "[0-9ab]{1,3}-[0-9]{1,3}", "number": True, "not_before": "a"},
}
TOKENS = RulePack(
    (
        *(rule_of({"kind": kind, **entry}) for kind, entry in ENTRIES.items()),
        dataclasses.replace(
            rule_of({"kind": "after_bang", "gate": "(", "shape": r"\([0-9]{1,2}", "word_start": False}),
            behind=lambda text: text.rfind(b"!") > text.rfind(b")"),
        ),
    )
)
TOKEN_REDACTIONS = (Redaction(TOKENS, mask="*"), Redaction(TOKENS, deny=frozenset({"grouped"}), mask="*"))


@pytest.mark.property
def test_rules_that_are_opened_by_tokens() -> None:
    rng, found = random.Random(18), set()
    for _ in range(3000):
        alphabet = "ab0123. -,(!)\u200b\u0430"[: rng.randint(5, 14)]
        text = "".join(rng.choices(alphabet, k=rng.randint(1, 40)))
        redaction = rng.choice(TOKEN_REDACTIONS)
        found |= {span.kind for span in redact(text, redaction)[1].spans}
        for count in (1, 4, len(text)):
            check(text, sorted(rng.randint(0, len(text)) for _ in range(count)), redaction)
    assert found == {rule.kind for rule in TOKENS.rules}
