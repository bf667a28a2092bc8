import pytest

from backstay.errors import UsageError
from backstay.guard import ChoiceStreams, HeldText, Redaction

AWS = "AKIA" + "Q7" * 8


def test_choices_do_not_mix() -> None:
    streams = ChoiceStreams()
    out = ["", ""]
    for char in AWS:
        out[0] += streams.text(0).feed(char)
        out[1] += streams.text(1).feed("n")
    out = [out[i] + streams.text(i).finish() for i in (0, 1)]
    assert out == ["[REDACTED:aws_access_key_id]", "n" * len(AWS)]
    assert [decision.effect for decision in streams.decisions().values()] == ["redact", "pass"]


def test_arguments_are_held_until_they_are_complete() -> None:
    held = ChoiceStreams().tool_call(0, 0)
    assert [held.feed(piece) for piece in ('{"key": "', AWS, '"}')] == ["", "", ""]
    assert held.finish() == '{"key": "[REDACTED:aws_access_key_id]"}' and held.finish() == ""
    assert held.decision.effect == "redact"


def test_denied_and_overlong_arguments_are_not_released() -> None:
    denied = HeldText(Redaction(deny=frozenset({"aws_access_key_id"})))
    denied.feed(AWS)
    long = HeldText(max_characters=10)
    long.feed("x" * 11)
    assert (denied.finish(), denied.decision.effect, long.finish(), long.decision.effect) == ("", "deny", "", "deny")


def test_too_many_streams_are_refused() -> None:
    streams = ChoiceStreams(max_streams=2)
    streams.text(0), streams.tool_call(0, 0)
    assert streams.text(0) is streams.text(0)
    with pytest.raises(UsageError, match="more than 2"):
        streams.text(1)
