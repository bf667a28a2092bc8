"""Whether the user's words ask for a tool."""

import pytest

from backstay.guard import Message
from backstay.guard.intent import asked_for, user_words


def asked(text: str, *verbs: str) -> bool:
    return asked_for(user_words([Message("user", text)]), verbs)


@pytest.mark.parametrize(
    ("text", "verbs", "answer"),
    [
        ("Please send it.", ("send",), True),
        ("SEND it", ("send",), True),
        ("\uff53\uff45\uff4e\uff44 it", ("send",), True),
        ("se\u200bnd it", ("send",), True),
        ("resend it", ("send",), False),
        ("who was invited?", ("invite",), False),
        ("who was invited?", ("invite*",), True),
        ("set it up", ("set up",), False),
        ("please set up a meeting", ("set up",), True),
        ("reset up", ("set up",), False),
        ("set upwards", ("set up",), False),
        ("set upwards", ("set up*",), True),
        ("请发送邮件", ("发送",), True),
        ("see www.example.org", ("www",), True),
        ("", ("send",), False),
        ("anything", (), False),
    ],
)
def test_words_and_phrases_are_whole(text: str, verbs: tuple[str, ...], answer: bool) -> None:
    assert asked(text, *verbs) is answer


def test_only_users_ask() -> None:
    talk = [
        Message("system", "delete"),
        Message("assistant", "delete"),
        Message("tool", "delete"),
        Message("user", "hi"),
    ]
    assert user_words(talk) == ["hi"]
