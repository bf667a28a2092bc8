import random
from collections.abc import Sequence

import pytest

from backstay.errors import BackstayError
from backstay.learn.serving.text_stream import TextStream


def letters(tokens: Sequence[int]) -> str:
    return "".join(map(chr, tokens)).strip()


def stopped_text(text: str, stops: Sequence[str]) -> tuple[str, bool]:
    """By brute force: the shortest beginning that holds a stop text, cut where the first one in it starts."""
    for length in range(1, len(text) + 1):
        places = [text[:length].find(stop) for stop in stops if stop in text[:length]]
        if places:
            return text[: min(places)], True
    return text, False


def test_pieces_are_the_text_up_to_the_first_stop_text() -> None:
    source = random.Random(5)
    for _ in range(3000):
        text = "".join(source.choices("ab c", k=source.randint(0, 12)))
        stops = tuple("".join(source.choices("abc", k=source.randint(1, 4))) for _ in range(source.randint(0, 3)))
        stream, pieces = TextStream(letters, stops), []
        for letter in text:
            pieces.append(stream.take(ord(letter)))
            if stream.stopped:
                break
        pieces.append(stream.end())
        expected, stopped = stopped_text(text.strip(), stops)
        assert ("".join(pieces), stream.stopped) == (expected, stopped), (text, stops)


def test_nothing_waits_that_cannot_become_a_stop_text() -> None:
    stream = TextStream(letters, ("END",))
    assert [stream.take(ord(letter)) for letter in "aENbEND"] == ["a", "", "", "ENb", "", "", ""]
    assert stream.stopped and stream.sent == "aENb"


def test_a_character_waits_for_all_its_bytes() -> None:
    stream = TextStream(lambda tokens: bytes(tokens).decode(errors="replace"))
    assert [stream.take(byte) for byte in "é!".encode()] == ["", "é", "!"]


def test_a_torn_character_at_the_end_is_shown_as_what_it_is() -> None:
    stream = TextStream(lambda tokens: bytes(tokens).decode(errors="replace"))
    assert stream.take("é".encode()[0]) == "" and stream.end() == "\ufffd"


def test_a_tokenizer_that_takes_back_what_was_sent_is_an_error() -> None:
    texts = iter(["ab", "xb"])
    stream = TextStream(lambda tokens: next(texts))
    assert stream.take(1) == "ab"
    with pytest.raises(BackstayError, match="cannot be streamed"):
        stream.take(2)
