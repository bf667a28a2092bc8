import random

import pytest
from hostile_texts import prose

from backstay.guard import Redaction, TextStream, redact
from backstay.guard.redaction import HIDDEN_RUN
from backstay.scan.rule_file import rule_of
from backstay.scan.rule_pack import RulePack
from backstay.scan.secrets import secret_rules

AWS = "AKIA" + "Q7" * 8
HEAD, TAIL = "-----BEGIN RSA " + "PRIVATE KEY-----", "-----END RSA " + "PRIVATE KEY-----"


def streamed(pieces: list[str], redaction: Redaction | None = None) -> list[str]:
    stream = TextStream(redaction)
    return [*(stream.feed(piece) for piece in pieces), stream.finish()]


def test_prose_flows_and_a_gate_waits() -> None:
    stream = TextStream()
    assert stream.feed("We went home. ") == "We went home. "
    assert stream.feed("Then AKI") == "Then "
    assert stream.feed("A") == "" and stream.feed("n people came") == "AKIAn people "
    assert stream.finish() == "came"


def test_a_secret_in_pieces_is_replaced_and_none_of_it_released() -> None:
    out = streamed(["key ", *AWS, " end"])
    assert "".join(out) == "key [REDACTED:aws_access_key_id] end"
    assert out[: 1 + len(AWS)] == ["key ", *[""] * len(AWS)]


def test_at_the_end_what_is_left_is_decided() -> None:
    assert streamed(["key " + AWS]) == ["key ", "[REDACTED:aws_access_key_id]"]
    assert streamed(["key " + AWS[:-1]]) == ["key ", AWS[:-1]]


def test_an_open_end_is_decided_early_and_swallowed_without_being_kept() -> None:
    stream = TextStream()
    assert stream.feed("xoxb-" + "1" * 11) == "[REDACTED:slack_token]"
    for _ in range(1000):
        assert stream.feed("a1" * 100) == "" and stream.held <= 200
    assert stream.feed(" end. ") == " end. "


def test_a_private_key_latches_until_its_end() -> None:
    stream = TextStream()
    assert stream.feed(f"here: {HEAD}\nMADE") == "here: [REDACTED:private_key]"
    assert stream.feed("UP\n" * 50) == "" and stream.held == 0
    assert stream.feed(TAIL[:-1]) == "" and stream.feed("- after it ") == " after it "


def test_a_key_that_is_never_closed_ends_the_text_at_its_cap() -> None:
    stream = TextStream()
    out = stream.feed(f"here {HEAD}") + "".join(stream.feed("words and words " * 100) for _ in range(20))
    assert stream.ended and stream.decision.effect == "deny"
    assert out + stream.feed(TAIL + " more") + stream.finish() == "here [REDACTED:private_key]"


def test_a_denied_kind_ends_the_text() -> None:
    rules = Redaction(deny=frozenset({"aws_access_key_id"}))
    assert "".join(streamed(["a ", AWS[:9], AWS[9:] + " b", " c"], rules)) == "a [REDACTED:aws_access_key_id]"
    assert redact(f"a {AWS} b c", rules)[0] == "a [REDACTED:aws_access_key_id]"


def test_invisible_characters_inside_go_with_the_secret_and_outside_stay() -> None:
    hidden = "\u200b".join(AWS)
    assert "".join(streamed(["é\u200b ", *hidden, "\u200b", " é"])) == "é\u200b [REDACTED:aws_access_key_id]\u200b é"


def test_overlapping_findings_are_one_mask() -> None:
    text = f"token = {AWS}; "
    assert redact(text)[0] == "".join(streamed(list(text)))
    assert redact(text)[0].count("REDACTED") == 1 and AWS[:6] not in redact(text)[0]


@pytest.mark.hostile
def test_what_is_held_is_bounded_whatever_comes() -> None:
    longest = max(rule.max_length for rule in secret_rules())
    for unit in ("password=", "eyJ0-", "AKIA", "://a:b", "M1-", "\u200ba", "[", HEAD):
        stream, worst = TextStream(), 0
        for _ in range(3000):
            stream.feed(unit)
            worst = max(worst, stream.held)
        assert worst <= 2 * longest + 64


@pytest.mark.hostile
def test_a_flood_of_invisible_characters_ends_the_text() -> None:
    text = f"a {AWS[:9]}" + "\u200b" * (HIDDEN_RUN + 1) + AWS[9:]
    want = f"a {AWS[:9]}" + "\u200b" * HIDDEN_RUN + "[REDACTED:hidden_text]"
    assert redact(text)[0] == want and "".join(streamed(list(text))) == want
    assert redact("a" + "\u200b" * HIDDEN_RUN + "b")[1].effect == "pass"


def test_median_of_what_is_held_in_prose() -> None:
    stream, held, text = TextStream(), [], prose(random.Random(5), 4000)
    for start in range(0, len(text), 4):
        stream.feed(text[start : start + 4])
        held.append(stream.held)
    assert sorted(held)[len(held) // 2] <= 40


def test_own_rules_and_mask() -> None:
    pack = RulePack([rule_of({"kind": "badge", "gate": "ID-", "shape": "ID-[0-9]{4}"})])
    rules = Redaction(pack, mask="<{kind}>")
    assert "".join(streamed(list("see ID-1234 or ID-12345"), rules)) == "see <badge> or ID-12345"
    assert pack.rules[0].max_length == 8
