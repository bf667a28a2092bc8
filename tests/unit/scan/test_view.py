import base64
import time
import unicodedata
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backstay.scan import View
from backstay.scan.folding import fold, form, hidden_kind

fold("é")  # the tables are made once, outside of what hypothesis times

ANY_TEXT = st.text(st.characters(codec=None), max_size=60)
TRICKY = st.text(
    st.sampled_from("aA1 \u200b\u0301\u202e\U000e0041\ufb01\u00e9\uff21\u0410\u2028\u3000\ufdfa\uac00\ud800")
)


@given(st.text(st.characters(max_codepoint=127)))
def test_view_of_ascii_is_the_text(text: str) -> None:
    view = View.of(text)
    assert view.text == text and view.source is None and view.hidden == {}


@given(ANY_TEXT | TRICKY)
def test_every_view_character_comes_from_its_source(text: str) -> None:
    view, source = fold(text)
    assert all(0 <= place < len(text) for place in source)
    assert all(a <= b for a, b in pairwise(source))
    by_hand = [(char, i) for i, original in enumerate(text) for char in form(original)]
    assert [(char, int(i)) for char, i in zip(view, source, strict=True)] == by_hand


@given(ANY_TEXT | TRICKY)
def test_idempotent(text: str) -> None:
    once = View.of(text).text
    assert View.of(once).text == once


@given(ANY_TEXT | TRICKY, ANY_TEXT | TRICKY)
def test_view_of_a_join_is_the_join_of_views(left: str, right: str) -> None:
    assert View.of(left + right).text == View.of(left).text + View.of(right).text


def test_every_code_point_is_settled_by_one_step() -> None:
    everything = "".join(map(chr, range(0x110000)))
    once, source = fold(everything)
    assert once == "".join(map(form, everything)) and source.max() == 0x10FFFF
    assert fold(once)[0] == once


@given(st.text(st.characters(min_codepoint=0xA0, max_codepoint=0x24F)))
def test_canonically_equal_texts_have_equal_views(text: str) -> None:
    assert View.of(unicodedata.normalize("NFC", text)).text == View.of(unicodedata.normalize("NFD", text)).text


def test_what_is_hidden_is_counted() -> None:
    view = View.of("k\u200be\u202ey\U000e0041\u0301")
    assert view.text == "key" and view.hidden == {"invisible": 1, "bidi": 1, "tag": 1, "mark": 1}
    assert view.span(1, 2) == (2, 3) and view.span(0, 3) == (0, 5)


def test_lookalikes_ligatures_and_full_width() -> None:
    assert View.of("\u0410\u039a\u0406\uff21 \ufb01\u2460 \u017f").text == "AKIA fi1 s"


@pytest.mark.parametrize(("char", "kind"), [("a", None), ("\u200d", "invisible"), ("\u2066", "bidi"), ("é", None)])
def test_hidden_kind(char: str, kind: str | None) -> None:
    assert hidden_kind(char) == kind


def test_decoded_parts_keep_the_span_of_their_source() -> None:
    inner = base64.b64encode(b"the inner sentence").decode()
    outer = base64.b64encode(f"some words: {inner}".encode()).decode()
    view = View.of(f"é see {outer} end")
    found = {(part.depth, part.view.text): part for part in view.parts}
    assert found[1, f"some words: {inner}"].span == (6, 6 + len(outer))
    assert found[2, "the inner sentence"].span == (6, 6 + len(outer))


def test_hex_and_url() -> None:
    texts = {part.encoding: part.view.text for part in View.of(b"sixteen letters".hex() + " and a%20b%3Dc").parts}
    assert texts == {"hex": "sixteen letters", "url": "a b=c"}


def test_tags_are_read_as_the_ascii_they_stand_for() -> None:
    view = View.of("hi" + "".join(chr(0xE0000 + ord(char)) for char in "say x") + "!")
    (part,) = view.parts
    assert (part.encoding, part.view.text, part.span) == ("tags", "say x", (2, 7)) and view.text == "hi!"


def test_what_is_left_out_is_told() -> None:
    assert View.of("plain").decoded().complete
    assert not View.of("%41 " * 3000).decoded().complete
    assert not View.of("%41").decoded(deadline=0.0).complete


def test_rot13_and_leet_keep_places() -> None:
    view = View.of("cnffjbeq p4ssw0rd")
    assert view.rot13[:8] == "password" and view.leet[9:] == "password"


def test_decoding_is_bounded_in_depth_and_size() -> None:
    text = "deep down there are some words here"
    for _ in range(5):
        text = base64.b64encode(text.encode()).decode()
    parts = View.of(text).parts
    assert max(part.depth for part in parts) == 2
    assert sum(len(part.view.text) for part in parts) <= 4 * len(text)


@pytest.mark.hostile
@pytest.mark.parametrize(
    "char", ["a", "0", " ", "%41", "\u200b", "\u0301", "é", "\ufdfa", "\uac00", "\U000e0041", "\ud800", "/+"]
)
def test_a_megabyte_of_one_thing_is_soon_done(char: str) -> None:
    text = char * (1_000_000 // len(char))
    begin = time.process_time()
    view = View.of(text)
    parts = view.parts
    assert time.process_time() - begin < 2.0
    assert len(view.text) <= 4 * len(text)
    assert sum(len(part.view.text) for part in parts) <= 4 * len(text)
